"""Latest prices as CSV: what spreadsheets read."""

import csv
import io
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from redis import Redis

from instruments.index import index
from instruments.models import Instrument
from quotes.access.models import SegmentGrant
from quotes.rest import prices_csv
from quotes.store.latest import LatestPrice, encode_latest
from quotes.store.names import own_key
from quotes.ticks import encode_tick
from tests.access.people import api_key, asha
from tests.access.test_url_keys import url_key
from tests.history.factories import minutes
from tests.instruments.factories import m_and_m, nifty_option, reliance
from tests.ticks import MOMENT, tick

pytestmark = pytest.mark.django_db(databases=["default", "history"])

HEADER = (
    "symbol,price,change,change_pct,open,high,low,prev_close,volume,oi,bid,ask,"
    "time,instrument,reason"
)


def text_of(query: str, *, status: int = 200, client: Client | None = None) -> str:
    """Return the text of an answer, whatever the program accepts."""
    answer = (client or Client()).get(f"/api/prices.csv?{query}", headers={"accept": "text/html"})
    assert answer.status_code == status, answer.content
    assert answer["Referrer-Policy"] == "no-referrer" and answer["Cache-Control"] == "no-store"
    kind = "text/csv" if status == 200 else "text/plain"
    assert answer["Content-Type"] == f"{kind}; charset=utf-8"
    return answer.content.decode()


def rows_of(query: str, client: Client | None = None) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text_of(query, client=client))))


def put(redis: Redis, segment: str, symbol: str, price: str = "1.5", **more: Any) -> None:
    """Put a latest price where the bridge puts it."""
    frame = encode_tick(tick(symbol, price, **more), segment=segment)
    record = encode_latest(LatestPrice(7, 1, MOMENT, frame))
    redis.hset(own_key("latest"), f"{segment}:{symbol}" if segment else symbol, record.decode())


@pytest.fixture
def shares(redis: Redis) -> Any:
    """Two shares of the master and their prices, and a day of one of them."""
    Instrument.objects.bulk_create([reliance(), m_and_m()])
    index.refresh()
    put(redis, "NSE_EQ", "RELIANCE", "2930.50", volume=1204, bid=2930.0)
    put(redis, "NSE_EQ", "M&M", "1e3")
    day = '{"date":"2024-04-05","open":2900.10,"high":2940,"low":2899.95,'
    day += '"prev_close":2905.00,"volume":99}'
    redis.hset(own_key("day"), "NSE_EQ:RELIANCE", day)


def test_prices_are_a_table_with_exact_digits(shares: None) -> None:
    """The fields of the day are those of a socket; a cell that is not known is empty."""
    assert text_of("symbols=RELIANCE,M%26M,NSE_EQ:RELIANCE,RELIANCE") == "\r\n".join(
        [
            HEADER,
            "RELIANCE,2930.50,25.50,0.88,2900.10,2940,2899.95,2905.00,1204,,2930.0,,"
            "2024-04-05T21:15:00+05:30,NSE_EQ:RELIANCE,",
            "M&M,1000,,,,,,,,,,,2024-04-05T21:15:00+05:30,NSE_EQ:M&M,",
            "NSE_EQ:RELIANCE,2930.50,25.50,0.88,2900.10,2940,2899.95,2905.00,1204,,2930.0,,"
            "2024-04-05T21:15:00+05:30,NSE_EQ:RELIANCE,",
            "RELIANCE,2930.50,25.50,0.88,2900.10,2940,2899.95,2905.00,1204,,2930.0,,"
            "2024-04-05T21:15:00+05:30,NSE_EQ:RELIANCE,",
            "",
        ]
    )


def test_columns_come_in_the_requested_order(shares: None) -> None:
    """Any of them, further ones as well; spaces around names do not matter."""
    query = (
        "symbols=%20RELIANCE%20,reliance&refresh=7&columns=local_time,%20price,timestamp,ask_qty"
    )
    assert text_of(query).splitlines() == [
        "local_time,price,timestamp,ask_qty",
        f"2024-04-05 21:15:00,2930.50,{MOMENT},",
        f"2024-04-05 21:15:00,2930.50,{MOMENT},",
    ]


