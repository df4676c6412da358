"""How the rate that a market is carried at is found."""

from collections.abc import Callable

import pytest

from benchmarks.market import FLAT_MS, Probe, search, thirds
from benchmarks.processes import Failed


def server(carries: float, *, publisher: float = 1e9) -> Callable[[float], Probe]:
    """A server whose backlog grows above a rate, with a publisher that reaches a rate at most."""

    def probe(rate: float) -> Probe:
        reached = min(rate, publisher)
        grown_ms = max(0.0, reached / carries - 1) * 1e5
        delivered = min(reached, carries)
        return Probe(rate, reached, delivered, 50.0, 50.0 + grown_ms, conflated=0)

    return probe


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.81, 0.9, 0.99, 1.05])
def test_the_highest_rate_that_is_carried_is_found(share: float) -> None:
    """A burst shows more or less than what is carried; the search ends within a few percent."""
    found = search(server(100_000 * share), burst_per_s=100_000)
    assert 0.93 * 100_000 * share <= found <= 1.001 * 100_000 * share


def test_a_rate_is_carried_if_the_backlog_is_flat_and_nothing_is_conflated() -> None:
    """Conflated updates and a growing backlog are no credit."""
    assert Probe(1000, 1000, 1000, 50, 50 + FLAT_MS, 0).carried
    assert Probe(1000, 1000, 1000, 900, 50, 0).carried
    assert not Probe(1000, 1000, 900, 50, 51 + FLAT_MS, 0).carried
    assert not Probe(1000, 1000, 1000, 50, 50, 1).carried


def test_a_rate_that_the_publisher_does_not_reach_is_not_credited() -> None:
    """The search ends at what was published."""
    probed = []

    def probe(rate: float) -> Probe:
        probed.append(rate)
        return server(200_000, publisher=60_000)(rate)

    assert search(probe, burst_per_s=100_000) == 60_000
    assert len(probed) == 1


def test_a_server_that_carries_no_rate_fails() -> None:
    """The failure names the lowest rate that was probed."""
    with pytest.raises(Failed, match="the backlog grew at each rate"):
        search(lambda rate: Probe(rate, rate, 0, 50, 50, conflated=1), burst_per_s=100_000)


def test_thirds_are_medians() -> None:
    """One late sample moves neither."""
    assert thirds([1, 2, 3, 50, 50, 50, 7, 900, 9]) == (2, 9)
    assert thirds([4]) == (4, 4)
