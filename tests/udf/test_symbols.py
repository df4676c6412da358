"""The fields of instruments for charts, and what their search field finds."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from redis import Redis

from instruments.index import index
from instruments.models import Instrument
from quotes.access.models import SegmentGrant
from quotes.udf.symbols import price_scale
from tests.access.people import access_token, asha
from tests.history.factories import minutes
from tests.instruments.factories import (
    crudeoil_future,
    equity,
    m_and_m,
    nifty50_index,
    nifty_call,
    nifty_weekly_call,
    reliance,
    reliance_future,
    sensex_index,
)
from tests.rest.test_prices_csv import put

pytestmark = pytest.mark.django_db(databases=["default", "history"])

TODAY = date(2024, 4, 5)
RESOLUTIONS = ["1", "3", "5", "10", "15", "30", "60", "1D", "1W", "1M"]

# The documented fields of a symbol and their types.
FIELDS: dict[str, type] = {
    **dict.fromkeys(("name", "full_name", "ticker", "description", "type", "session"), str),
    **dict.fromkeys(("session_holidays", "corrections", "timezone", "exchange"), str),
    **dict.fromkeys(("listed_exchange", "format", "currency_code", "data_status"), str),
    **dict.fromkeys(("pricescale", "minmov", "volume_precision", "delay"), int),
    **dict.fromkeys(("has_intraday", "has_daily", "has_weekly_and_monthly"), bool),
    **dict.fromkeys(("intraday_multipliers", "supported_resolutions"), list),
    **dict.fromkeys(("daily_multipliers", "weekly_multipliers", "monthly_multipliers"), list),
}


def usdinr_future() -> Instrument:
    return Instrument(
        segment_id="CDS",
        symbol="USDINR24APRFUT",
        instrument_type="FUT",
        underlying="USDINR",
        expiry=date(2024, 4, 26),
        lot_size=1,
        tick_size=Decimal("0.0025"),
    )


@pytest.fixture(autouse=True)
def master(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instruments of every kind, in April 2024."""
    Instrument.objects.bulk_create(
        [
            *(reliance(), reliance("BSE_EQ"), m_and_m(), nifty50_index(), sensex_index()),
            *(nifty_call(), nifty_weekly_call(), reliance_future(), usdinr_future()),
            *(crudeoil_future(), equity("RELIABLE", tick_size=Decimal("0.01"))),
        ]
    )
    index.refresh()
    monkeypatch.setattr("quotes.udf.hours.today_in_india", lambda: TODAY)


def get(path: str, *, status: int = 200, client: Client | None = None, **query: Any) -> Any:
    answer = (client or Client()).get(f"/udf/{path}", query, headers={"accept": "text/html"})
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/json"
    assert answer["Cache-Control"] == "no-store" and answer["Referrer-Policy"] == "no-referrer"
    return answer.json()


def test_config_has_the_documented_fields() -> None:
    """Search and not groups; resolutions, exchanges and types for the search field."""
    config = get("config")
    assert config["supported_resolutions"] == RESOLUTIONS
    flags = {name: value for name, value in config.items() if isinstance(value, bool)}
    assert flags == {
        "supports_search": True,
        "supports_group_request": False,
        "supports_marks": False,
        "supports_timescale_marks": False,
        "supports_time": True,
    }
    assert [one["value"] for one in config["exchanges"]] == ["", "NSE", "BSE", "MCX"]
    assert all(set(one) == {"value", "name", "desc"} for one in config["exchanges"])
    assert [one["value"] for one in config["symbols_types"]] == [
        *("", "stock", "index", "futures", "option"),
    ]


def test_openbb_finds_the_chart() -> None:
    """OpenBB reads which widgets a server has; the symbol of this one is a name of UDF."""
    answer = Client().get("/widgets.json")
    assert answer.status_code == 200
    (widget,) = answer.json().values()
    assert (widget["type"], widget["endpoint"]) == ("advanced_charting", "/udf")
    assert get("symbols", symbol=widget["data"]["defaultSymbol"])["type"] == "index"


def test_time_is_plain_text_in_seconds() -> None:
    """As near to now as two clocks of one machine are."""
    answer = Client().get("/udf/time")
    assert answer["Content-Type"] == "text/plain"
    assert abs(int(answer.content) - datetime.now(UTC).timestamp()) < 60


