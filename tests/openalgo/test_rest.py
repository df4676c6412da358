"""OpenAlgo's REST API."""

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from redis import Redis

from instruments.index import index
from instruments.models import Instrument
from quotes.access.models import ApiKey
from quotes.history.candles.intervals import Interval
from quotes.history.models import Candle
from quotes.openalgo.rest import master
from quotes.publish.publishing import publish_ticks
from quotes.store.names import own_key
from tests.access.people import access_token, api_key, asha, expired_token, forged_token
from tests.history.factories import MIDNIGHT, MINUTE, OPENS, candle, days
from tests.instruments.factories import (
    nifty50_index,
    nifty_call,
    nifty_option,
    nifty_weekly_call,
    reliance,
    reliance_future,
    usdinr_call,
)
from tests.ticks import MOMENT, tick

pytestmark = pytest.mark.django_db(databases=["default", "history"])

ROOT = "/openalgo/api/v1/"
FOREIGN = "0123456789abcdef" * 4  # the form of an OpenAlgo server's keys


@pytest.fixture(autouse=True)
def instruments(db: None, redis: Redis) -> Iterator[None]:
    Instrument.objects.bulk_create(
        [
            reliance(),
            reliance("BSE_EQ"),
            nifty50_index(),
            nifty50_index(symbol="NIFTY BANK", exchange_token=1002, instrument_token=260105),
            nifty_call(),
            nifty_weekly_call(),
            nifty_option("NIFTY24APR18000PE", date(2024, 4, 25), "18000", "PE"),
            reliance_future(),
            usdinr_call(),
        ]
    )
    index.refresh()
    yield
    Instrument.objects.all().delete()
    index.__init__()  # type: ignore[misc]


def post(path: str, *, status: int = 200, root: str = ROOT, **body: Any) -> dict[str, Any]:
    """Return what an address answers to a body; numbers have their digits."""
    body = {"apikey": FOREIGN, **body}
    answer = Client().post(root + path, body, content_type="application/json")
    assert answer.status_code == status, answer.content
    found: dict[str, Any] = json.loads(answer.content, parse_float=Decimal)
    assert found["status"] == ("success" if status == 200 else "error")
    return found


def quotes(symbol: str = "RELIANCE", exchange: str = "NSE", **more: Any) -> dict[str, Any]:
    return post("quotes", symbol=symbol, exchange=exchange, **more)


def test_quote_has_the_tick_and_its_day(redis: Redis) -> None:
    """What the publisher did not send comes from the day's statistics, else it is 0."""
    moment = MIDNIGHT + 40_000_000
    publish_ticks(
        [tick("NSE_EQ:RELIANCE", "2950.50", moment, bid="2950.45", volume=7)], client=redis
    )
    record = '{"date":"%s","open":2900.00,"high":2960,"low":2890.10,"prev_close":2899.9,"volume":5}'
    redis.hset(own_key("day"), "NSE_EQ:RELIANCE", record % "2024-04-05")
    assert quotes()["data"] == {
        "open": Decimal("2900.00"),
        "high": 2960,
        "low": Decimal("2890.10"),
        "ltp": Decimal("2950.50"),
        "ask": 0,
        "bid": Decimal("2950.45"),
        "prev_close": Decimal("2899.9"),
        "volume": 7,
        "oi": 0,
    }
    redis.hset(own_key("day"), "NSE_EQ:RELIANCE", record % "2024-04-04")
    assert quotes()["data"]["prev_close"] == 0
    redis.hset(own_key("day"), "NSE_EQ:RELIANCE", "no record")
    assert quotes()["data"]["ltp"] == Decimal("2950.50")


