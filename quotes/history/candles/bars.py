"""Candles from ticks and from shorter candles: pure rules, no I/O.

The ticks of a candle are put in the order of their events: by time, then by the day's volume where
given (a trade adds to it), then by arrival. So a candle does not depend on the order in which ticks
of different times or volumes arrive, nor on how they come in batches.

Traded volume comes from readings of the day's volume so far. The readings of one session, in the
order of their events, go up. Where they do not:

- a reading below the highest, but not below half of it, is a late or repeated one: adds nothing;
- 0 after a greater reading is a feed that does not know: adds nothing;
- a fall below half of the highest is a counter that began anew: what it shows was traded since,
  and it counts from there;
- a jump from there, from below half, back to the height before the fall or above it shows that the
  fall was a bad reading: only what is above that height was traded.

What was traded before the first reading of a session counts as traded at that reading.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

NO_VOLUME = -1

# One tick as candles need it: event time, the day's volume or NO_VOLUME, position, price, open
# interest or None. Tuples compare in the order of events, since a series has a position once.
Point = tuple[int, int, int, Decimal, int | None]

# Where the day's volume stands: the highest reading of the present counter, and the height from
# which the counter fell to begin anew (0: it did not).
Standing = tuple[int, int]

SESSION_START: Standing = (0, 0)


@dataclass(slots=True)
class Bar:
    """One candle.

    Attributes:
        start, ends: Unix milliseconds; the end is not part of it.
        volume: None when no tick said how much was traded.
        oi: the last one that a tick gave.
        standing: where the day's volume stands at the close; of one-minute candles only.
        final: whether its time is known to have passed.
        revised: whether it changed after it was told to be final.
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
    standing: Standing = (0, 0)
    final: bool = False
    revised: bool = False

    @property
    def values(self) -> tuple[object, ...]:
        """What a reader sees of it, flags left out, digits included."""
        prices = (self.open, self.high, self.low, self.close)
        return (*map(str, prices), self.volume, self.oi, self.ticks)


def fold(
    points: Sequence[Point], start: int, ends: int, standing: Standing, bar: Bar | None = None
) -> Bar:
    """Return the candle of points, at least one, in the order of events.

    Args:
        standing: where the day's volume stood before; not used with a bar.
        bar: the candle of points that come before these; it is left as it is.
    """
    if bar is None:
        price = points[0][3]
        opened = highest = lowest = price
        volume, oi, ticks = None, None, 0
    else:
        opened, highest, lowest = bar.open, bar.high, bar.low
        volume, oi, ticks, standing = bar.volume, bar.oi, bar.ticks, bar.standing
        price = bar.close
    for _, reading, _, price, interest in points:
        if price > highest:
            highest = price
        elif price < lowest:
            lowest = price
        if reading >= 0:
            # The usual cases at once: the counter stands, or goes on from where it was.
            if reading == standing[0]:
                traded = 0
            else:
                traded, standing = advance(standing, reading)
            volume = traded if volume is None else volume + traded
        if interest is not None:
            oi = interest
    return Bar(
        start, ends, opened, highest, lowest, price, volume, oi, ticks + len(points), standing
    )


def advance(standing: Standing, reading: int) -> tuple[int, Standing]:
    """Return what was traded since the readings before, and where the volume stands now.

    Args:
        reading: the day's volume so far, at least 0.
    """
    highest, fallen_from = standing
    if reading > highest:
        if 2 * highest < fallen_from <= reading:
            return reading - fallen_from, (reading, 0)
        return reading - highest, (reading, fallen_from)
    if reading and 2 * reading < highest:
        return reading, (reading, highest)
    return 0, standing


def merge(bars: Iterable[Bar], start: int, ends: int) -> Bar:
    """Return the candle that shorter ones, at least one, in order of time, make together."""
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
    return Bar(start, ends, first.open, highest, lowest, close, volume, oi, ticks)
