"""Candles from ticks and from shorter candles: pure rules, no I/O.

The ticks of a candle are sorted by event time, then by the day's volume if the tick has one (each
trade adds to it), then by arrival. A candle therefore does not depend on the order in which ticks
of different times or volumes arrive, nor on how they are cut into batches.

The volume of a candle comes from readings of the day's volume so far: `volumes.py` has the rules.

A candle can be recomputed if all of its ticks are stored. Where some are not, because they were
pruned or the candle was imported, late ticks are merged into it and never replace it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from quotes.history.candles.volumes import MAX_VOLUME, SESSION_START, VolumeState, count_volume

NO_VOLUME = -1

# One tick as candles need it: event time, the day's volume or NO_VOLUME, position, price, open
# interest or None. Tuples compare in the order of events, since a series has a position once.
Point = tuple[int, int, int, Decimal, int | None]


@dataclass(slots=True)
class Bar:
    """One candle.

    Attributes:
        start, ends: Unix milliseconds; the end is exclusive.
        volume: traded within the candle; None if no tick had a volume.
        oi: open interest of the last tick that had one.
        ticks: how many ticks the candle has.
        volume_state: of the day's volume at the close; of one-minute candles only.
        final: its time has passed, and it was announced as final.
        revised: it changed after it was announced as final.
    """

    start: int
    ends: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int | None
    oi: int | None
    ticks: int
    volume_state: VolumeState = SESSION_START
    final: bool = False
    revised: bool = False

    @property
    def values(self) -> tuple[object, ...]:
        """Prices as text, volume, open interest and ticks: what readers see, without the flags."""
        prices = (self.open, self.high, self.low, self.close)
        return (*map(str, prices), self.volume, self.oi, self.ticks)


def fold(
    points: Sequence[Point],
    start: int,
    ends: int,
    volume_state: VolumeState,
    bar: Bar | None = None,
) -> Bar:
    """Return the candle of one or more points that are in the order of events.

    Args:
        volume_state: the state before the first point; ignored if there is a bar.
        bar: the candle of earlier points of the same interval; it is not changed.

    Returns:
        A candle whose volume is right as long as no reading of the session is noise.
    """
    if bar is None:
        price = points[0][3]
        opened = highest = lowest = price
        volume, oi, ticks = None, None, 0
        volume_state = (volume_state[0], 0)
    else:
        opened, highest, lowest = bar.open, bar.high, bar.low
        volume, oi, ticks, volume_state = bar.volume, bar.oi, bar.ticks, bar.volume_state
        price = bar.close
    for _, reading, _, price, interest in points:
        if price > highest:
            highest = price
        elif price < lowest:
            lowest = price
        if reading >= 0:
            # Most readings repeat the highest one.
            if reading == volume_state[0]:
                traded = 0
            else:
                traded, volume_state = count_volume(volume_state, reading)
            volume = traded if volume is None else volume + traded
        if interest is not None:
            oi = interest
    return Bar(
        start, ends, opened, highest, lowest, price, volume, oi, ticks + len(points), volume_state
    )


def absorb(bar: Bar, prices: Collection[Decimal]) -> Bar:
    """Return a candle that cannot be recomputed, with one or more late ticks in it.

    Open, close and volume stay: how the late ticks lie between the others is not known, and the
    volume includes them.
    """
    highest, lowest = max(bar.high, *prices), min(bar.low, *prices)
    return replace(bar, high=highest, low=lowest, ticks=bar.ticks + len(prices))


def merge(bars: Iterable[Bar], start: int, ends: int) -> Bar:
    """Return the candle of one or more shorter ones that are in order of time."""
    parts = iter(bars)
    first = next(parts)
    highest, lowest, close = first.high, first.low, first.close
    volume, oi, ticks = first.volume, first.oi, first.ticks
    for bar in parts:
        if bar.high > highest:
            highest = bar.high
        if bar.low < lowest:
            lowest = bar.low
        close = bar.close
        if bar.volume is not None:
            volume = bar.volume if volume is None else volume + bar.volume
        if bar.oi is not None:
            oi = bar.oi
        ticks += bar.ticks
    if volume is not None and volume > MAX_VOLUME:
        volume = MAX_VOLUME
    return Bar(start, ends, first.open, highest, lowest, close, volume, oi, ticks)