def test_answers_are_compact(redis: Redis) -> None:
    """AmiBroker's plug-in looks for texts without spaces, and numbers with their digits."""
    publish_ticks([tick("NSE_EQ:RELIANCE", "2950.50")], client=redis)
    Candle.objects.bulk_create([candle(OPENS)])
    texts = {
        "quotes": (b'"ltp":2950.50', b'"open":0,'),
        "history": (b'"data":[{"timestamp":%d,' % (OPENS // 1000), b'"close":100.00,'),
        "ping": (b'"message":"pong"',),
    }
    for path, parts in texts.items():
        body = (
            f'{{"apikey":"{FOREIGN}","symbol":"RELIANCE","exchange":"NSE","interval":"1m",'
            '"start_date":"2024-04-05","end_date":"2024-04-05"}'
        )
        answer = Client().post(f"/api/v1/{path}", body, content_type="application/json")
        assert all(part in answer.content for part in (b'"status":"success"', *parts)), path


@pytest.mark.parametrize(
    ("symbol", "exchange", "name"),
    [
        ("RELIANCE", "BSE", "BSE_EQ:RELIANCE"),
        ("NIFTY", "NSE_INDEX", "NSE_INDEX:NIFTY 50"),
        ("BANKNIFTY", "NSE_INDEX", "NSE_INDEX:NIFTY BANK"),
        ("NIFTY25APR2418000CE", "NFO", "NFO:NIFTY24APR18000CE"),
        ("NIFTY11APR2418000CE", "NFO", "NFO:NIFTY2441118000CE"),
        ("RELIANCE25APR24FUT", "NFO", "NFO:RELIANCE24APRFUT"),
        ("USDINR26APR2483.5CE", "CDS", "CDS:USDINR24APR83.5CE"),
        ("AAPL", "NSE", "AAPL"),
        ("X", "BSE", "BSE_EQ:X"),
    ],
)
def test_instruments_have_openalgos_names(
    redis: Redis, symbol: str, exchange: str, name: str
) -> None:
    """Also one that the master does not have, once a price was published."""
    publish_ticks([tick(name, "1.5")], client=redis)
    assert quotes(symbol, exchange)["data"]["ltp"] == Decimal("1.5")


@pytest.mark.parametrize(
    ("symbol", "exchange", "status", "part"),
    [
        ("RELIANCE", "NSE_EQ", 400, "exchange"),
        ("RELIANCE", "nse", 400, "exchange"),
        ("RELIANCE", None, 400, "exchange"),
        ("", "NSE", 400, "symbol"),
        (["RELIANCE"], "NSE", 400, "symbol"),
        ("NOPE", "NSE", 400, "not a symbol of NSE"),
        ("NOPE", "NFO", 400, "not a symbol of NFO"),
        ("reliance", "NSE", 400, "write RELIANCE of NSE"),
        ("NIFTY 50", "NSE", 400, "write NIFTY of NSE_INDEX"),
        ("NIFTY 50", "NSE_INDEX", 400, "write NIFTY of NSE_INDEX"),
        ("NIFTY24APR18000CE", "NFO", 400, "write NIFTY25APR2418000CE of NFO"),
        ("NFO:NIFTY24APR18000CE", "NSE", 400, "NIFTY25APR2418000CE of NFO"),
        ("NFO:ODD", "NSE", 400, "not a symbol of NSE"),
        ("x" * 65, "NSE", 400, "64 characters"),
        ("*", "NSE", 400, "not a symbol"),
        ("TCS\n", "NSE", 400, "not a symbol"),
        ("RELIANCE", "NSE", 404, "no price for NSE:RELIANCE"),
    ],
)
@pytest.mark.parametrize("path", ["quotes", "depth"])
def test_bad_instrument_is_an_error_of_openalgo(
    path: str, symbol: Any, exchange: Any, status: int, part: str
) -> None:
    """The status is OpenAlgo's, and the message says what to write."""
    answer = post(path, symbol=symbol, exchange=exchange, status=status)
    assert part in json.dumps(answer["message"])


@pytest.mark.parametrize(
    ("content", "kind", "status", "part"),
    [
        ("", "application/json", 400, "not JSON|apikey|parse"),
        ("{", "application/json", 400, "parse"),
        ("[]", "application/json", 400, "apikey"),
        ('"x"', "application/json", 400, "apikey"),
        ("null", "application/json", 400, "apikey"),
        ("[" * 100_000, "application/json", 400, "nested|parse"),
        ("{}", "application/json", 400, "apikey"),
        ('{"apikey":1}', "application/json", 400, "apikey"),
        ('{"apikey":""}', "application/json", 400, "apikey"),
        ("apikey=x", "application/x-www-form-urlencoded", 415, "media type"),
        ("{}", "text/plain", 415, "media type"),
    ],
)
def test_bad_body_is_an_error_of_openalgo(content: str, kind: str, status: int, part: str) -> None:
    """Whatever the body is."""
    answer = Client().post(ROOT + "quotes", content, content_type=kind)
    found = answer.json()
    assert answer.status_code == status and found["status"] == "error"
    assert any(one in json.dumps(found["message"]) for one in part.split("|"))


def test_many_quotes_come_in_order_with_what_is_wrong(redis: Redis) -> None:
    """A symbol that there is not, or without a price, has an error in its place."""
    publish_ticks([tick("NSE_EQ:RELIANCE", "2950.50")], client=redis)
    names = [("NOPE", "NSE"), ("RELIANCE", "NSE"), ("NIFTY", "NSE_INDEX"), ("RELIANCE", "NSE")]
    symbols = [{"symbol": symbol, "exchange": exchange} for symbol, exchange in names]
    results = post("multiquotes", symbols=symbols)["results"]
    assert [(one["symbol"], one["exchange"]) for one in results] == names
    assert [one.get("data", {}).get("ltp") for one in results] == [
        None,
        Decimal("2950.50"),
        None,
        Decimal("2950.50"),
    ]
    assert [one.get("error") for one in results] == [
        "not a symbol of NSE, got 'NOPE'",
        None,
        "no price for NSE_INDEX:NIFTY",
        None,
    ]
    failed = post("multiquotes", symbols=symbols[:1], status=400)
    assert failed["invalid_symbols"] == results[:1]


@pytest.mark.parametrize(
    "symbols",
    [
        None,
        [],
        "RELIANCE",
        ["RELIANCE"],
        [{"symbol": "A"}],
        [{"symbol": "A", "exchange": "NSE"}] * 1001,
    ],
)
def test_bad_list_of_instruments_is_400(symbols: Any) -> None:
    """None, too many, or ones that are none."""
    assert post("multiquotes", symbols=symbols, status=400)["message"]


def test_depth_has_five_levels(redis: Redis) -> None:
    """The tick's depth, else its bid and ask, else zeros; totals are the publisher's or the sum."""
    body: dict[str, Any] = {"symbol": "RELIANCE", "exchange": "NSE"}
    publish_ticks([tick("NSE_EQ:RELIANCE", "10", MOMENT, bid="9.95", bid_qty=5)], client=redis)
    data = post("depth", **body)["data"]
    assert (
        data["bids"]
        == [{"price": Decimal("9.95"), "quantity": 5}] + [{"price": 0, "quantity": 0}] * 4
    )
    assert data["asks"] == [{"price": 0, "quantity": 0}] * 5
    assert (data["totalbuyqty"], data["totalsellqty"], data["ltq"]) == (5, 0, 0)
    assert not {"bid", "ask"} & data.keys() and data["prev_close"] == 0
    depth = {
        "buy": [{"price": 9.90, "quantity": 3, "orders": 1}, {"price": 9.85, "quantity": 4}],
        "sell": [{"price": 10.05, "quantity": 8, "orders": 2}] * 5,
    }
    publish_ticks(
        [tick("NSE_EQ:RELIANCE", "10", MOMENT + 1, depth=depth, sell_qty=900)], client=redis
    )
    data = post("depth", **body)["data"]
    assert [one["quantity"] for one in data["bids"]] == [3, 4, 0, 0, 0]
    assert [one["price"] for one in data["asks"]] == [Decimal("10.05")] * 5
    assert (data["totalbuyqty"], data["totalsellqty"]) == (7, 900)


def history(interval: str, first: str, last: str, **more: Any) -> Any:
    values: dict[str, Any] = {"interval": interval, "start_date": first, "end_date": last}
    return post("history", **({"symbol": "RELIANCE", "exchange": "NSE"} | values | more))


def test_history_has_both_days_and_openalgos_times() -> None:
    """Candles within a day at Unix seconds, a day's at 00:00 UTC of its Indian date."""
    Candle.objects.bulk_create(
        [candle(OPENS, oi=7), candle(OPENS + MINUTE, volume=None), candle(OPENS + 86_400_000)]
    )
    found = history("1m", "2024-04-05", "2024-04-05", source="api")["data"]
    assert found == [
        {
            "timestamp": OPENS // 1000,
            "open": Decimal("100.10"),
            "high": Decimal("101.00"),
            "low": Decimal("99.50"),
            "close": Decimal("100.00"),
            "volume": 10,
            "oi": 7,
        },
        {**found[0], "timestamp": OPENS // 1000 + 60, "volume": 0, "oi": 0},
    ]
    assert len(history("1m", "2024-04-05", "2024-04-06")["data"]) == 3
    assert history("1m", "2024-04-03", "2024-04-04")["data"] == []
    days(8, first=MIDNIGHT - 4 * 86_400_000)  # from Monday, 1 April, on
    assert [one["timestamp"] for one in history("D", "2024-04-04", "2024-04-05")["data"]] == [
        1712188800,  # 2024-04-04T00:00:00Z
        1712275200,
    ]
    assert [one["timestamp"] for one in history("W", "2024-04-01", "2024-04-30")["data"]] == [
        1711929600,
        1712534400,
    ]
    assert [one["timestamp"] for one in history("M", "2024-04-01", "2024-04-30")["data"]] == [
        1711929600
    ]


def test_each_interval_that_is_listed_has_candles() -> None:
    """`intervals` lists what `history` takes."""
    for one in Interval:
        if one <= Interval.DAY:
            candle(OPENS if one < Interval.DAY else MIDNIGHT, interval=one).save()
    groups = post("intervals")["data"]
    assert groups == {
        "seconds": [],
        "minutes": ["1m", "3m", "5m", "10m", "15m", "30m"],
        "hours": ["1h"],
        "days": ["D"],
        "weeks": ["W"],
        "months": ["M"],
    }
    for names in groups.values():
        for name in names:
            assert len(history(name, "2024-04-01", "2024-04-30")["data"]) == 1, name


@pytest.mark.parametrize(
    ("terms", "part"),
    [
        ({"interval": "2m"}, "Must be one of: 1m, 3m"),
        ({"interval": "1d"}, "Must be one of"),
        ({"interval": None}, "interval"),
        ({"start_date": "05-04-2024"}, "start_date"),
        ({"start_date": "2024-04-06"}, "Must not be after end_date"),
        ({"end_date": "2024-02-30"}, "end_date"),
        ({"end_date": "9999-12-31"}, "9999|at most"),
        ({"start_date": "2023-01-01"}, "at most 60 days"),
        ({"symbol": "NOPE"}, "not a symbol of NSE"),
        ({"exchange": "XNSE"}, "Must be one of"),
    ],
)
def test_bad_request_for_history_is_400(terms: dict[str, Any], part: str) -> None:
    """The message says what is allowed."""
    values = {"interval": "1m", "start_date": "2024-04-05", "end_date": "2024-04-05"} | terms
    values = {"symbol": "RELIANCE", "exchange": "NSE"} | values
    message = json.dumps(post("history", status=400, **values)["message"])
    assert any(one in message for one in part.split("|")), message


def test_too_many_rows_are_refused(settings: Any) -> None:
    """One answer has at most QUOTES_HISTORY_MAX_ROWS candles."""
    settings.QUOTES_HISTORY_MAX_ROWS = 1
    Candle.objects.bulk_create([candle(OPENS), candle(OPENS + MINUTE)])
    body: dict[str, Any] = {"symbol": "RELIANCE", "exchange": "NSE", "interval": "1m"}
    day = {"start_date": "2024-04-05", "end_date": "2024-04-05"}
    assert "more than 1 rows" in post("history", status=400, **(body | day))["message"]


def test_symbol_tells_what_the_master_says() -> None:
    """Terms in OpenAlgo's words; 404 for a symbol that the master does not have."""
    data = post("symbol", symbol="NIFTY11APR2418000CE", exchange="NFO")["data"]
    row = Instrument.objects.get(symbol="NIFTY2441118000CE")
    assert data == {
        "id": row.pk,
        "symbol": "NIFTY11APR2418000CE",
        "brsymbol": "NIFTY2441118000CE",
        "name": "NIFTY",
        "exchange": "NFO",
        "brexchange": "NFO",
        "token": "",
        "expiry": "11-APR-24",
        "strike": 18000,
        "lotsize": 65,
        "instrumenttype": "CE",
        "tick_size": Decimal("0.05"),
        "freeze_qty": 1,
    }
    share = post("symbol", symbol="RELIANCE", exchange="NSE")["data"]
    assert (share["expiry"], share["strike"], share["token"]) == ("", 0, "2885")
    assert share["name"] == "RELIANCE INDUSTRIES"
    assert "NOPE" in post("symbol", symbol="NOPE", exchange="NSE", status=404)["message"]


@pytest.mark.parametrize(
    ("query", "exchange", "symbols"),
    [
        ("RELIANCE", "NSE", ["RELIANCE"]),
        ("reliance", None, ["RELIANCE", "RELIANCE", "RELIANCE25APR24FUT"]),
        ("RELIANCE FUT", None, ["RELIANCE25APR24FUT"]),
        ("NIFTY 18000 APR CE", "NFO", ["NIFTY11APR2418000CE", "NIFTY25APR2418000CE"]),
        ("NIFTY 18000 PE", "NFO", ["NIFTY25APR2418000PE"]),
        ("NIFTY 11APR24", "NFO", ["NIFTY11APR2418000CE"]),
        ("NIFTY11APR2418000CE", None, ["NIFTY11APR2418000CE"]),
        ("BANKNIFTY", None, ["BANKNIFTY"]),
        ("NIFTY", "NSE_INDEX", ["NIFTY", "BANKNIFTY"]),
        ("USDINR 83.5", "CDS", ["USDINR26APR2483.5CE"]),
        ("NOPE", None, []),
        ("1" * 100, None, []),
        ("% _ \\ '", None, []),
    ],
)
def test_search_finds_all_words(query: str, exchange: str | None, symbols: list[str]) -> None:
    """Words are parts of names, strikes, months, days of expiry and types."""
    terms: dict[str, Any] = {"exchange": exchange} if exchange else {}
    answer = post("search", query=query, **terms)
    assert [one["symbol"] for one in answer["data"]] == symbols
    assert isinstance(answer["message"], str)


@pytest.mark.parametrize(
    "terms", [{}, {"query": ""}, {"query": "  "}, {"query": "A", "exchange": "X"}]
)
def test_bad_search_is_400(terms: dict[str, Any]) -> None:
    """Nothing to search for, or an exchange that there is not."""
    assert post("search", status=400, **terms)["message"]


def test_expiries_of_an_underlying() -> None:
    """In order, as OpenAlgo writes days."""
    found = post("expiry", symbol="NIFTY", exchange="NFO", instrumenttype="options")
    assert found["data"] == ["11-APR-24", "25-APR-24"]
    found = post("expiry", symbol="RELIANCE", exchange="NFO", instrumenttype="futures")
    assert found["data"] == ["25-APR-24"]
    assert post("expiry", symbol="NO", exchange="NFO", instrumenttype="options")["data"] == []
    assert post("expiry", symbol="NO", exchange="NSE", instrumenttype="options", status=400)


def test_master_is_listed_as_json_and_csv(monkeypatch: pytest.MonkeyPatch) -> None:
    """The only GET: its key is in the query."""
    get = Client().get
    whole = {"apikey": FOREIGN}
    found = json.loads(get(f"{ROOT}instruments", whole | {"exchange": "NFO"}).getvalue())
    assert len(found["data"]) == 4 and found["data"][0]["exchange"] == "NFO"
    assert found["status"] == "success" and found["message"] == "Found 4 instruments"
    assert len(json.loads(get(f"{ROOT}instruments", whole).getvalue())["data"]) == 9
    monkeypatch.setattr(master, "_ROWS", 2)
    assert len(json.loads(get(f"{ROOT}instruments", whole).getvalue())["data"]) == 9
    assert (
        json.loads(get(f"{ROOT}instruments", whole | {"exchange": "MCX"}).getvalue())["data"] == []
    )
    answer = get(f"{ROOT}instruments", {"apikey": FOREIGN, "exchange": "NSE", "format": "csv"})
    head, row = answer.getvalue().decode().splitlines()
    assert head.startswith("symbol,brsymbol,name,exchange") and row.startswith("RELIANCE,RELIANCE,")
    assert answer["Content-Type"] == "text/csv"
    for query in ({}, {"apikey": FOREIGN, "exchange": "X"}, {"apikey": FOREIGN, "format": "xml"}):
        assert get(f"{ROOT}instruments", query).status_code == 400


def test_ping_says_pong() -> None:
    """AmiBroker's plug-in looks for the two words; both roots answer."""
    for root in (ROOT, "/api/v1/"):
        assert post("ping", root=root)["data"]["message"] == "pong"


@pytest.mark.parametrize("path", ["placeorder", "funds", "quotes/", "x/y"])
def test_there_is_nothing_else(path: str) -> None:
    """Orders and accounts answer 404 in OpenAlgo's envelope, whatever the method is."""
    assert post(path, status=404)
    for method in ("get", "put", "delete"):
        answer = getattr(Client(), method)(ROOT + path)
        assert answer.status_code in (404, 405) and answer.json()["status"] == "error"


# -- callers ---------------------------------------------------------------------------------------


def ask(key: str, path: str = "quotes", **more: Any) -> tuple[int, Any]:
    body = {"symbol": "RELIANCE", "exchange": "NSE", **more, "apikey": key}
    answer = Client().post(ROOT + path, body, content_type="application/json")
    return answer.status_code, answer.json()


def test_own_keys_and_tokens_are_of_their_user(redis: Redis, required: None) -> None:
    """A key or token that is not valid is refused with 403; so is a key for publishing."""
    publish_ticks([tick("NSE_EQ:RELIANCE", "2950.50")], client=redis)
    user = asha("NSE_EQ")
    good = api_key(user, ApiKey.Scope.READ)
    assert ask(good)[0] == ask(access_token(user))[0] == 200
    for bad in (FOREIGN, good[:-1], "lp_", expired_token(user), forged_token(user), "x", "é" * 300):
        status, answer = ask(bad)
        assert status == 403 and answer["message"].startswith("invalid apikey: "), bad
        assert bad not in json.dumps(answer) or len(bad) < 4
    status, answer = ask(api_key(user, ApiKey.Scope.PUBLISH))
    assert (status, answer["message"]) == (403, "not entitled to read prices")
    answer = Client().get(f"{ROOT}instruments", {"apikey": good})
    assert answer.status_code == 200


def test_anonymous_callers_have_a_key_of_another_server(redis: Redis, settings: Any) -> None:
    """They get what anonymous callers may see; a wrong key of ours is reported all the same."""
    publish_ticks([tick("NSE_EQ:RELIANCE"), tick("NFO:NIFTY24APR18000CE")], client=redis)
    settings.QUOTES_ANONYMOUS_SEGMENTS = "NSE_EQ"
    assert ask(FOREIGN)[0] == 200
    status, answer = ask(FOREIGN, symbol="NIFTY25APR2418000CE", exchange="NFO")
    assert (status, answer["message"]) == (403, "not entitled to NFO")
    for bad in (api_key(asha())[:-1] + "é", expired_token(asha(username="b"))):
        assert ask(bad)[0] == 403


def test_delayed_and_unentitled_users(redis: Redis, required: None) -> None:
    """A user with a delay gets history up to that time, and no latest price."""
    publish_ticks([tick("NSE_EQ:RELIANCE"), tick("NSE_INDEX:NIFTY 50")], client=redis)
    late = api_key(asha("NSE_EQ", delay_minutes=15, username="late"), ApiKey.Scope.READ)
    none = api_key(asha("MCX", username="none"), ApiKey.Scope.READ)
    Candle.objects.bulk_create([candle(OPENS)])
    status, answer = ask(late)
    assert status == 403 and "with a delay of 15 minutes" in answer["message"]
    days = {"interval": "1m", "start_date": "2024-04-05", "end_date": "2024-04-05"}
    assert len(ask(late, "history", **days)[1]["data"]) == 1
    status, answer = ask(none)
    assert (status, answer["message"]) == (403, "not entitled to NSE_EQ")
    assert ask(none, "history", **days)[0] == 403
    assert ask(none, "depth")[0] == 403
    one = {"symbol": "RELIANCE", "exchange": "NSE"}
    other = {"symbol": "NIFTY", "exchange": "NSE_INDEX"}
    some = api_key(asha("NSE_INDEX", username="some"), ApiKey.Scope.READ)
    results = ask(some, "multiquotes", symbols=[one, other])[1]["results"]
    assert results[0]["error"] == "not entitled to NSE_EQ" and "data" in results[1]
    assert ask(none, "multiquotes", symbols=[one, other])[0] == 400
    assert ask(none, "symbol")[0] == ask(none, "search", query="A")[0] == 200


def test_too_many_requests_are_429(redis: Redis, settings: Any) -> None:
    """In OpenAlgo's envelope, with the seconds to wait."""
    settings.QUOTES_REST_PER_MINUTE = 3
    client = Client(REMOTE_ADDR="192.0.2.1")
    for _ in range(8):  # a minute may begin meanwhile
        answer = client.post(ROOT + "ping", {"apikey": FOREIGN}, content_type="application/json")
    found = answer.json()
    assert answer.status_code == 429 and found["status"] == "error"
    assert 0 <= found["retry_after"] <= 60 and int(answer["Retry-After"]) <= 60


def test_redis_away_is_503(redis: Redis, redis_server: Any) -> None:
    """While Redis is away the answer says so in OpenAlgo's envelope."""
    redis_server.kill()
    answer = post("quotes", symbol="RELIANCE", exchange="NSE", status=503)
    assert "try again" in answer["message"]
