"""Candles and ticks over REST."""

import csv
import gzip
import io
import json
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
import yaml
from django.test import AsyncClient, Client
from pyarrow import parquet

from quotes.history.candles.intervals import Interval
from quotes.history.models import Candle
from quotes.runtime.clock import DAY_MS, date_of
from tests.history.factories import (
    M_AND_M,
    MIDNIGHT,
    MINUTE,
    OPENS,
    RELIANCE,
    candle,
    days,
    minutes,
    ticks,
)

pytestmark = pytest.mark.django_db(databases=["default", "history"])

CANDLES = "/api/instruments/NSE_EQ:RELIANCE/candles/"
TICKS = "/api/instruments/NSE_EQ:RELIANCE/ticks/"
DAY = "from=2024-04-05&to=2024-04-05"


client = Client()


def get(address: str, *, status: int = 200, **headers: str) -> Any:
    """Return what is at an address, numbers with their digits."""
    response = client.get(address, headers=headers)
    content = response.getvalue()
    assert response.status_code == status, content
    return json.loads(content, parse_float=Decimal)


def content(address: str, **headers: str) -> bytes:
    response = client.get(address, headers=headers)
    assert response.status_code == 200, response.getvalue()
    return response.getvalue()


def pages(address: str) -> Iterator[Any]:
    following: str | None = address
    while following:
        page = get(following)
        yield page
        following = page["next"]


def test_candles_are_arrays_in_the_order_of_kite_with_exact_digits() -> None:
    """A candle is [start, open, high, low, close, volume, oi], prices with their zeros."""
    Candle.objects.bulk_create([candle(OPENS, oi=7), candle(OPENS + MINUTE, volume=None)])
    body = content(f"{CANDLES}?interval=minute&{DAY}")
    assert body == (
        b'{"instrument":"NSE_EQ:RELIANCE","interval":"1m","candles":['
        b"[%d,100.10,101.00,99.50,100.00,10,7],[%d,100.10,101.00,99.50,100.00,null,null]"
        b'],"next":null}' % (OPENS, OPENS + MINUTE)
    )


@pytest.mark.parametrize(
    ("name", "interval"),
    [
        *((f"{one.value}m", one) for one in Interval if one <= Interval.HOUR),
        *((f"{one.value}minute", one) for one in Interval if one <= Interval.HOUR),
        *(("minute", Interval.MINUTE), ("day", Interval.DAY), ("1d", Interval.DAY)),
    ],
)
def test_intervals_have_our_names_and_those_of_kite(name: str, interval: Interval) -> None:
    """Each name asks for the candles of its interval only."""
    for one in Interval:
        if one <= Interval.DAY:
            candle(MIDNIGHT, interval=one, volume=one.value).save()
    answer = get(f"{CANDLES}?interval={name}&{DAY}")
    assert answer["interval"] == interval.label
    assert [row[5] for row in answer["candles"]] == [interval.value]


def test_weeks_and_months_are_made_of_days() -> None:
    """A week has the open of its first day, the close of its last, and the volume of all."""
    days(10, first=MIDNIGHT - 4 * DAY_MS)  # from Monday, 1 April, on
    weeks = get(f"{CANDLES}?interval=1w&from=2024-04-01&to=2024-04-30")["candles"]
    assert [row[0] for row in weeks] == [MIDNIGHT - 4 * DAY_MS, MIDNIGHT + 3 * DAY_MS]
    assert [row[5] for row in weeks] == [70, 30]
    (month,) = get(f"{CANDLES}?interval=1M&from=2024-04-01&to=2024-04-30")["candles"]
    assert str(date_of(month[0])) == "2024-04-01" and month[5] == 100


def test_objects_say_all_that_is_known() -> None:
    """With rows=objects a candle has its end, its ticks and its flags."""
    candle(OPENS, revised=True).save()
    (found,) = get(f"{CANDLES}?interval=1m&rows=objects&{DAY}")["candles"]
    assert found == {
        **{"start": OPENS, "ends": OPENS + MINUTE, "volume": 10, "oi": None, "ticks": 4},
        **{"open": Decimal("100.10"), "high": 101, "low": Decimal("99.50"), "close": 100},
        **{"final": True, "revised": True},
    }
    (found,) = get(f"{CANDLES}?interval=1m&rows=objects&times=iso&{DAY}")["candles"]
    assert (found["start"], found["ends"]) == (
        "2024-04-05T09:15:00+05:30",
        "2024-04-05T09:16:00+05:30",
    )


