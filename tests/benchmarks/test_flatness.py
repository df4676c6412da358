"""Whether samples grow, as the soak judges them."""

import math

import pytest

from benchmarks.flatness import MIB, Samples, slope


def samples(quantity: str, values: list[float]) -> Samples:
    return Samples("web 1", quantity, values)


def test_slope_is_that_of_a_line() -> None:
    """Exact for a line, 0 for one value or none."""
    assert slope([1, 3, 5, 7]) == 2
    assert slope([5, 5, 5]) == slope([5]) == slope([]) == 0


@pytest.mark.parametrize(
    ("quantity", "values"),
    [
        ("memory", [100 * MIB] * 60),
        # It fills its caches, and stays there.
        ("memory", [(60 + min(at, 10) * 4) * MIB for at in range(60)]),
        ("memory", [(100 + 5 * math.sin(at / 3)) * MIB for at in range(60)]),
        ("memory", [(100 + 0.05 * at) * MIB for at in range(60)]),
        ("files", [300.0 + at % 7 for at in range(60)]),
        ("threads", [12.0, 13.0] * 30),
    ],
)
def test_what_does_not_grow_is_flat(quantity: str, values: list[float]) -> None:
    """A warm-up, waves and noise within the tolerance are no growth."""
    assert samples(quantity, values).is_flat()


@pytest.mark.parametrize(
    ("quantity", "values"),
    [
        ("memory", [(100 + 0.5 * at) * MIB for at in range(60)]),
        ("memory", [(100 + 20 * (at > 40)) * MIB for at in range(60)]),
        ("files", [300.0 + at for at in range(60)]),
        ("threads", [12.0 + at / 10 for at in range(60)]),
    ],
)
def test_what_grows_is_found(quantity: str, values: list[float]) -> None:
    """A leak is a line that rises, or a step late in the run."""
    assert not samples(quantity, values).is_flat()
