"""Kite's REST shapes: quotes, the dump of instruments and candles, in Kite's envelope."""

import csv
import gzip
import io
import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError
from django.test import AsyncClient, Client
from redis import Redis

from instruments.import_file import file_import
from instruments.index import index
from instruments.keys import InstrumentKey
from instruments.models import Instrument
from instruments.services import master_bump
from quotes.access.models import AccessProfile, ApiKey, UserClass
from quotes.history.candles.intervals import Interval
from quotes.history.models import Candle
from quotes.kite.rest.dump import COLUMNS, dumps
from quotes.runtime.clock import DAY_MS, MINUTE_MS, now_ms, unix_ms
from tests.access.people import access_token, api_key, asha, expired_token, forged_token
from tests.history.factories import M_AND_M, MIDNIGHT, OPENS, candle
from tests.instruments.factories import (
    crudeoil_future,
    equity,
    m_and_m,
    nifty50_index,
    nifty_call,
    reliance,
    sensex_index,
    usdinr_call,
)
from tests.kite.factories import show
from tests.ticks import tick
from tests.valkey import ValkeyProcess

pytestmark = pytest.mark.django_db(databases=["default", "history"])

DATA = Path(__file__).parent / "data"
RELIANCE = 2885 * 256 + 1
HISTORY = f"/instruments/historical/{RELIANCE}"
# 2024-04-05 20:15:00 in India.
MOMENT = 1_712_328_300_123
DAY = '{"date":"2024-04-05","open":2900,"high":2950.10,"low":2890,"prev_close":2899.90,"volume":77}'
DEPTH: dict[str, Any] = {
    "buy": [{"price": 2925.5, "quantity": 10, "orders": 2}],
    "sell": [{"price": 2926, "quantity": 5191, "orders": 13}] * 7,
}

client = Client()


def infy(**terms: Any) -> Instrument:
    return equity("INFY", name="INFOSYS", exchange_token=1594, instrument_token=408065, **terms)


def crudeoil() -> Instrument:
    future = crudeoil_future()
    future.name = "CRUDEOIL"
    future.exchange_token, future.instrument_token = 1, 263
    return future


@pytest.fixture
def master(redis: Redis) -> Iterator[None]:
    """Instruments of several exchanges, one of them without a token."""
    Instrument.objects.bulk_create(
        [
            *(infy(), reliance(), reliance("BSE_EQ"), m_and_m(), nifty50_index(), sensex_index()),
            *(nifty_call(), crudeoil(), usdinr_call()),
        ]
    )
    index.refresh()
    yield
    Instrument.objects.all().delete()
    index.__init__()  # type: ignore[misc]


def headers_of(user: Any, credentials: str) -> dict[str, str]:
    return {"Authorization": f"token {user.username}:{credentials}", "X-Kite-Version": "3"}


def get(address: str, status: int = 200, headers: dict[str, str] | None = None) -> Any:
    """Return what is at an address, numbers with their digits."""
    response = client.get(address, headers=headers)
    content = response.getvalue()
    assert response.status_code == status, content
    assert response["Content-Type"] == "application/json"
    return json.loads(content, parse_float=Decimal)


def data(address: str, **headers: str) -> Any:
    answer = get(address, headers=headers)
    assert answer["status"] == "success" and set(answer) == {"status", "data"}
    return answer["data"]


def error(address: str, status: int, kind: str, **headers: str) -> str:
    """Return the message of an error, whose status and type are as expected."""
    answer = get(address, status, headers)
    assert (answer["status"], answer["error_type"], answer["data"]) == ("error", kind, None)
    return str(answer["message"])