@pytest.mark.parametrize(
    ("symbol", "cell", "reason"),
    [
        ("TCS", "TCS", "unknown symbol"),
        ("RELIANC", "RELIANC", "unknown symbol, did you mean NSE_EQ:RELIANCE?"),
        ("*", "*", "not a symbol, got '*'"),
        ("x" * 65, "x" * 65, "a symbol must have 1 to 64 characters"),
        ("%3D1%2B1", "'=1+1", "unknown symbol"),
        ("%2BTCS", "'+TCS", "unknown symbol"),
        ("-TCS", "'-TCS", "unknown symbol"),
        ("@TCS", "'@TCS", "unknown symbol"),
        ("TCS%0A%3D1", "TCS?=1", "a symbol must have printable characters"),
        ('"TCS', '"TCS', "unknown symbol"),
    ],
)
def test_symbol_without_a_price_is_a_row_that_says_why(
    shares: None, symbol: str, cell: str, reason: str
) -> None:
    """Among others that have one; no cell of text is a formula."""
    first, row = rows_of(f"symbols=RELIANCE,{symbol}")
    assert first["price"] == "2930.50"
    assert row["symbol"] == cell and row["reason"].startswith(reason)
    assert {row[name] for name in row if name not in ("symbol", "instrument", "reason")} == {""}


def test_listed_symbol_that_was_not_published_has_no_price(shares: None, redis: Redis) -> None:
    """It is known: only its price is missing."""
    redis.delete(own_key("latest"))
    assert rows_of("symbols=M%26M")[0]["reason"] == "no price"


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", "give either symbols, as in ?symbols=A,B, or segment"),
        ("symbols=A&segment=NFO", "give either symbols"),
        ("symbols=", "symbols: this field may not be blank"),
        ("symbols=,,", "symbols must name at least one symbol"),
        ("symbols=" + "A," * 1001, "symbols must name at most 1000 symbols, got 1001"),
        ("symbols=A&columns=price,cost", "columns must be some of symbol, price, "),
        ("segment=NSEE", "not a segment, got 'NSEE'"),
        ("segment=OTHER", "not a segment, got 'OTHER'"),
        ("symbols=A&symbol=B", "symbol: no such parameter"),
        ("segment=NFO&segment=CDS", "segment must not be repeated"),
        ("segment=NFO&after=" + "A" * 65, "after: "),
    ],
)
def test_bad_request_is_one_line_of_text(redis: Redis, query: str, text: str) -> None:
    """400, with what to change."""
    answer = text_of(query, status=400)
    assert answer.startswith(text) and answer.count("\n") == 1


