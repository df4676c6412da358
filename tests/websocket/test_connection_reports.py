"""The rates that a web process reports to operators, from counters read now and then."""

from quotes.websocket.feed.connection_reports import Rates, Totals


def test_rates_are_those_since_the_last_report() -> None:
    """The first since the start; after a long pause, since the start again."""
    rates = Rates(100.0)
    assert rates.take(110.0, Totals(50, 20, 1000)) == (5.0, 2.0, 100.0)
    assert rates.take(115.0, Totals(60, 20, 6000)) == (2.0, 0.0, 1000.0)
    assert rates.take(200.0, Totals(160, 30, 6000)) == (1.6, 0.3, 60.0)


def test_rates_of_two_operators_at_once_are_the_same() -> None:
    """A report right after another has its rates: a moment is too short to measure."""
    rates = Rates(0.0)
    assert rates.take(0.2, Totals(5, 5, 5)) == (0.0, 0.0, 0.0)
    first = rates.take(5.0, Totals(50, 10, 100))
    assert first == (10.0, 2.0, 20.0)
    assert rates.take(5.5, Totals(500, 100, 1000)) == first


def test_rates_are_never_below_zero() -> None:
    """A transport that does not count what it writes takes nothing away."""
    rates = Rates(0.0)
    rates.take(10.0, Totals(1, 1, 1000))
    assert rates.take(20.0, Totals(1, 1, 0)) == (0.0, 0.0, 0.0)