def shape(value: Any) -> Any:
    """Return what keys and kinds of values an answer has."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return "number" if isinstance(value, int | Decimal) else type(value).__name__


# -- quotes ----------------------------------------------------------------------------------------


def published_infy(redis: Redis) -> None:
    """Publish a tick with all fields of Kite's published example."""
    example = json.loads((DATA / "quote.json").read_text(), parse_float=Decimal)
    values = example["data"]["NSE:INFY"]
    more = {
        "last_trade_time": 1_623_147_352_000,
        "last_qty": values["last_quantity"],
        "buy_qty": values["buy_quantity"],
        "sell_qty": values["sell_quantity"],
        "volume": values["volume"],
        "avg_price": float(values["average_price"]),
        "oi": 0,
        "lower_circuit_limit": float(values["lower_circuit_limit"]),
        "upper_circuit_limit": float(values["upper_circuit_limit"]),
        **{name: float(values["ohlc"][name]) for name in ("open", "high", "low")},
        "prev_close": float(values["ohlc"]["close"]),
        "depth": json.loads(json.dumps(values["depth"], default=float)),
    }
    show(redis, tick("NSE_EQ:INFY", "1412.95", 1_623_147_356_000, **more))


def test_a_quote_is_kites_own_example(master: None, redis: Redis) -> None:
    """A tick with the values of Kite's published answer becomes that answer; the change is real."""
    published_infy(redis)
    expected = json.loads((DATA / "quote.json").read_text(), parse_float=Decimal)
    expected["data"]["NSE:INFY"]["net_change"] = Decimal("23.30")
    assert get("/quote?i=NSE:INFY") == expected


@pytest.mark.parametrize("name", ["ltp", "ohlc"])
def test_shapes_are_kites(name: str, master: None, redis: Redis) -> None:
    """Keys and kinds of values are those of Kite's published answers."""
    published_infy(redis)
    expected = json.loads((DATA / f"{name}.json").read_text(), parse_float=Decimal)
    assert shape(get(f"/quote/{name}?i=NSE:INFY")) == shape(expected)


def test_fields_come_from_the_tick_or_its_day_or_are_zero(master: None, redis: Redis) -> None:
    """Day statistics fill what the publisher did not send; prices keep their digits."""
    more = {"high": 2999, "depth": DEPTH}
    show(redis, tick("RELIANCE", "2925.50", MOMENT, **more))
    redis.hset("quotes:day", "NSE_EQ:RELIANCE", DAY)
    found = data("/quote?i=NSE:RELIANCE")["NSE:RELIANCE"]
    assert found["timestamp"] == "2024-04-05 20:15:00" and found["last_trade_time"] is None
    assert str(found["last_price"]) == "2925.50"
    assert found["ohlc"] == {
        **{"open": 2900, "high": 2999, "low": 2890},
        "close": Decimal("2899.90"),
    }
    assert found["volume"] == 77 and found["net_change"] == Decimal("25.60")
    assert [found[name] for name in ("oi", "last_quantity", "average_price")] == [0, 0, 0]
    assert found["depth"]["buy"][0] == DEPTH["buy"][0]
    assert found["depth"]["buy"][1:] == [{"price": 0, "quantity": 0, "orders": 0}] * 4
    assert found["depth"]["sell"] == DEPTH["sell"][:5]
    show(redis, tick("RELIANCE", "2925.50", MOMENT, bid=2925, bid_qty=3, ask=0, ask_qty=1))
    best = data("/quote?i=NSE:RELIANCE")["NSE:RELIANCE"]["depth"]
    assert best["buy"][0] == {"price": 2925, "quantity": 3, "orders": 0}
    assert best["sell"] == [{"price": 0, "quantity": 0, "orders": 0}] * 5
    show(redis, tick("RELIANCE", "2925.50", MOMENT, **more))
    ohlc = data("/quote/ohlc?i=NSE:RELIANCE")["NSE:RELIANCE"]
    assert ohlc == {name: found[name] for name in ("instrument_token", "last_price", "ohlc")}


