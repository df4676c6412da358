"""Requests of any kind are answered: with a price, with a reason, and never with a failure."""

from typing import Any

import pytest
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from instruments.index import index
from instruments.models import Instrument
from tests.history.factories import days, minutes
from tests.instruments.factories import m_and_m, nifty_call, reliance

pytestmark = pytest.mark.django_db(databases=["default", "history"])

NAMES = ["RELIANCE", "NSE_EQ:M&M", "NFO:NIFTY24APR18000CE", "NSE:", ":", "*", "X" * 70, "\x00"]
NUMBERS = ["0", "1", "-1", "1712275200", "1712275200000", "9" * 30, "1e9", "NaN", "٣", "1.5"]
TEXTS = st.sampled_from([*NAMES, *NUMBERS]) | st.text(max_size=8) | st.integers().map(str)
PARAMETERS = st.dictionaries(
    st.sampled_from(
        [
            *("symbol", "symbols", "resolution", "from", "to", "countback", "query", "type"),
            *("exchange", "limit", "group", "segment", "columns", "after", "refresh"),
        ]
    ),
    TEXTS | st.sampled_from(["1", "1D", "W", "M", "stock", "NSE", "NFO", "price,time", "1,2"]),
    max_size=6,
)
ADDRESSES = [
    *(f"/udf/{name}" for name in ("config", "symbols", "symbol_info", "search", "history")),
    *(f"/udf/{name}" for name in ("time", "marks", "quotes")),
    "/api/prices.csv",
]


def test_any_parameters_are_answered(redis: Redis) -> None:
    """With a status below 500; an error of UDF is JSON, one of CSV is a line of text."""
    Instrument.objects.bulk_create([reliance(), m_and_m(), nifty_call()])
    index.refresh()
    minutes(3)
    days(2)
    client = Client()

    @settings(max_examples=300)
    @given(st.sampled_from(ADDRESSES), PARAMETERS)
    def check(address: str, parameters: dict[str, Any]) -> None:
        answer = client.get(address, parameters)
        assert answer.status_code in (200, 400, 404), answer.content
        if answer.status_code == 200:
            return
        if address == "/api/prices.csv":
            assert answer.content.count(b"\n") == 1
        else:
            found = answer.json()
            assert found["s"] == "error" and found["errmsg"]

    check()
