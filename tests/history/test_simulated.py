"""A made-up past for the demo: the same candles each time, and never in an operator's history."""

import io
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from instruments.index import index
from instruments.models import Instrument
from quotes.history.candles.intervals import Interval
from quotes.history.files import simulated
from quotes.history.models import Candle
from quotes.publish.simulation.instruments import SimulatedInstrument, simulated_instruments
from quotes.publish.simulation.past import past_candles
from quotes.runtime.clock import IST, MINUTE_MS, midnight_of, today_in_india
from tests.instruments.factories import reliance

LISTED = list(simulated_instruments(date(2026, 11, 27)))


def few(today: date) -> Iterator[SimulatedInstrument]:
    """Yield one instrument of each kind, of the contracts of a day."""
    seen: set[tuple[str, str, date | None]] = set()
    for one in simulated_instruments(today):
        kind = (one.kind, one.root, one.expiry)
        if kind not in seen and one.root in ("", "NIFTY"):
            seen.add(kind)
            yield one


@pytest.fixture
def _few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(simulated, "simulated_instruments", few)
    yield
    index.__init__()  # type: ignore[misc]


def run(*options: str) -> str:
    out = io.StringIO()
    call_command("simulate_history", *options, stdout=out)
    return out.getvalue()


def stored() -> list[tuple[Any, ...]]:
    columns = ("series__key", "interval", "start", "open", "close", "volume")
    return sorted(Candle.objects.values_list(*columns))


@pytest.mark.usefixtures("_few")
@pytest.mark.django_db(databases=["default", "history"])
def test_running_it_twice_changes_nothing() -> None:
    """Trading days have each minute, of all kinds; a second run adds none, a longer one goes on."""
    assert "candles added" in run("--days", "8")
    found = stored()
    minutes = Candle.objects.filter(interval=Interval.MINUTE, series__key="NSE_INDEX:NIFTY 50")
    days = {start // 86_400_000 for start in minutes.values_list("start", flat=True)}
    assert 3 <= len(days) <= 8 and minutes.count() >= 375 * (len(days) - 1)
    today = midnight_of(today_in_india())
    assert all(start < today for _, _, start, *_ in found)
    keys = {key for key, *_ in found}
    assert keys == {str(index.resolve(one.symbol)) for one in few(today_in_india())}
    assert all(key.startswith(("NSE_EQ:", "NSE_INDEX:", "NFO:")) for key in keys)
    assert " 0 candles added" in run("--days", "8")
    assert stored() == found
    run("--days", "15")
    assert set(found) < set(stored())


@pytest.mark.usefixtures("_few")
@pytest.mark.django_db(databases=["default", "history"])
def test_master_of_an_operator_is_refused() -> None:
    """With a master that is not simulated, nothing is written."""
    reliance().save()
    with pytest.raises(CommandError, match="not simulated"):
        run()
    assert not Candle.objects.exists() and Instrument.objects.count() == 1


@pytest.mark.parametrize("days", ["0", "-1", "366"])
def test_wrong_number_of_days_is_refused(days: str) -> None:
    """The number of days has bounds, which the error names."""
    with pytest.raises(CommandError, match="--days must be from 1 to 365"):
        run("--days", days)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(LISTED), st.dates(date(2026, 10, 1), date(2026, 12, 20)))
def test_candles_are_those_of_a_market(one: SimulatedInstrument, day: date) -> None:
    """Prices are on their tick size and within the candle, days join, and all can be repeated."""
    opens = int(datetime(day.year, day.month, day.day, 9, 15, tzinfo=IST).timestamp() * 1000)
    starts = range(opens, opens + 375 * MINUTE_MS, MINUTE_MS)
    candles = list(past_candles(one, day, starts))
    assert candles == list(past_candles(one, day, starts))
    assert [each.start for each in candles] == list(starts)
    for each in candles:
        assert 0 < each.low <= min(each.open, each.close)
        assert max(each.open, each.close) <= each.high
        assert all(price % one.tick_size == 0 for price in each[1:5])
        assert (each.volume is None) == (one.kind == "INDEX")
        assert not each.volume or each.volume % one.lot == 0
        assert (each.oi is None) == (one.expiry is None)
    before = list(past_candles(one, day - timedelta(days=1), starts))[-1]
    if one.kind in ("EQ", "INDEX"):
        assert abs(before.close / candles[0].open - 1) < Decimal("0.02")