def test_there_are_no_marks() -> None:
    """Empty lists, whatever the range."""
    for path in ("marks", "timescale_marks"):
        terms: dict[str, Any] = {"symbol": "RELIANCE", "from": 0, "to": 1, "resolution": "1D"}
        assert get(path, **terms) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "NSE:RELIANCE",
            {
                **{"name": "RELIANCE", "ticker": "NSE_EQ:RELIANCE", "type": "stock"},
                **{"description": "RELIANCE INDUSTRIES", "exchange": "NSE"},
                **{"pricescale": 100, "minmov": 5, "session": "0915-1530"},
                **{"visible_plots_set": "ohlcv", "expired": None},
            },
        ),
        (
            "NFO:NIFTY24APR18000CE",
            {
                **{"ticker": "NFO:NIFTY24APR18000CE", "type": "option", "exchange": "NSE"},
                **{"description": "NIFTY 25 Apr 2024 18000 CE", "pricescale": 100, "minmov": 5},
                **{"session": "0915-1530", "expired": True},
                "expiration_date": datetime(2024, 4, 25, 10, 0, tzinfo=UTC).timestamp(),
            },
        ),
        (
            "USDINR24APRFUT",
            {
                **{"ticker": "CDS:USDINR24APRFUT", "type": "futures", "exchange": "NSE"},
                **{"pricescale": 10000, "minmov": 25, "session": "0900-1700"},
                **{"description": "USDINR 26 Apr 2024 FUT", "expired": True},
            },
        ),
        (
            "MCX:CRUDEOIL24APRFUT",
            {
                **{"ticker": "MCX:CRUDEOIL24APRFUT", "type": "futures", "exchange": "MCX"},
                **{"pricescale": 1, "minmov": 1, "session": "0900-2330"},
                "expiration_date": datetime(2024, 4, 19, 18, 0, tzinfo=UTC).timestamp(),
            },
        ),
        (
            "NIFTY 50",
            {
                **{"ticker": "NSE_INDEX:NIFTY 50", "type": "index", "pricescale": 100},
                **{"minmov": 1, "visible_plots_set": "ohlc", "session": "0915-1530"},
            },
        ),
        ("BSE:RELIANCE", {"ticker": "BSE_EQ:RELIANCE", "exchange": "BSE"}),
        ("reliance", {"ticker": "NSE_EQ:RELIANCE"}),
        ("M&M", {"ticker": "NSE_EQ:M&M", "name": "M&M"}),
    ],
)
def test_symbol_has_the_documented_fields(name: str, expected: dict[str, Any]) -> None:
    """Of a share, an option, a currency, a commodity and an index; the ticker finds it again."""
    found = get("symbols", symbol=name)
    assert {field: found.get(field) for field in expected} == expected
    for field, kind in FIELDS.items():
        assert type(found[field]) is kind, field
    assert found["timezone"] == "Asia/Kolkata" and found["supported_resolutions"] == RESOLUTIONS
    assert found["intraday_multipliers"] == RESOLUTIONS[:7]
    assert get("symbols", symbol=found["ticker"]) == found
    assert get("symbols", symbol=found["full_name"]) == found
    assert "20240126" in found["session_holidays"] + found["corrections"]


def test_contract_is_not_expired_before_it_closes() -> None:
    """It expires with the close of its last day."""
    Instrument.objects.filter(symbol="CRUDEOIL24APRFUT").update(expiry=date(2099, 4, 17))
    index.__init__()  # type: ignore[misc]
    index.refresh()
    assert get("symbols", symbol="MCX:CRUDEOIL24APRFUT")["expired"] is False


def test_contract_that_traded_once_is_still_a_symbol() -> None:
    """By its key, from its row that is not active any more, or from its symbol and its history."""
    Instrument.objects.filter(symbol="NIFTY2441118000CE").update(active=False)
    index.__init__()  # type: ignore[misc]
    index.refresh()
    minutes(1, index.resolve("NFO:NIFTY2441118000CE"))
    found = get("symbols", symbol="NFO:NIFTY2441118000CE")
    assert (found["type"], found["expired"], found["minmov"]) == ("option", True, 5)
    minutes(1, index.resolve("NFO:BANKNIFTY24APRFUT"))
    found = get("symbols", symbol="NFO:BANKNIFTY24APRFUT")
    assert (found["type"], found["pricescale"], found["minmov"]) == ("futures", 100, 1)


