"""REST answers about the greeks of an option chain: what they are computed from, and when not."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from instruments.greeks import Terms, value
from instruments.index import index
from instruments.keys import InstrumentKey
from instruments.models import Holiday, Instrument, TradingSession
from tests.instruments import prices
from tests.instruments.factories import nifty50_index, nifty_option
from tests.instruments.test_api import get

pytestmark = pytest.mark.django_db

EXPIRY = date(2099, 8, 27)  # a Thursday
EXPIRES = datetime(2099, 8, 27, 10, 0, tzinfo=UTC)
NOW_MS = int(EXPIRES.timestamp() * 1000) - 10 * 86_400_000
YEARS = 10 / 365
SPOT = InstrumentKey("NSE_INDEX", "NIFTY 50")
FUTURE = InstrumentKey("NFO", "NIFTY99AUGFUT")
PATH = "instruments/NIFTY/greeks/"


def option_key(strike: int, side: str) -> InstrumentKey:
    return InstrumentKey("NFO", f"NIFTY99AUG{strike}{side}")


def set_price(key: InstrumentKey, price: float, *, age_ms: int = 0) -> None:
    prices.known[key] = prices.Price(Decimal(f"{price:.2f}"), NOW_MS - age_ms)


@pytest.fixture(autouse=True)
def chain(settings: Any) -> Iterator[None]:
    """NIFTY with five strikes, a future of the same expiry, and the index; nothing has a price."""
    settings.INSTRUMENTS_LATEST_PRICES = "tests.instruments.prices.latest"
    settings.INSTRUMENTS_INTEREST_RATE = 6
    prices.known.clear()
    TradingSession.objects.create(
        segment_id="NFO", phase="open", opens="09:15", closes="15:30", valid_from=date(2099, 1, 1)
    )
    nifty50_index().save()
    future = nifty_option("NIFTY99AUGFUT", EXPIRY, "0", "FUT")
    future.strike = None
    future.save()
    for strike in range(23800, 24300, 100):
        for side in ("CE", "PE"):
            nifty_option(option_key(strike, side).symbol, EXPIRY, str(strike), side).save()
    index.__init__()  # type: ignore[misc]
    index.refresh()
    yield
    Instrument.objects.all().delete()
    index.__init__()  # type: ignore[misc]


def rows(answer: Any) -> dict[str, Any]:
    return {row["key"].removeprefix("NFO:NIFTY99AUG"): row for row in answer["options"]}


@pytest.mark.parametrize(
    ("priced", "model", "carry"),
    [({SPOT: 24010.0, FUTURE: 24050.0}, "black-76", 0), ({SPOT: 24010.0}, "black-scholes", 0.06)],
)
def test_greeks_are_those_of_the_best_underlying(
    priced: dict[InstrumentKey, float], model: str, carry: float
) -> None:
    """The future of the same expiry comes first, then the index, which grows by the rate."""
    for key, price in priced.items():
        set_price(key, price)
    used = FUTURE if model == "black-76" else SPOT
    for strike in (23800, 24000, 24200):
        for side in ("CE", "PE"):
            terms = Terms(side == "CE", priced[used], strike, YEARS, 0.06, carry)
            set_price(option_key(strike, side), value(terms, 0.15))
    answer = get(PATH)
    assert (answer["model"], answer["underlying_price"]["key"]) == (model, str(used))
    assert (answer["expires"], answer["rate"]) == ("2099-08-27T10:00:00Z", 6)
    assert float(answer["years"]) == pytest.approx(YEARS, rel=1e-5)
    found = rows(answer)
    for strike in (23800, 24000, 24200):
        call, put = found[f"{strike}CE"], found[f"{strike}PE"]
        assert float(call["iv"]) == pytest.approx(15, abs=0.02)
        assert float(put["iv"]) == pytest.approx(15, abs=0.02)
        assert 0 < float(call["delta"]) < 1 and -1 < float(put["delta"]) < 0
        assert float(call["gamma"]) == pytest.approx(float(put["gamma"]), rel=1e-2)
        assert float(call["theta"]) < 0 < float(call["vega"])
    assert float(found["24000CE"]["delta"]) == pytest.approx(0.53, abs=0.03)
    # A day less, and all else equal.
    at = Terms(True, priced[used], 24000, YEARS - 1 / 365, 0.06, carry)
    fall = value(at, 0.15) - float(found["24000CE"]["price"])
    assert float(found["24000CE"]["theta"]) == pytest.approx(fall, rel=0.05)
    assert found["24100CE"]["price"] is found["24100CE"]["iv"] is found["24100CE"]["delta"] is None


def test_without_the_underlying_there_are_prices_alone() -> None:
    """No price of the underlying: options have their prices, and no greeks."""
    set_price(option_key(24000, "CE"), 200)
    answer = get(PATH)
    assert answer["underlying_price"] is answer["model"] is answer["years"] is None
    assert rows(answer)["24000CE"]["price"] == 200
    assert rows(answer)["24000CE"]["iv"] is None


def test_prices_of_another_time_have_no_greeks() -> None:
    """A price that is more than an hour from the underlying's is not valued."""
    set_price(FUTURE, 24050)
    set_price(option_key(24000, "CE"), 200, age_ms=3_600_000)
    set_price(option_key(24100, "CE"), 150, age_ms=3_600_001)
    set_price(option_key(24200, "CE"), 30_000)
    found = rows(get(PATH))
    assert found["24000CE"]["iv"] is not None
    assert found["24100CE"]["iv"] is None
    assert found["24200CE"]["iv"] is None  # no option is worth more than its underlying


