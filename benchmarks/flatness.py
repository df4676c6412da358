"""Whether a quantity grows: samples over time, and a line through them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

MIB = 1 << 20
WARM_UP_SHARE = 0.2  # of the samples, which are left out: caches and pools fill


@dataclass(frozen=True)
class Tolerance:
    """How much a quantity may grow in one run: a share of its mean, and at least a fixed amount."""

    share: float
    least: float


# Quantity of a process -> tolerance. Allocators keep what they had at a peak; connections come
# and go, so that their number at one moment is not that at another.
TOLERANCES = {
    "memory": Tolerance(0.05, 8 * MIB),
    "files": Tolerance(0.05, 8),
    "threads": Tolerance(0.05, 2),
}


@dataclass
class Samples:
    """One quantity of one process, sampled at even times."""

    name: str
    quantity: str
    values: list[float] = field(default_factory=list)

    def judged(self) -> list[float]:
        """Return the samples after the warm-up."""
        return self.values[round(WARM_UP_SHARE * len(self.values)) :]

    def halves(self) -> tuple[float, float]:
        """Return the means of the first and the second half."""
        values = self.judged()
        middle = len(values) // 2
        return fmean(values[:middle] or values), fmean(values[middle:])

    def growth(self) -> float:
        """Return by how much a line through the samples grows over them."""
        values = self.judged()
        return slope(values) * max(0, len(values) - 1)

    def is_flat(self) -> bool:
        """Return whether it grew by no more than its tolerance, by the line and by the halves."""
        tolerance = TOLERANCES[self.quantity]
        first, second = self.halves()
        allowed = max(tolerance.least, tolerance.share * first)
        return self.growth() <= allowed or second - first <= allowed / 2


def slope(values: Sequence[float]) -> float:
    """Return the slope of the least-squares line through values at 0, 1, 2, ..."""
    if len(values) < 2:
        return 0.0
    middle, mean = (len(values) - 1) / 2, fmean(values)
    squares = sum((at - middle) ** 2 for at in range(len(values)))
    return sum((at - middle) * (value - mean) for at, value in enumerate(values)) / squares