def test_published_name_that_the_master_does_not_have_is_a_symbol(redis: Redis) -> None:
    """It trades around the clock."""
    put(redis, "", "AAPL", "189.45")
    found = get("symbols", symbol="AAPL")
    assert (found["ticker"], found["session"], found["exchange"]) == ("AAPL", "24x7", "")


@pytest.mark.parametrize(
    ("path", "query", "status", "text"),
    [
        ("symbols", {}, 400, "symbol is required"),
        ("symbols", {"symbol": "NOSUCH"}, 404, "unknown_symbol"),
        ("symbols", {"symbol": "x" * 65}, 400, "a symbol must have 1 to 64 characters"),
        ("symbols", {"symbol": "*"}, 400, "not a symbol"),
        ("symbols", {"symbol": ["A", "B"]}, 400, "symbol must not be repeated"),
        ("symbol_info", {}, 400, "group is required"),
        ("symbol_info", {"group": "NSEE"}, 400, "not a segment"),
        ("search", {"query": "A", "exchange": "NYSE"}, 400, "not a segment"),
        ("search", {"query": "A", "type": "bond"}, 400, "type must be one of stock, index"),
        ("search", {"query": "A", "limit": "x"}, 400, "limit must be a whole number"),
        ("search", {"query": "A", "limit": "0"}, 400, "limit must be a whole number"),
        ("quotes", {}, 400, "symbols is required"),
        ("quotes", {"symbols": ",".join(map(str, range(1001)))}, 400, "at most 1000"),
    ],
)
def test_bad_request_says_what_is_wrong(
    path: str, query: dict[str, Any], status: int, text: str
) -> None:
    """In `errmsg`, where clients look for it."""
    answer = get(path, status=status, **query)
    assert answer["s"] == "error" and set(answer) == {"s", "errmsg"}
    assert text in answer["errmsg"]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ({"query": "RELIANCE"}, ["NSE_EQ:RELIANCE", "BSE_EQ:RELIANCE", "NFO:RELIANCE24APRFUT"]),
        ({"query": "rel"}, ["NSE_EQ:RELIABLE", "NSE_EQ:RELIANCE", "BSE_EQ:RELIANCE"]),
        ({"query": "REL", "exchange": "BSE"}, ["BSE_EQ:RELIANCE"]),
        ({"query": "REL", "exchange": "NFO"}, ["NFO:RELIANCE24APRFUT"]),
        ({"query": "BSE:REL"}, ["BSE_EQ:RELIANCE"]),
        ({"query": "REL", "type": "futures"}, ["NFO:RELIANCE24APRFUT"]),
        ({"query": "mahindra"}, ["NSE_EQ:M&M"]),
        ({"query": "M&M"}, ["NSE_EQ:M&M"]),
        (
            {"query": "NIFTY"},
            ["NSE_INDEX:NIFTY 50", "NFO:NIFTY2441118000CE", "NFO:NIFTY24APR18000CE"],
        ),
        ({"query": "NIFTY", "limit": "1"}, ["NSE_INDEX:NIFTY 50"]),
        ({"query": "", "type": "option"}, ["NFO:NIFTY2441118000CE", "NFO:NIFTY24APR18000CE"]),
        ({"query": "", "exchange": "MCX"}, []),
        ({"query": "NO:SUCH"}, []),
        ({"query": "%"}, []),
        ({}, ["NSE_EQ:M&M", "NSE_INDEX:NIFTY 50"]),
    ],
)
def test_search_finds_the_likeliest_first(query: dict[str, Any], first: list[str]) -> None:
    """The symbol itself, those that begin so, then those that have it somewhere."""
    found = get("search", **query)
    assert [one["ticker"] for one in found][: len(first)] == first and bool(found) == bool(first)
    for one in found:
        assert set(one) == {
            *("symbol", "full_name", "ticker", "description", "exchange", "type"),
        }
        assert one["ticker"].endswith(one["symbol"])


