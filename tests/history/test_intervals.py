"""The names of intervals."""

import pytest

from quotes.errors import BadInterval
from quotes.history.candles.intervals import Interval


@pytest.mark.parametrize(
    ("name", "interval"),
    [("1m", 1), ("minute", 1), ("5minute", 5), ("60m", 60), ("day", 1440), ("1d", 1440)],
)
def test_intervals_have_our_names_and_kites(name: str, interval: int) -> None:
    """Both mean the same."""
    assert Interval.parse(name) == interval
    assert Interval.parse(Interval(interval).label) == interval


@pytest.mark.parametrize("name", ["", "2m", "1D", "m", "5", "1M "])
def test_other_names_are_refused(name: str) -> None:
    """The text lists what there is."""
    with pytest.raises(BadInterval, match=f"1m, 3m, .* 1w, 1M, got '{name}'"):
        Interval.parse(name)