def test_expiry_is_the_close_of_that_day() -> None:
    """The calendar says when the segment closes; a day without trading ends at 15:30."""
    Holiday.objects.create(
        segment_id="NFO", date=EXPIRY, name="Evening", opens="18:00", closes="19:15"
    )
    assert get(PATH)["expires"] == "2099-08-27T13:45:00Z"
    Holiday.objects.filter(date=EXPIRY).update(opens=None, closes=None)
    assert get(PATH)["expires"] == "2099-08-27T10:00:00Z"


def test_expired_options_have_no_greeks() -> None:
    """A price of the underlying after the close values nothing."""
    set_price(FUTURE, 24050, age_ms=-11 * 86_400_000)
    set_price(option_key(24000, "CE"), 200, age_ms=-11 * 86_400_000)
    answer = get(PATH)
    assert answer["years"] < 0
    assert rows(answer)["24000CE"]["iv"] is None


@pytest.mark.parametrize(
    ("price", "strikes"),
    [(None, [23900, 24000, 24100]), (23800, [23800, 23900]), (24160, [24100, 24200])],
)
def test_strikes_around_the_money(price: float | None, strikes: list[int]) -> None:
    """Only so many strikes on either side of the money come, of the middle without a price."""
    if price is not None:
        set_price(FUTURE, price)
    answer = get(f"{PATH}?strikes_around=1")
    assert sorted({int(row["strike"]) for row in answer["options"]}) == strikes


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?strikes_around=-1", 400),
        ("?strikes_around=many", 400),
        ("?strike=1", 400),
        ("?segment=NFOO", 400),
        ("?expiry=2099-08-28", 404),
        ("?segment=MCX", 404),
        ("?strikes_around=0&expiry=2099-08-27&segment=NSE_FO", 200),
    ],
)
def test_parameters(query: str, status: int) -> None:
    """Parameters are those of the chain, and strikes_around."""
    get(PATH + query, status=status)


def test_callers_without_the_segment_get_none(settings: Any) -> None:
    """Without a right to the options' segment the answer is as the chain's; see the doors' test."""
    settings.QUOTES_ANONYMOUS_SEGMENTS = "NSE_EQ"
    assert Client().get(f"/api/{PATH}").status_code == 401
    # The index alone is hidden: the options come, and are valued by the future.
    settings.QUOTES_ANONYMOUS_SEGMENTS = "NFO"
    set_price(SPOT, 24010)
    set_price(option_key(24000, "CE"), 200)
    assert get(PATH)["underlying_price"] is None


def test_commodities_are_valued_by_the_future_they_are_on() -> None:
    """Options of MCX expire before their future, which is no spot."""
    for symbol, kind, day, strike in (
        ("CRUDEOIL99SEPFUT", "FUT", date(2099, 9, 18), None),
        ("CRUDEOIL99OCTFUT", "FUT", date(2099, 10, 19), None),
        ("CRUDEOIL99SEP6000CE", "CE", date(2099, 9, 16), Decimal(6000)),
    ):
        Instrument.objects.create(
            segment_id="MCX",
            symbol=symbol,
            instrument_type=kind,
            underlying="CRUDEOIL",
            expiry=day,
            strike=strike,
        )
    index.__init__()  # type: ignore[misc]
    index.refresh()
    set_price(InstrumentKey("MCX", "CRUDEOIL99OCTFUT"), 6100)
    assert get("instruments/CRUDEOIL/greeks/")["underlying_price"] is None
    set_price(InstrumentKey("MCX", "CRUDEOIL99SEPFUT"), 6050)
    set_price(InstrumentKey("MCX", "CRUDEOIL99SEP6000CE"), 300)
    answer = get("instruments/CRUDEOIL/greeks/")
    assert answer["model"] == "black-76"
    assert answer["underlying_price"]["key"] == "MCX:CRUDEOIL99SEPFUT"
    assert answer["options"][0]["iv"] > 0