@pytest.mark.parametrize("limit", [1, 7, 375])
def test_pages_cover_a_range_once(limit: int) -> None:
    """Following next gives each candle once, in order; the Link header says the same."""
    made = minutes(375)
    response = Client().get(f"{CANDLES}?interval=1m&{DAY}&limit={limit}")
    following = response.json()["next"]
    assert response.headers.get("Link") == (f'<{following}>; rel="next"' if following else None)
    found = [
        row[0]
        for page in pages(f"{CANDLES}?interval=1m&{DAY}&limit={limit}")
        for row in page["candles"]
    ]
    assert found == [row.start for row in made]


def test_many_instruments_come_in_the_order_asked_for() -> None:
    """One request answers for many; each page goes on where the one before ended."""
    minutes(5)
    minutes(3, M_AND_M)
    query = f"/api/candles/?instruments=NSE_EQ:M%26M,NOPE,NSE_EQ:RELIANCE&interval=1m&{DAY}"
    answer = get(query)
    assert [one["instrument"] for one in answer["instruments"]] == ["NSE_EQ:M&M", "NSE_EQ:RELIANCE"]
    assert [len(one["candles"]) for one in answer["instruments"]] == [3, 5]
    found = [
        (one["instrument"], row[0])
        for page in pages(f"{query}&limit=2")
        for one in page["instruments"]
        for row in one["candles"]
    ]
    assert found == [
        (one["instrument"], row[0]) for one in answer["instruments"] for row in one["candles"]
    ]
    assert get(f"{query}&limit=all") == answer
    assert get(f"/api/candles/?instruments=NOPE&interval=1m&{DAY}")["instruments"] == []


def test_ticks_are_in_the_order_of_their_events() -> None:
    """A tick is [timestamp, price, volume, oi, seq, epoch, shown]; pages split one millisecond."""
    ticks([(OPENS, "100.10"), (OPENS, "100.20"), (OPENS, "100.0"), (OPENS - 1, "99")])
    body = content(f"{TICKS}?{DAY}")
    assert b"[%d,100.10,1,null,1,7,true]" % OPENS in body
    rows = get(f"{TICKS}?{DAY}")["ticks"]
    assert [row[1] for row in rows] == [99, Decimal("100.10"), Decimal("100.20"), 100]
    assert [row for page in pages(f"{TICKS}?{DAY}&limit=1") for row in page["ticks"]] == rows


def test_tick_objects_are_price_frames() -> None:
    """With rows=objects a tick has every key that clients got, and its number."""
    ticks([(OPENS, "100.10")], rest=',"volume":1,"bid":100.05,"timestamp_of":"x"')
    body = content(f"{TICKS}?{DAY}&rows=objects")
    frame = (
        b'{"symbol":"RELIANCE","price":100.10,"timestamp":%s,"segment":"NSE_EQ","volume":1,'
        b'"bid":100.05,"timestamp_of":"x","seq":1,"epoch":7,"shown":true}'
    )
    assert frame % str(OPENS).encode() in body
    body = content(f"{TICKS}?{DAY}&rows=objects&times=iso")
    assert frame % b'"2024-04-05T09:15:00+05:30"' in body


@pytest.mark.parametrize("query", ["", "&limit=100"])
def test_csv_has_a_header_and_exact_digits(query: str) -> None:
    """By Accept or by ?format=csv, as a stream or as a page."""
    minutes(3)
    body = content(f"{CANDLES}?interval=1m&{DAY}{query}", accept="text/csv")
    assert body == content(f"{CANDLES}?interval=1m&{DAY}{query}&format=csv")
    rows = list(csv.DictReader(io.StringIO(body.decode())))
    assert len(rows) == 3 and rows[1]["open"] == "101.10"
    assert rows[1]["start"] == str(OPENS + MINUTE) and rows[1]["oi"] == ""
    assert (rows[1]["instrument"], rows[1]["interval"]) == ("NSE_EQ:RELIANCE", "1m")
    iso = content(f"{CANDLES}?interval=1m&{DAY}{query}&format=csv&times=iso").decode()
    assert iso.splitlines()[2].startswith("NSE_EQ:RELIANCE,1m,2024-04-05T09:16:00+05:30,")


@pytest.mark.parametrize("query", ["", "&limit=5000"])
def test_arrow_and_parquet_hold_the_same_rows(query: str) -> None:
    """Prices are decimals, times are timestamps in UTC; all rows of several batches are there."""
    made = minutes(4500, start=MIDNIGHT)
    address = f"{CANDLES}?interval=1m&from=2024-04-05&to=2024-04-08{query}"
    stream = content(address, accept="application/vnd.apache.arrow.stream")
    with pa.ipc.open_stream(stream) as reader:
        table = reader.read_all()
    file = content(address, accept="application/vnd.apache.parquet")
    assert parquet.read_table(io.BytesIO(file)).equals(table)
    assert table.num_rows == 4500
    assert table["open"].to_pylist() == [row.open for row in made]
    assert table["start"].cast(pa.int64()).to_pylist() == [row.start for row in made]
    ticks([(OPENS, "100.10")])
    with pa.ipc.open_stream(content(f"{TICKS}?{DAY}&format=arrow")) as reader:
        (tick,) = reader.read_all().to_pylist()
    assert (tick["price"], tick["seq"], tick["oi"]) == (Decimal("100.1"), 1, None)


