"""Candles from ticks and from shorter candles: pure rules, no I/O.

The ticks of a candle are sorted by event time, then by the day's volume if the tick has one (each
trade adds to it), then by arrival. A candle therefore does not depend on the order in which ticks
of different times or volumes arrive, nor on how they are cut into batches.

The volume of a candle comes from readings of the day's volume so far. Within one session, in the
order of events, the readings rise. If one does not:

- A reading below the highest, but not below half of it, is late or repeated and adds nothing.
- 0 after a greater reading means that the feed does not know the volume. It adds nothing.
- A fall below half of the highest means that the counter was reset. The new reading was traded
  since then, and counting goes on from there.
- If the readings jump from there back to the level before the fall, or above it, the fall was a
  bad reading. Only the volume above that level was traded.

The first reading of a session counts as traded at that moment. Readings that fall and rise again
and again may add up to more than a column holds: a volume ends at MAX_VOLUME.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

NO_VOLUME = -1
MAX_VOLUME = 2**63 - 1

# One tick as candles need it: event time, the day's volume or NO_VOLUME, position, price, open
# interest or None. Tuples compare in the order of events, since a series has a position once.
Point = tuple[int, int, int, Decimal, int | None]

# The highest reading of the day's volume since the counter was last reset, and the level from
# which it fell at that reset (0: no reset).
VolumeState = tuple[int, int]

SESSION_START: VolumeState = (0, 0)


@dataclass(slots=True)
class Bar:
    """One candle.

    Attributes:
        start, ends: Unix milliseconds; the end is exclusive.
        volume: traded within the candle; None if no tick had a volume.
        oi: open interest of the last tick that had one.
        ticks: how many ticks the candle has.
        volume_state: state of the day's volume at the close; of one-minute candles only.
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
    volume_state: VolumeState = (0, 0)
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
    """
    if bar is None:
        price = points[0][3]
        opened = highest = lowest = price
        volume, oi, ticks = None, None, 0
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
    if volume is not None and volume > MAX_VOLUME:
        volume = MAX_VOLUME
    return Bar(
        start, ends, opened, highest, lowest, price, volume, oi, ticks + len(points), volume_state
    )


def count_volume(volume_state: VolumeState, reading: int) -> tuple[int, VolumeState]:
    """Return the volume traded since the previous readings, and the new state.

    Args:
        reading: the day's volume so far, at least 0.
    """
    highest, fallen_from = volume_state
    if reading > highest:
        if 2 * highest < fallen_from <= reading:
            return reading - fallen_from, (reading, 0)
        return reading - highest, (reading, fallen_from)
    if reading and 2 * reading < highest:
        return reading, (reading, highest)
    return 0, volume_state


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
