"""The volume of candles, from readings of the day's volume: pure rules, no I/O.

Each tick may bring a reading of the volume that the day has had so far. In the order of events the
day's readings rise; a reading that does not fit is noise: late, of another meaning (the quantity of
the last trade), or wrong. The readings that count are a longest rising sequence of the session's
readings. A reading below or above that sequence adds nothing, however far off it is, and whichever
comes first: whether a reading is noise may be known only from those after it, and then a candle is
revised.

The first reading that counts was traded at that moment. 0 after a greater reading means that the
feed does not know. So the candles of a session add up to its last reading that counts. A counter
that starts over within a session is not supported: the longer part counts.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

# The day's volume at the close of a candle, and 1 if a reading of the candle is noise, or below the
# day's volume before it, else 0.
VolumeState = tuple[int, int]

SESSION_START: VolumeState = (0, 0)

# The largest volume that a database column holds.
MAX_VOLUME = 2**63 - 1


class FixedVolume(NamedTuple):
    """The volume of a candle whose ticks are not stored; None: unknown."""

    volume: int | None


class CandleVolume(NamedTuple):
    """What was traded within a candle (None: it has no reading), and the state at its close."""

    traded: int | None
    state: VolumeState


def count_volume(state: VolumeState, reading: int) -> tuple[int, VolumeState]:
    """Return what a reading adds, and the new state; exact while no reading is noise.

    Args:
        reading: the day's volume so far, at least 0.
    """
    level, noise = state
    if reading >= level:
        return reading - level, (reading, noise)
    return 0, (level, 1 if reading else noise)


def day_volumes(candles: Sequence[Sequence[int] | FixedVolume]) -> list[CandleVolume]:
    """Return the volume of each candle of one session.

    Args:
        candles: in order of time, the readings of each in the order of events, or its volume if its
            ticks are not stored. That was traded besides what later readings add above it.
    """
    readings = [
        reading
        for candle in candles
        if not isinstance(candle, FixedVolume)
        for reading in candle
        if reading
    ]
    counts = iter(_is_rising(readings))
    found: list[CandleVolume] = []
    level = 0
    for candle in candles:
        if isinstance(candle, FixedVolume):
            level = min(level + (candle.volume or 0), MAX_VOLUME)
            found.append(CandleVolume(candle.volume, (level, 0)))
            continue
        before, noise = level, 0
        for reading in candle:
            if not reading:
                continue
            # Candles whose ticks are not stored can have more than a reading that counts.
            if not next(counts) or reading < level:
                noise = 1
            else:
                level = reading
        found.append(CandleVolume(level - before if candle else None, (level, noise)))
    return found


def _is_rising(readings: Sequence[int]) -> list[bool]:
    """Return which readings belong to a longest sequence that does not fall.

    Of several as long, the one with the earliest readings is taken: the fewest are revised later.
    """
    upto = _lengths(readings)
    onward = _lengths([-reading for reading in reversed(readings)])[::-1]
    longest = max(upto, default=0)
    rising = [False] * len(readings)
    length = last = 0
    for at, reading in enumerate(readings):
        if (
            upto[at] == length + 1
            and reading >= last
            and upto[at] + onward[at] == longest + 1  # it can be continued to that length
        ):
            rising[at] = True
            length, last = length + 1, reading
    return rising


def _lengths(readings: Sequence[int]) -> list[int]:
    """Return how long a sequence that does not fall can be that ends with each reading."""
    lowest: list[int] = []  # the least last reading of a sequence with 1, 2, ... members
    lengths = []
    for reading in readings:
        shorter = bisect_right(lowest, reading)
        lowest[shorter : shorter + 1] = [reading]
        lengths.append(shorter + 1)
    return lengths