def test_segment_is_all_of_its_prices(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """By symbol, those after another one, and no more than there may be; odd records are left."""
    for number in range(30):
        put(redis, "NFO", f"ROOT26AUG{100 + number}CE", f"{number}.50")
    put(redis, "NSE_EQ", "TCS")
    put(redis, "", "AAPL")
    redis.hset(own_key("latest"), mapping={"NFO:ODD": "nonsense", "NFO:ODD2": "1 2 3 {}"})
    redis.hset(own_key("latest"), b"NFO:\xff\x00", "1 2 3 {}")
    rows = rows_of("segment=NFO&columns=symbol,price,instrument")
    assert [row["symbol"] for row in rows] == [f"ROOT26AUG{100 + one}CE" for one in range(30)]
    assert rows[3] == {
        "symbol": "ROOT26AUG103CE",
        "price": "3.50",
        "instrument": "NFO:ROOT26AUG103CE",
    }
    monkeypatch.setattr(prices_csv, "MAX_ROWS", 4)
    assert [row["price"] for row in rows_of("segment=nse_fo&after=ROOT26AUG110CE")] == [
        *("11.50", "12.50", "13.50", "14.50"),
    ]
    assert rows_of("segment=CDS") == []


def test_caller_sees_what_it_is_entitled_to(redis: Redis, required: None) -> None:
    """In real time: a row says what is missing, and one line of text refuses a whole segment."""
    for segment in ("NSE_EQ", "NFO", "CDS"):
        put(redis, segment, "X")
    user = asha("NSE_EQ")
    SegmentGrant.objects.create(user=user, segment="NFO", delay_minutes=15)
    key = url_key(user)
    rows = rows_of(f"symbols=NSE_EQ:X,NFO:X,CDS:X&columns=symbol,price,reason&key={key}")
    assert [tuple(row.values()) for row in rows] == [
        ("NSE_EQ:X", "1.5", ""),
        ("NFO:X", "", "entitled to NFO only with a delay of 15 minutes"),
        ("CDS:X", "", "not entitled to CDS"),
    ]
    assert [row["symbol"] for row in rows_of(f"segment=NSE_EQ&key={key}")] == ["X"]
    assert text_of(f"segment=CDS&key={key}", status=403) == "not entitled to CDS\n"
    assert text_of(f"segment=NFO&key={key}", status=403).startswith("entitled to NFO only with")


def test_key_is_limited_to_its_segments(redis: Redis, required: None) -> None:
    """And never sees more than its user."""
    put(redis, "NSE_EQ", "X")
    put(redis, "NFO", "X")
    key = url_key(asha("*"), "NFO", "CDS")
    rows = rows_of(f"symbols=NSE_EQ:X,NFO:X&columns=price,reason&key={key}")
    assert [list(row.values()) for row in rows] == [["", "not entitled to NSE_EQ"], ["1.5", ""]]
    key = url_key(asha("NSE_EQ", username="other"), "NFO")
    assert text_of(f"segment=NFO&key={key}", status=403) == "not entitled to NFO\n"


@pytest.mark.parametrize(
    "kind", ["none", "nonsense", "empty", "two", "read", "expired", "inactive"]
)
def test_wrong_key_is_refused(redis: Redis, required: None, kind: str) -> None:
    """401 with one line, which never repeats the key."""
    user = asha("*")
    keys: dict[str, Callable[[], str]] = {
        "none": lambda: "",
        "nonsense": lambda: "&key=lp_nonsense",
        "empty": lambda: "&key=",
        "two": lambda: f"&key={url_key(user)}&key={url_key(user)}",
        "read": lambda: f"&key={api_key(user, 'read')}",
        "expired": lambda: f"&key={url_key(user, expires_at='2020-01-01T00:00:00Z')}",
        "inactive": lambda: f"&key={url_key(user, is_active=False)}",
    }
    answer = text_of(f"symbols=A{keys[kind]()}", status=401)
    assert answer.count("\n") == 1 and "lp_" not in answer


def test_key_reads_where_anybody_may_too(redis: Redis) -> None:
    """With QUOTES_AUTH=optional no key is needed, and a wrong one is still refused."""
    put(redis, "NSE_EQ", "X")
    assert rows_of("symbols=NSE_EQ:X")[0]["price"] == "1.5"
    text_of("symbols=NSE_EQ:X&key=lp_x", status=401)


def test_key_has_a_limit_of_its_own(redis: Redis, settings: Any) -> None:
    """Besides that of its user, which it shares."""
    settings.QUOTES_URL_KEY_PER_MINUTE = 3
    user = asha("*")
    first, second = url_key(user), url_key(user)

    def statuses(key: str, count: int) -> set[int]:
        return {
            Client().get(f"/api/prices.csv?symbols=A&key={key}").status_code for _ in range(count)
        }

    assert statuses(first, 8) == {200, 429}
    assert 200 in statuses(second, 1)
    settings.QUOTES_URL_KEY_PER_MINUTE, settings.QUOTES_REST_PER_MINUTE = 1000, 2
    assert 429 in statuses(second, 6)  # a minute may begin meanwhile


def test_prices_without_redis_are_503(redis: Redis, redis_server: Any) -> None:
    """One line says so, and Retry-After when to try again."""
    redis_server.kill()
    answer = Client().get("/api/prices.csv?symbols=A")
    assert answer.status_code == 503 and int(answer["Retry-After"]) > 0
    assert answer.content.startswith(b"prices cannot be read at the moment")


def test_candles_take_a_url_key_too(redis: Redis, required: None, history_rows: None) -> None:
    """As CSV, of one instrument and of many; ticks do not."""
    key = url_key(asha("NSE_EQ"))
    day = f"interval=1m&from=2024-04-05&to=2024-04-05&format=csv&times=iso&key={key}"
    for address in (
        "/api/instruments/NSE_EQ:RELIANCE/candles/?",
        "/api/candles/?instruments=RELIANCE&",
    ):
        answer = Client().get(address + day)
        assert answer.status_code == 200 and answer["Referrer-Policy"] == "no-referrer"
        assert b"2024-04-05T09:15:00+05:30" in answer.getvalue()
        assert Client().get(address + day[:-1]).status_code == 401
    assert Client().get(f"/api/instruments/NSE_EQ:RELIANCE/ticks/?key={key}").status_code == 401


@pytest.fixture
def history_rows(shares: None) -> None:
    minutes(3)


def test_option_symbols_and_decimals(redis: Redis) -> None:
    """A price of a currency option keeps its four digits."""
    Instrument.objects.bulk_create([nifty_option("NIFTY36APR18000CE", date(2036, 4, 24), "18000")])
    index.refresh()
    put(redis, "NFO", "NIFTY36APR18000CE", "0.0025")
    (row,) = rows_of("symbols=NIFTY36APR18000CE")
    assert Decimal(row["price"]) == Decimal("0.0025") and row["instrument"].startswith("NFO:")
