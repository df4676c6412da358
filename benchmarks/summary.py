"""Medians and percentiles: pure."""

from collections.abc import Mapping, Sequence
from statistics import median


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that `share` percent of the values do not exceed.

    Args:
        ordered: values in ascending order, at least one.
        share: above 0, up to 100.
    """
    if not ordered:
        raise ValueError("a percentile needs a value")
    rank = -(-len(ordered) * share // 100)  # rounded up
    return ordered[max(0, int(rank) - 1)]


def medians(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each metric over the runs that have it."""
    names = dict.fromkeys(name for run in runs for name in run)
    return {name: median(run[name] for run in runs if name in run) for name in names}


def spread(runs: Sequence[Mapping[str, float]], name: str) -> float:
    """Return how far the largest is above the smallest, as a share of the median; 0 for none."""
    values = [run[name] for run in runs if name in run]
    middle = median(values) if values else 0
    return (max(values) - min(values)) / middle if middle else 0.0