def test_without_pyarrow_arrow_is_not_acceptable(monkeypatch: pytest.MonkeyPatch) -> None:
    """406 names the package; CSV does not need it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = get(f"{CANDLES}?interval=1m&format=parquet", status=406)
    assert answer["code"] == 406 and "pyarrow" in answer["message"]
    content(f"{CANDLES}?interval=1m&format=csv")


def test_other_formats_are_not_acceptable() -> None:
    """An Accept header without any of the formats is 406, and the error is JSON."""
    assert get(f"{CANDLES}?interval=1m", status=406, accept="application/xml")["code"] == 406
    answer = get(f"{CANDLES}?interval=x", status=400, accept="text/csv")
    assert answer["message"].startswith("interval must be one of 1m, 3m")


def test_digits_that_arrow_cannot_hold_are_refused() -> None:
    """A price of more than 12 digits behind the point is exact in JSON, and refused in Arrow."""
    ticks([(OPENS, "0.12345678901234567")])
    assert b"0.12345678901234567" in content(f"{TICKS}?{DAY}")
    answer = get(f"{TICKS}?{DAY}&format=arrow", status=400)
    assert "use CSV or JSON" in answer["message"]


def test_unchanged_pages_are_not_sent_again() -> None:
    """An ETag is of the content: 304 until a candle of the range changes."""
    minutes(10)
    address = f"{CANDLES}?interval=1m&{DAY}"
    response = Client().get(address)
    etag = response["ETag"]
    assert "no-cache" in response["Cache-Control"]
    same = Client().get(address, headers={"if-none-match": etag})
    assert same.status_code == 304 and not same.content and same["ETag"] == etag
    Candle.objects.filter(start=OPENS).update(close=Decimal("99.51"))
    assert Client().get(address, headers={"if-none-match": etag}).status_code == 200


def test_text_is_compressed_when_asked_for() -> None:
    """gzip works for pages, with their ETag, and for streams; Parquet is compressed already."""
    minutes(300)
    for query in ("", "&limit=all", "&format=csv"):
        address = f"{CANDLES}?interval=1m&{DAY}{query}"
        response = Client(headers={"accept-encoding": "gzip"}).get(address)
        assert response["Content-Encoding"] == "gzip" and "Accept-Encoding" in response["Vary"]
        assert gzip.decompress(response.getvalue()) == content(address)
        if "ETag" in response:
            headers = {"accept-encoding": "gzip", "if-none-match": response["ETag"]}
            assert Client(headers=headers).get(address).status_code == 304
    response = Client(headers={"accept-encoding": "gzip"}).get(
        f"{CANDLES}?interval=1m&{DAY}&format=parquet"
    )
    assert "Content-Encoding" not in response


def test_all_is_streamed_batch_by_batch(django_assert_num_queries: Any) -> None:
    """A long range is read while it is sent, and equals the pages of it."""
    minutes(4500, start=MIDNIGHT)
    address = f"{CANDLES}?interval=1m&from=2024-04-05&to=2024-04-08"
    response: Any = Client().get(f"{address}&limit=all")
    assert response.streaming and "ETag" not in response
    pieces = iter(response)
    next(pieces)
    with django_assert_num_queries(0, using="history"):
        next(pieces)  # the first batch was read before the answer began
    Candle.objects.filter(start__gte=OPENS + 2000 * MINUTE).delete()
    rest = b"".join(pieces)  # what was not yet read is not there any more
    assert rest.count(b"[") < 2500
    minutes(1000, M_AND_M)
    found = get(f"{address}&limit=all")["candles"]
    assert found == [row for page in pages(f"{address}&limit=900") for row in page["candles"]]


@pytest.mark.django_db(databases=["default", "history"], transaction=True)
async def test_streams_do_not_hold_the_range_in_an_asgi_server() -> None:
    """Under ASGI the pieces come from the request's thread, one at a time."""
    from asgiref.sync import sync_to_async

    await sync_to_async(minutes)(4500, start=MIDNIGHT)
    address = f"{CANDLES}?interval=1m&from=2024-04-05&to=2024-04-08"
    response: Any = await AsyncClient().get(f"{address}&limit=all")
    assert response.streaming and response.is_async
    pieces = [piece async for piece in response]
    assert len(pieces) >= 4
    assert len(json.loads(b"".join(pieces))["candles"]) == 4500


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "interval: this field is required"),
        ("interval=2m", "interval must be one of 1m, 3m, 5m, 10m, 15m, 30m, 60m, 1d, 1w, 1M"),
        ("interval=1m&from=x", "from must be a date, a date and time"),
        ("interval=1m&from=2024-04-31", "from must be a date"),
        ("interval=1m&to=1712289300", "to must be in milliseconds, not seconds"),
        ("interval=1m&from=2024-04-06&to=2024-04-05", "from must be before to"),
        ("interval=1m&from=2023-04-05&to=2024-04-05", "1m candles is at most 60 days long"),
        ("interval=1m&to=999999999999999", "to must be before the year 10000"),
        ("interval=1m&limit=0", "limit must be a number from 1, or all"),
        ("interval=1m&limit=5001", "limit must be at most 5000, or all, got 5001"),
        ("interval=1m&cursor=abc", "not a cursor, got 'abc'"),
        ("interval=1m&rows=lists", "rows must be one of arrays, objects, got 'lists'"),
        ("interval=1m&format=xml", "format must be one of json, csv, arrow, parquet"),
        ("interval=1m&form=2024-04-05", "form: no such parameter"),
    ],
)
def test_bad_questions_are_answered_with_what_is_wrong(query: str, message: str) -> None:
    """400, in the one shape of errors, with the value that was wrong."""
    answer = get(f"{CANDLES}?{query}", status=400)
    assert (answer["code"] == 400 and answer["message"].startswith(message)) or (
        message in answer["message"]
    )