@pytest.mark.parametrize(
    "more",
    [
        {"depth": "none"},
        {"depth": {"buy": 1}},
        {"depth": {"buy": [{"price": "x"}]}},
        {"depth": [1]},
        {"depth": None, "last_trade_time": "yesterday", "change": "up", "oi_day_high": {"a": 1}},
        {"last_trade_time": 10**17, "lower_circuit_limit": "12", "oi_day_low": True},
    ],
)
def test_odd_fields_of_a_publisher_become_zeros(
    more: dict[str, Any], master: None, redis: Redis
) -> None:
    """A field that is not what Kite has there is shown as one that is missing."""
    frame = {"symbol": "RELIANCE", "price": 100, "timestamp": MOMENT, "segment": "NSE_EQ", **more}
    redis.hset("quotes:latest", "NSE_EQ:RELIANCE", f"1 1 {MOMENT} {json.dumps(frame)}")
    redis.hset("quotes:day", "NSE_EQ:RELIANCE", "nonsense")
    found = data("/quote?i=NSE:RELIANCE")["NSE:RELIANCE"]
    assert found["depth"]["buy"][0] == {"price": 0, "quantity": 0, "orders": 0}
    assert found["last_trade_time"] is None
    assert [found[f"oi_day_{name}"] for name in ("high", "low")] == [0, 0]


def test_names_are_kites_and_come_back_as_written(master: None, redis: Redis) -> None:
    """Exchanges are Kite's, indices are under them, a token is a name; unknown ones are absent."""
    ticks: tuple[str, ...] = (
        "NSE_EQ:RELIANCE",
        "BSE_EQ:RELIANCE",
        "NSE_EQ:M&M",
        "NSE_INDEX:NIFTY 50",
        "AAPL",
    )
    ticks += ("BSE_INDEX:SENSEX", "NFO:NIFTY24APR18000CE", "MCX:CRUDEOIL24APRFUT")
    show(redis, *[tick(name, str(n)) for n, name in enumerate(ticks, 1)])
    names = {
        **{"NSE:RELIANCE": (RELIANCE, 1), "BSE:RELIANCE": (128083204, 2), "NSE:M&M": (519937, 3)},
        **{
            "NSE:NIFTY 50": (256265, 4),
            "BSE:SENSEX": (264969, 6),
            "MCX:CRUDEOIL24APRFUT": (263, 8),
        },
        **{"NFO:NIFTY24APR18000CE": (58072 * 256 + 2, 7), str(RELIANCE): (RELIANCE, 1)},
        "AAPL": (0, 5),
    }
    absent = ["NSE:NOSUCH", "1", "NSE:INFY", "XYZ:RELIANCE", "NSE:", ":", "9" * 30, "a" * 200, "*"]
    answer = client.get("/quote/ltp", {"i": [*names, *absent, "NSE:RELIANCE"]}).json()
    assert answer["data"] == {
        name: {"instrument_token": token, "last_price": price}
        for name, (token, price) in names.items()
    }


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("/quote", "at least one"),
        ("/quote/ltp?i=", "at least one"),
        ("/quote/ohlc?symbols=NSE:INFY", "at least one"),
        (f"/quote?{'&'.join(['i=NSE:INFY'] * 501)}", "at most 500"),
        (f"/quote/ohlc?{'&'.join(['i=NSE:INFY'] * 1001)}", "at most 1000"),
        (f"/quote/ltp?{'&'.join(['i=NSE:INFY'] * 2000)}", "at most 1000"),
    ],
)
def test_bad_requests_for_quotes_are_refused(address: str, says: str, redis: Redis) -> None:
    """A request without instruments, or with too many, is an InputException."""
    assert says in error(address, 400, "InputException")


@pytest.mark.parametrize(("path", "most"), [("/quote", 500), ("/quote/ltp", 1000)])
def test_as_many_instruments_as_kite_allows(
    path: str, most: int, master: None, redis: Redis
) -> None:
    """As many instruments as Kite allows come in one answer."""
    Instrument.objects.bulk_create([equity(f"STOCK{n}") for n in range(most)])
    index.refresh()
    show(redis, *[tick(f"NSE_EQ:STOCK{n}") for n in range(most)])
    names = [f"NSE:STOCK{n}" for n in range(most)]
    assert list(client.get(path, {"i": names}).json()["data"]) == names


