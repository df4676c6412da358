"""Fields of the day in quotes: what the recorder wrote, and the prices that pass."""

import json

import pytest

from quotes.websocket.delivery.day_fields import DayFields
from tests.ticks import MOMENT, tick


@pytest.mark.parametrize(
    ("key", "low"), [("NSE_EQ:TCS", b"95"), ("MCX:CRUDEOIL24APRFUT", b"-3"), ("TCS", b"-3")]
)
def test_price_that_is_no_trade_is_no_low(key: str, low: bytes) -> None:
    """A price in the tick log of an older release may be one."""
    days = DayFields()
    stored = {"open": 100, "high": 110, "low": 95, "prev_close": None, "volume": None}
    days.take(key, json.dumps({"date": "2024-04-05", **stored}).encode())
    assert days.enriched(key, tick("TCS", "-3", MOMENT), {})["low"] == low
    assert days.enriched(key, tick("TCS", "111", MOMENT), {})["high"] == b"111"


def test_publishers_close_before_wins_over_ours() -> None:
    """Exchanges adjust theirs for splits and bonuses; the change follows from it."""
    days = DayFields()
    stored = {"open": 100, "high": 110, "low": 95, "prev_close": 500, "volume": None}
    days.take("TCS", json.dumps({"date": "2024-04-05", **stored}).encode())
    price = tick("TCS", "105", MOMENT)
    ours = days.enriched("TCS", price, {})
    assert (ours["prev_close"], ours["change"]) == (b"500", b"-395")
    theirs = days.enriched("TCS", price, {"prev_close": b"100"})
    assert (theirs["prev_close"], theirs["change"], theirs["open"]) == (b"100", b"5", b"100")