def test_limits_are_settings(settings: Any) -> None:
    """Rows of a page and of a stream, instruments and days have their limits."""
    minutes(20)
    settings.QUOTES_HISTORY_PAGE_ROWS = 10
    settings.QUOTES_HISTORY_MAX_ROWS = 15
    settings.QUOTES_HISTORY_MAX_INSTRUMENTS = 2
    assert len(get(f"{CANDLES}?interval=1m&{DAY}")["candles"]) == 10
    answer = get(f"{CANDLES}?interval=1m&{DAY}&limit=all", status=400)
    assert answer["message"].startswith("the range has more than 15 rows")
    answer = get(f"/api/candles/?instruments=A,B,C&interval=1m&{DAY}", status=400)
    assert answer["message"] == "at most 2 instruments in one request, got 3"
    assert "at least one" in get("/api/candles/?instruments=,&interval=1m", status=400)["message"]
    settings.QUOTES_HISTORY_MAX_DAYS = conf_days(ticks=1)
    answer = get(f"{TICKS}?from=2024-04-04&to=2024-04-05", status=400)
    assert "ticks is at most 1 days long" in answer["message"]


def test_no_repeated_parameter_is_dropped() -> None:
    """Names of instruments are joined, and any other repeated parameter is refused."""
    path = "/api/candles/?instruments=NOPE&instruments=NOPE2&interval=1m"
    assert get(f"{path}&{DAY}")["instruments"] == []
    assert "must not be repeated" in get(f"{path}&interval=5m&{DAY}", status=400)["message"]


def conf_days(**days: int) -> str:
    from quotes.history.candles.intervals import LABELS

    return ",".join(f"{name}={days.get(name, 9)}" for name in ("ticks", *LABELS.values()))


def test_cursor_of_another_list_is_refused() -> None:
    """A cursor holds for its instrument and interval only."""
    minutes(3)
    address = get(f"{CANDLES}?interval=1m&{DAY}&limit=1")["next"]
    answer = get(address.replace("interval=1m", "interval=3m"), status=400)
    assert answer["message"].startswith("the cursor belongs to another list")


def test_strict_servers_do_not_know_what_the_master_does_not(settings: Any) -> None:
    """With QUOTES_STRICT_SYMBOLS an unknown name is 404, else it has no history."""
    assert get("/api/instruments/NOPE/candles/?interval=1d")["candles"] == []
    settings.QUOTES_STRICT_SYMBOLS = True
    assert get("/api/instruments/NOPE/candles/?interval=1d", status=404)["code"] == 404
    settings.QUOTES_STRICT_SYMBOLS = False
    assert get("/api/instruments/*/candles/?interval=1d", status=400)["code"] == 400


def test_schema_describes_history() -> None:
    """The OpenAPI schema has the three addresses with `from` and `to`."""
    paths = yaml.safe_load(Client().get("/api/schema/").content)["paths"]
    for path in (
        "/api/candles/",
        "/api/instruments/{key}/candles/",
        "/api/instruments/{key}/ticks/",
    ):
        names = {one["name"] for one in paths[path]["get"]["parameters"]}
        assert {"from", "to", "limit", "cursor", "rows", "times", "format"} <= names


def test_reliance_by_any_name_of_the_market() -> None:
    """A vendor's name of a segment leads to the same candles."""
    minutes(1)
    address = f"/api/instruments/NSE:RELIANCE/candles/?interval=1m&{DAY}"
    assert get(address)["instrument"] == str(RELIANCE)