def test_without_redis_quotes_are_a_network_exception(
    master: None, redis: Redis, redis_server: ValkeyProcess
) -> None:
    """While Redis does not answer, the answer is 503 with the time to come back."""
    redis_server.kill()
    assert "Redis" in error("/quote/ltp?i=NSE:INFY", 503, "NetworkException")


def test_an_error_that_nobody_expects_is_a_general_exception(
    monkeypatch: pytest.MonkeyPatch, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """A failure of the server is logged, and told in Kite's envelope without its text."""
    failures = [(ValueError("secret"), 500), (DatabaseError("secret"), 503)]
    for failure, status in failures:
        monkeypatch.setattr("quotes.kite.rest.quotes.wanted_instruments", raising(failure))
        kind = "GeneralException" if status == 500 else "NetworkException"
        assert "secret" not in error("/quote/ltp?i=A", status, kind)
    assert "a request of a Kite client failed" in caplog.text


def raising(failure: Exception) -> Any:
    def call(*arguments: Any) -> None:
        raise failure

    return call


# -- who may what ----------------------------------------------------------------------------------


def test_tokens_and_api_keys_open_the_door(required: None, master: None, redis: Redis) -> None:
    """The access token is a JWT or an API key; `api_key` is the name of its user."""
    user = asha("NSE_EQ", username="a.sha@example.in")
    show(redis, tick("NSE_EQ:INFY"))
    for credentials in (access_token(user), api_key(user, ApiKey.Scope.READ)):
        headers = headers_of(user, credentials)
        assert list(data("/quote/ltp?i=NSE:INFY", **headers)) == ["NSE:INFY"]
    key = api_key(user, ApiKey.Scope.PUBLISH)
    assert "not entitled" in error("/quote", 403, "PermissionException", **headers_of(user, key))


@pytest.mark.parametrize("path", ["/quote/ltp?i=NSE:INFY", "/instruments", f"{HISTORY}/day"])
def test_bad_credentials_are_token_exceptions(
    path: str, required: None, master: None, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody, an expired token, a forged one, another user's name: 403, and no token is logged."""
    user, other = asha("*"), asha("*", username="other")
    good = access_token(user)
    values = [
        *(f"token asha:{expired_token(user)}", f"token asha:{forged_token(user)}"),
        *(f"token {other.username}:{good}", f"token ASHA:{good}", f"token :{good}"),
        *(f"token {good}", "token", "token asha:", "token asha:lp_000000000000_x", "Token \xe9:x"),
        *("token asha:" + "x" * 9000, "Basic YTpi", ""),
    ]
    for value in values:
        headers = {"Authorization": value} if value else {}
        message = error(path, 403, "TokenException", **headers)
        assert message.startswith("Incorrect `api_key` or `access_token`: ")
        assert good not in message
    assert good not in caplog.text


def test_callers_see_what_they_are_entitled_to(required: None, master: None, redis: Redis) -> None:
    """Others' instruments are absent from quotes, and a PermissionException as candles."""
    show(redis, tick("NSE_EQ:INFY"), tick("MCX:CRUDEOIL24APRFUT"))
    address = "/quote/ltp?i=NSE:INFY&i=MCX:CRUDEOIL24APRFUT"
    user = asha("MCX")
    headers = headers_of(user, access_token(user))
    assert list(data(address, **headers)) == ["MCX:CRUDEOIL24APRFUT"]
    message = error(f"{HISTORY}/day?{SPAN}", 403, "PermissionException", **headers)
    assert message == "not entitled to NSE_EQ"
    late = asha("NSE_EQ", username="late", delay_minutes=15)
    assert data(address, **headers_of(late, access_token(late))) == {}


def test_delayed_callers_get_the_candles_that_ended_before(
    required: None, master: None, redis: Redis
) -> None:
    """A caller with a delay gets candles that have ended that many minutes ago."""
    minute = now_ms() // MINUTE_MS * MINUTE_MS
    Candle.objects.bulk_create([candle(minute - n * MINUTE_MS) for n in range(1, 60)])
    user = asha("NSE_EQ", delay_minutes=15)
    headers = headers_of(user, access_token(user))
    span = f"from={minute - 60 * MINUTE_MS}&to={minute + MINUTE_MS}"
    found = data(f"{HISTORY}/minute?{span}", **headers)["candles"]
    assert 43 <= len(found) <= 45


def test_too_many_requests_are_a_network_exception(
    required: None, master: None, redis: Redis
) -> None:
    """The limit of the rest of the server counts here too: 429 with the time to come back."""
    user = asha("*")
    few = UserClass.objects.create(name="few", rest_per_minute=1)
    AccessProfile.objects.update_or_create(user=user, defaults={"user_class": few})
    headers = headers_of(user, access_token(user))
    client.get("/quote/ltp?i=NSE:INFY", headers=headers)
    response = client.get("/quote/ltp?i=NSE:INFY", headers=headers)
    if response.status_code == 200:  # a new minute of the clock
        response = client.get("/quote/ltp?i=NSE:INFY", headers=headers)
    assert response.status_code == 429 and int(response["Retry-After"]) >= 1
    assert response.json()["error_type"] == "NetworkException"


# -- instruments -----------------------------------------------------------------------------------


def rows(address: str, **headers: str) -> list[dict[str, str]]:
    response = client.get(address, headers=headers)
    assert response.status_code == 200 and "csv" in response["Content-Type"]
    content = response.getvalue()
    if response.get("Content-Encoding") == "gzip":
        content = gzip.decompress(content)
    return list(csv.DictReader(io.StringIO(content.decode())))


def test_the_dump_has_kites_columns(master: None) -> None:
    """Each instrument with a token is a row; indices are of the segment INDICES."""
    found = {(row["exchange"], row["tradingsymbol"]): row for row in rows("/instruments")}
    assert len(found) == 8  # the currency option has no token
    assert list(found["NFO", "NIFTY24APR18000CE"].items()) == list(
        zip(
            COLUMNS,
            [
                *(str(58072 * 256 + 2), "58072", "NIFTY24APR18000CE", "NIFTY", "0", "2024-04-25"),
                *("18000", "0.05", "65", "CE", "NFO-OPT", "NFO"),
            ],
            strict=True,
        )
    )
    index_row = found["NSE", "NIFTY 50"]
    assert (index_row["segment"], index_row["instrument_type"]) == ("INDICES", "EQ")
    assert (index_row["tick_size"], index_row["lot_size"], index_row["strike"]) == ("0", "0", "0")
    assert found["MCX", "CRUDEOIL24APRFUT"]["segment"] == "MCX-FUT"
    assert found["NSE", "M&M"]["segment"] == "NSE"


def test_the_dump_of_one_exchange(master: None) -> None:
    """An exchange has its indices; one of which there is nothing is a header alone."""
    assert {row["tradingsymbol"] for row in rows("/instruments/BSE")} == {"RELIANCE", "SENSEX"}
    assert rows("/instruments/BCD") == []
    for name in ("NYSE", "nse", "NSE_EQ", "x" * 300):
        assert "NSE, BSE, NFO" in error(f"/instruments/{name}", 400, "InputException")


def test_what_is_served_can_be_imported(master: None, tmp_path: Path) -> None:
    """import_instruments reads the dump, and finds nothing to change."""
    response = client.get("/instruments")
    path = tmp_path / "instruments.csv"
    path.write_bytes(response.getvalue())
    values = list(Instrument.objects.exclude(segment="CDS").order_by("pk").values())
    with path.open("rb") as file:
        report = file_import(file=file, vendor="kite")
    assert (report.unchanged, report.writes, report.rejected) == (8, 0, 0), report
    after = list(Instrument.objects.exclude(segment="CDS").order_by("pk").values())
    changing = {"last_seen", "isin", "master_version"}
    assert [{k: v for k, v in row.items() if k not in changing} for row in after] == [
        {k: v for k, v in row.items() if k not in changing} for row in values
    ]


def test_the_dump_is_made_once_for_each_master(master: None) -> None:
    """A client that has it gets 304; after a change of the master there is a new one."""
    response = client.get("/instruments/NSE", headers={"Accept-Encoding": "gzip"})
    assert response["Content-Encoding"] == "gzip"
    assert b"RELIANCE" in gzip.decompress(response.content)
    first = dumps.find("NSE")
    headers = {"If-None-Match": response["ETag"]}
    assert client.get("/instruments/NSE", headers=headers).status_code == 304
    assert dumps.find("NSE") is first
    Instrument.objects.bulk_create([equity("NEWCO", exchange_token=7, instrument_token=1793)])
    master_bump(rebuild=True)
    index.refresh()
    assert client.get("/instruments/NSE", headers=headers).status_code == 200
    assert "NEWCO" in {row["tradingsymbol"] for row in rows("/instruments/NSE")}


def test_head_has_the_headers_alone(master: None) -> None:
    """HEAD answers with the headers, compressed or not."""
    for headers in ({}, {"Accept-Encoding": "gzip"}):
        response = client.head("/instruments", headers=headers)
        assert response.status_code == 200 and "csv" in response["Content-Type"]
        assert response.getvalue() == b"" and response["ETag"]


async def test_the_dump_is_streamed_by_asgi(redis: Redis) -> None:
    """An ASGI server gets the dump in pieces, without a warning."""
    response: Any = await AsyncClient().get("/instruments")
    assert response.streaming
    assert b"".join([piece async for piece in response]).startswith(b"instrument_token,")


# -- candles ---------------------------------------------------------------------------------------

SPAN = "from=2024-04-05 09:15:00&to=2024-04-05 09:20:00"


def test_candles_are_kites_own_example(master: None) -> None:
    """Stored candles with the values of Kite's published answer become that answer."""
    example = json.loads((DATA / "historical_oi.json").read_text(), parse_float=Decimal)
    values = example["data"]["candles"]
    Candle.objects.bulk_create(
        [
            candle(
                unix_ms(datetime.strptime(start, "%Y-%m-%dT%H:%M:%S%z")),
                prices=list(map(str, prices)),
                volume=volume,
                oi=oi,
            )
            for start, *prices, volume, oi in values
        ]
    )
    span = "from=2019-12-04 09:15:00&to=2019-12-04 09:20:00"
    assert get(f"{HISTORY}/minute?{span}&oi=1&continuous=0&interval=minute") == example
    without = [row[:-1] for row in values]
    assert data(f"{HISTORY}/minute?{span}") == {"candles": without}


@pytest.mark.parametrize(
    ("span", "count"),
    [
        ("from=2024-04-05 09:15:00&to=2024-04-05 09:20:00", 6),
        ("from=2024-04-05+09:15:01&to=2024-04-05+09:19:59", 4),
        ("from=2024-04-05 09:15:00&to=2024-04-05 09:15:00", 1),
        ("from=2024-04-05&to=2024-04-05", 10),
        ("from=2024-04-04&to=2024-04-05", 10),
        ("from=2024-04-05 09:20&to=2024-04-05", 5),
        ("from=2024-04-04&to=2024-04-04", 0),
        ("from=2024-04-06&to=2024-04-07", 0),
        ("from=2024-02-05&to=2024-04-05", 10),  # 60 days, as Kite counts them
    ],
)
def test_both_ends_of_a_range_belong_to_it(span: str, count: int, master: None) -> None:
    """`from` and `to` are Indian time, both included; a date is the whole day."""
    Candle.objects.bulk_create([candle(OPENS + n * MINUTE_MS) for n in range(10)])
    assert len(data(f"{HISTORY}/minute?{span}")["candles"]) == count


@pytest.mark.parametrize(
    ("interval", "start", "text"),
    [
        ("minute", OPENS, "2024-04-05T09:15:00+0530"),
        ("3minute", OPENS + 3 * MINUTE_MS, "2024-04-05T09:18:00+0530"),
        ("5minute", OPENS, "2024-04-05T09:15:00+0530"),
        ("10minute", OPENS, "2024-04-05T09:15:00+0530"),
        ("15minute", OPENS, "2024-04-05T09:15:00+0530"),
        ("30minute", OPENS, "2024-04-05T09:15:00+0530"),
        ("60minute", OPENS, "2024-04-05T09:15:00+0530"),
        ("day", MIDNIGHT, "2024-04-05T00:00:00+0530"),
    ],
)
def test_times_are_the_starts_of_bars(interval: str, start: int, text: str, master: None) -> None:
    """The time of a candle is when it starts, in India; a volume that nobody knows is 0."""
    kinds = {"minute": Interval.MINUTE, "day": Interval.DAY}
    kind = kinds.get(interval) or Interval(int(interval.removesuffix("minute")))
    Candle.objects.bulk_create([candle(start, interval=kind, volume=None)])
    (row,) = data(f"{HISTORY}/{interval}?from=2024-04-05&to=2024-04-05&oi=1")["candles"]
    assert row == [text, *map(Decimal, ("100.10", "101.00", "99.50", "100.00")), 0, 0]


@pytest.mark.parametrize(
    ("interval", "days"),
    [
        *(("minute", 60), ("3minute", 100), ("5minute", 100), ("10minute", 100)),
        *(("15minute", 200), ("30minute", 200), ("60minute", 400), ("day", 2000)),
    ],
)
def test_ranges_are_as_long_as_kites(interval: str, days: int, master: None) -> None:
    """One request covers as many days as with Kite, and not a second more."""
    span = f"from={MIDNIGHT}&to={MIDNIGHT + days * DAY_MS}"
    assert data(f"{HISTORY}/{interval}?{span}") == {"candles": []}
    message = error(f"{HISTORY}/{interval}?{span[:-3]}999", 400, "InputException")
    assert message == f"interval exceeds max limit: {days} days"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (f"/instruments/historical/1/day?{SPAN}", "invalid token"),
        (f"/instruments/historical/NSE:INFY/day?{SPAN}", "invalid token"),
        (f"/instruments/historical/{'9' * 40}/day?{SPAN}", "invalid token"),
        (f"{HISTORY}/hour?{SPAN}", "invalid interval"),
        (f"{HISTORY}/1m?{SPAN}", "invalid interval"),
        (f"{HISTORY}/day", "invalid from date"),
        (f"{HISTORY}/day?from=2024-04-05", "invalid to date"),
        (f"{HISTORY}/day?from=05-04-2024&to=2024-04-05", "invalid from date"),
        (f"{HISTORY}/day?from=2024-04-05&to=2024-02-30", "invalid to date"),
        (f"{HISTORY}/day?from=None&to=2024-02-30", "invalid from date"),
        (f"{HISTORY}/day?from=2024-04-05 09:20:00&to=2024-04-05 09:15:00", "invalid range"),
        (f"{HISTORY}/day?{SPAN}&continuous=1", "continuous"),
        (f"{HISTORY}/day?{SPAN}&continuous=yes", "invalid continuous"),
        (f"{HISTORY}/day?{SPAN}&oi=true", "invalid oi"),
    ],
)
def test_bad_requests_for_candles_are_refused(path: str, says: str, master: None) -> None:
    """What Kite does not allow is an InputException that names what is wrong."""
    assert says in error(path, 400, "InputException")


def test_many_candles_are_compressed(master: None) -> None:
    """A long answer is compressed for clients that accept it."""
    Candle.objects.bulk_create([candle(OPENS + n * MINUTE_MS) for n in range(100)])
    address = f"{HISTORY}/minute?from=2024-04-05&to=2024-04-05"
    response = client.get(address, headers={"Accept-Encoding": "gzip, deflate"})
    assert response["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(response.content)) == client.get(address).json()


def test_candles_of_another_instrument_stay_away(master: None) -> None:
    """A token's candles are of its own instrument alone."""
    Candle.objects.bulk_create([candle(OPENS, M_AND_M)])
    assert data(f"{HISTORY}/minute?{SPAN}") == {"candles": []}
    assert len(data(f"/instruments/historical/519937/minute?{SPAN}")["candles"]) == 1
    assert index.by_token(519937) == InstrumentKey("NSE_EQ", "M&M")