def test_group_is_a_table_of_its_segment() -> None:
    """Columns of one length, or one value where all rows have the same."""
    table = get("symbol_info", group="NSE_EQ")
    assert table["symbol"] == ["M&M", "RELIABLE", "RELIANCE"]
    assert table["minmovement"] == [5, 1, 5] and table["pricescale"] == 100
    assert (table["type"], table["exchange-listed"]) == ("stock", "NSE")
    assert table["session-regular"] == "0915-1530" and "20240126" in table["session-holidays"]
    one = get("symbols", symbol="NSE_EQ:RELIANCE")
    assert table["corrections"] == one["corrections"]
    assert table["ticker"][2] == one["ticker"] and table["description"][2] == one["description"]
    assert get("symbol_info", group="NSE")["symbol"] == table["symbol"]
    assert get("symbol_info", group="BCD")["symbol"] == []


def test_group_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above it the error says what to use."""
    monkeypatch.setattr("quotes.udf.searching.MAX_GROUP", 2)
    assert "use /udf/search" in get("symbol_info", status=400, group="NSE_EQ")["errmsg"]
    assert len(get("symbol_info", group="NFO", status=400)["errmsg"]) > 10


def test_delay_is_shown(required: None) -> None:
    """To a user who sees the segment late."""
    user = asha("NSE_EQ")
    SegmentGrant.objects.create(user=user, segment="NFO", delay_minutes=15)
    client = Client(headers={"Authorization": f"Bearer {access_token(user)}"})
    found = [get("symbols", client=client, symbol=one) for one in ("RELIANCE", "RELIANCE24APRFUT")]
    assert [(one["data_status"], one["delay"]) for one in found] == [
        ("streaming", 0),
        ("delayed_streaming", 900),
    ]


def test_quotes_have_the_documented_fields(redis: Redis) -> None:
    """Numbers with their digits; a symbol without a quote has a status of its own."""
    put(redis, "NSE_EQ", "RELIANCE", "2930.50", bid=2930.0, ask=2930.55, prev_close=2900, volume=7)
    text = Client().get("/udf/quotes?symbols=NSE:RELIANCE,TCS,*").content
    assert b'"lp":2930.50' in text
    answer = get("quotes", symbols="NSE:RELIANCE,TCS,*")
    assert answer["s"] == "ok"
    first, second, third = answer["d"]
    assert (first["s"], first["n"]) == ("ok", "NSE:RELIANCE")
    assert first["v"] == {
        **{"short_name": "RELIANCE", "exchange": "NSE", "original_name": "NSE_EQ:RELIANCE"},
        **{"description": "RELIANCE", "lp": 2930.5, "bid": 2930.0, "ask": 2930.55},
        **{"spread": 0.55, "prev_close_price": 2900, "ch": 30.5, "chp": 1.05, "volume": 7},
    }
    assert (second["s"], second["n"], second["v"], third["s"]) == ("error", "TCS", {}, "error")


def test_quotes_are_for_those_who_are_entitled(redis: Redis, required: None) -> None:
    """In real time; another symbol of the request is not lost."""
    put(redis, "NSE_EQ", "RELIANCE")
    put(redis, "NFO", "RELIANCE24APRFUT")
    client = Client(headers={"Authorization": f"Bearer {access_token(asha('NSE_EQ'))}"})
    answer = get("quotes", client=client, symbols="RELIANCE,RELIANCE24APRFUT")
    assert [one["s"] for one in answer["d"]] == ["ok", "error"]
    assert answer["d"][1]["errmsg"] == "not entitled to NFO"


@pytest.mark.parametrize(
    ("tick", "scale", "step"),
    [
        *(("0.05", 100, 5), ("0.0500", 100, 5), ("0.0025", 10000, 25), ("0.01", 100, 1)),
        *(("1", 1, 1), ("10", 1, 10), ("0.5", 10, 5), ("2.5", 10, 25)),
    ],
)
def test_price_scale_is_the_tick(tick: str, scale: int, step: int) -> None:
    """minmov / pricescale is the tick size, in the least scale that has it."""
    assert price_scale("NSE_EQ", Decimal(tick)) == (scale, step)
    assert price_scale("CDS", None) == (10000, 1) and price_scale("", None) == (100, 1)


def test_pages_of_allowed_sites_may_read(settings: Any) -> None:
    """As the API: of no other site, and with credentials in a header."""
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.com"]
    for origin, allowed in (("https://app.example.com", True), ("https://evil.example", False)):
        headers = {"origin": origin, "access-control-request-method": "GET"}
        for answer in (
            Client().options("/udf/history", headers=headers),
            Client().get("/udf/config", headers=headers),
            Client().get("/widgets.json", headers=headers),
        ):
            assert ("Access-Control-Allow-Origin" in answer) is allowed
