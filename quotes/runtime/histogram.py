"""A histogram of plain numbers: counted where something happens, read by whoever reports it."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

# Upper bounds in seconds, for what takes from less than a millisecond to some seconds.
LATENCIES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class HistogramState(NamedTuple):
    """A histogram at one moment.

    Attributes:
        bounds: the upper bound of each bucket but the last, which has none.
        counts: how many values each bucket has, not summed up.
        total: the sum of all values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


class Histogram:
    """Counts values by size.

    One thread adds values, without a lock; any thread may read them. A value that is added
    meanwhile is in the counts or not.
    """

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float] = LATENCIES_S) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0

    def add(self, value: float) -> None:
        """Count a value; negative ones, as of clocks that differ a little, count as 0."""
        value = max(0.0, value)
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def state(self) -> HistogramState:
        """Return what was counted so far."""
        return HistogramState(self._bounds, tuple(self._counts), self._total)
