"""REST answers about segments, instruments, option chains and market hours."""

import io
import json
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from instruments import examples
from instruments.import_file import file_import
from instruments.index import index
from instruments.keys import SEGMENTS, InstrumentKey
from instruments.models import Holiday, Instrument
from instruments.sessions import IST
from tests.instruments import data, prices

pytestmark = pytest.mark.django_db

NOW_MS = 1_786_766_400_000


@pytest.fixture(autouse=True)
def master(settings: Any) -> Iterator[None]:
    """The instruments of kite.csv, two of which have a price."""
    settings.INSTRUMENTS_LATEST_PRICES = "tests.instruments.prices.latest"
    file_import(file=io.BytesIO((data.FOLDER / "kite.csv").read_bytes()))
    prices.known.clear()
    prices.known[InstrumentKey("NSE_EQ", "M&M")] = prices.Price(Decimal("3100.10"), NOW_MS)
    call = InstrumentKey("NFO", "NIFTY26AUG24000CE")
    prices.known[call] = prices.Price(Decimal("512.35"), NOW_MS)
    index.refresh()
    yield
    # The rows go with the transaction; the process's copy must not outlive them.
    Instrument.objects.all().delete()
    index.__init__()  # type: ignore[misc]


def get(path: str, *, status: int = 200) -> Any:
    """Return the JSON at an address, numbers with their digits."""
    response = Client().get(f"/api/{path}")
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/json"
    return json.loads(response.content, parse_float=Decimal)


def symbols(query: str) -> list[str]:
    return [row["symbol"] for row in get(f"instruments/?{query}")["results"]]


def test_segments_come_with_their_aliases() -> None:
    """Every segment is there with what vendors call it."""
    answer = get("segments/")
    assert {segment["code"] for segment in answer} == set(SEGMENTS)
    nfo = next(segment for segment in answer if segment["code"] == "NFO")
    assert (nfo["exchange"], nfo["kind"], nfo["price_divisor"]) == ("NSE", "derivatives", 100)
    assert {"vendor": "common", "code": "O", "product": "O"} in nfo["aliases"]
    assert {"vendor": "upstox", "code": "NSE_FO", "product": ""} in nfo["aliases"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("prefix=chola", ["CHOLAFIN", "CHOLAFIN-D1"]),
        ("prefix=M%26M", ["M&M", "M&M26AUGFUT"]),
        ("prefix=HOLA", []),
        ("search=bank", ["NIFTY BANK"]),
        ("search=mahindra+m%26m", ["M&M"]),
        ("search=industries+reliance", ["RELIANCE"]),
        ("search=reliance+bank", []),
        ("segment=NSE_INDEX", ["INDIA VIX", "NIFTY 50", "NIFTY BANK"]),
        ("segment=BFO", ["SENSEX2682080000CE", "SENSEX26AUG80000CE"]),
        ("segment=BSE_FO", ["SENSEX2682080000CE", "SENSEX26AUG80000CE"]),
        ("segment=F", ["M&M26AUGFUT", "NIFTY26AUGFUT"]),
        ("segment=C&prefix=R", ["RELIANCE"]),
        ("type=FUT", ["M&M26AUGFUT", "NIFTY26AUGFUT"]),
        ("underlying=nifty&type=CE", ["NIFTY2681824000CE", "NIFTY26AUG24000CE"]),
        ("underlying=M%26M", ["M&M26AUGFUT"]),
        ("expiry=2026-08-20", ["SENSEX2682080000CE"]),
        ("expiry_from=2026-08-26", ["SENSEX26AUG80000CE"]),
        ("expiry_to=2026-08-18", ["NIFTY2681824000CE"]),
        ("expiry_from=2026-08-20&expiry_to=2026-08-20", ["SENSEX2682080000CE"]),
        ("strike_to=172.5", ["ASHOKLEY26AUG172.5CE"]),
        ("strike_from=172.51&strike_to=10000", ["BAJAJ-AUTO26AUG10000CE"]),
        ("strike_from=80000&ordering=-symbol", ["SENSEX26AUG80000CE", "SENSEX2682080000CE"]),
    ],
)
def test_instruments_are_found(query: str, expected: list[str]) -> None:
    """Searches and filters give the instruments that fit all of them."""
    assert symbols(query) == expected


def test_inactive_instruments_are_shown_on_request() -> None:
    """What traded once is left out unless it is asked for."""
    Instrument.objects.filter(symbol="RELIANCE").update(active=False)
    assert symbols("search=reliance") == []
    assert symbols("search=reliance&active=false") == ["RELIANCE"]
    assert symbols("search=reliance&active=all") == ["RELIANCE"]
    assert len(symbols("active=false")) == 1


@pytest.mark.parametrize(
    "ordering", ["symbol", "-symbol", "expiry", "-expiry", "strike", "-strike"]
)
@pytest.mark.parametrize("limit", [1, 3, 16])
def test_pages_cover_the_list_forth_and_back(ordering: str, limit: int) -> None:
    """Following next gives every row once, and previous the same pages in reverse."""
    field = ordering.removeprefix("-")
    address: str | None = f"instruments/?ordering={ordering}&limit={limit}"
    pages: list[list[str]] = []
    page: Any = None
    while address:
        page = get(address)
        pages.append([row["key"] for row in page["results"]])
        assert (page["previous"] is None) == (len(pages) == 1)
        address = page["next"] and page["next"].partition("/api/")[2]
    found = [key for keys in pages for key in keys]
    rows = {str(row): getattr(row, field) for row in Instrument.objects.all()}
    assert sorted(found) == sorted(rows)
    told = [rows[key] for key in found if rows[key] is not None]
    assert told == sorted(told, reverse=ordering.startswith("-"))
    assert all(rows[key] is None for key in found[len(told) :])
    back = [pages[-1]]
    while page["previous"]:
        page = get(page["previous"].partition("/api/")[2])
        back.append([row["key"] for row in page["results"]])
    assert back[::-1] == pages


def test_rows_that_come_and_go_do_not_shift_pages() -> None:
    """A page begins after the last row of the one before, whatever happens in between."""
    first = get("instruments/?limit=4&segment=NSE_EQ")
    assert [row["symbol"] for row in first["results"]] == [
        *("BAJAJ-AUTO", "CHOLAFIN", "CHOLAFIN-D1", "M&M"),
    ]
    Instrument.objects.filter(symbol="CHOLAFIN").delete()
    Instrument.objects.create(segment_id="NSE_EQ", symbol="AAA", instrument_type="EQ")
    second = get(first["next"].partition("/api/")[2])
    assert [row["symbol"] for row in second["results"]] == ["RELIANCE"]


def test_numbers_keep_their_digits() -> None:
    """Prices are JSON numbers, exact and without padding."""
    content = Client().get("/api/instruments/?prefix=ASHOKLEY").content
    assert b'"strike":172.5,' in content
    assert b'"tick_size":0.01,' in content
    content = Client().get("/api/instruments/?prefix=NIFTY26AUG24").content
    assert b'"strike":24000,' in content
    assert b'"price":3100.10,' in Client().get("/api/instruments/NSE_EQ:M%26M/").content


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("NSE_EQ:M%26M", "NSE_EQ:M&M"),
        ("M%26M", "NSE_EQ:M&M"),
        ("NSE:M%26M", "NSE_EQ:M&M"),
        ("NSE:M%26M-EQ", "NSE_EQ:M&M"),
        ("NIFTY%2050", "NSE_INDEX:NIFTY 50"),
        ("NSE:NIFTY50-INDEX", "NSE_INDEX:NIFTY 50"),
        ("NSE_FO%7C58072", "NFO:NIFTY26AUGFUT"),
        ("NFO:NIFTY26AUGFUT", "NFO:NIFTY26AUGFUT"),
    ],
)
def test_instrument_is_found_by_any_name(path: str, key: str) -> None:
    """Whatever name the market uses leads to the instrument."""
    assert get(f"instruments/{path}/")["key"] == key


def test_instrument_comes_with_its_latest_price() -> None:
    """An instrument is answered with all that is known of it."""
    answer = get("instruments/M%26M/")
    assert answer == {
        **{"key": "NSE_EQ:M&M", "segment": "NSE_EQ", "symbol": "M&M", "type": "EQ"},
        **{"name": "MAHINDRA & MAHINDRA", "underlying": "", "expiry": None, "strike": None},
        **{"lot_size": 1, "tick_size": Decimal("0.1"), "exchange_token": 2031},
        **{"instrument_token": 519937, "isin": "", "active": True},
        "latest": {"price": Decimal("3100.10"), "timestamp": NOW_MS},
    }
    assert get("instruments/RELIANCE/")["latest"] is None


def test_instrument_that_traded_once_is_found_by_its_key() -> None:
    """An exact key leads to an inactive row, too."""
    Instrument.objects.filter(symbol="RELIANCE").update(active=False)
    assert get("instruments/NSE_EQ:RELIANCE/")["active"] is False


def test_instrument_that_is_newer_than_the_index_is_found() -> None:
    """A name that this process has not read yet is looked up in the master."""
    new = (data.FOLDER / "angel.json").read_bytes()
    get("instruments/BSE:RELIANCE/", status=404)
    file_import(file=io.BytesIO(new))
    assert get("instruments/BSE:RELIANCE/")["key"] == "BSE_EQ:RELIANCE"


def test_option_chain_joins_both_sides_and_prices() -> None:
    """A chain has a row for each strike, with the call, the put, and their latest prices."""
    put = Instrument.objects.get(symbol="NIFTY26AUG24000CE")
    put.pk, put.symbol, put.instrument_type = None, "NIFTY26AUG24000PE", "PE"
    put.save(force_insert=True)
    answer = get("instruments/NIFTY/option-chain/?expiry=2026-08-25")
    assert (answer["underlying"], answer["segment"]) == ("NIFTY", "NFO")
    assert answer["expiries"] == ["2026-08-18", "2026-08-25"]
    (row,) = answer["strikes"]
    assert row["strike"] == 24000
    assert row["call"]["key"] == "NFO:NIFTY26AUG24000CE"
    assert row["call"]["latest"] == {"price": Decimal("512.35"), "timestamp": NOW_MS}
    assert (row["put"]["key"], row["put"]["latest"]) == ("NFO:NIFTY26AUG24000PE", None)


@pytest.mark.parametrize("name", ["NIFTY", "nifty", "NIFTY%2050", "NSE_INDEX:NIFTY%2050"])
def test_option_chain_says_where_its_money_is(name: str) -> None:
    """The chain has the price of its index, else of its future, and the strike nearest to it."""
    path = f"instruments/{name}/option-chain/?expiry=2026-08-25"
    answer = get(path)
    assert answer["underlying"] == "NIFTY"
    assert (answer["underlying_price"], answer["at_the_money"]) == (None, None)
    for segment, symbol in (("NFO", "NIFTY26AUGFUT"), ("NSE_INDEX", "NIFTY 50")):
        if segment == "NFO":
            Instrument.objects.filter(symbol=symbol).update(expiry=date(2099, 8, 25))
            index.__init__()  # type: ignore[misc]
            index.refresh()
        price = prices.Price(Decimal("24035.05"), NOW_MS)
        prices.known[InstrumentKey(segment, symbol)] = price
        answer = get(path)
        assert answer["underlying_price"] == {
            "key": f"{segment}:{symbol}",
            "price": price.price,
            "timestamp": NOW_MS,
        }
        assert answer["at_the_money"] == 24000


def test_option_chain_is_of_the_nearest_expiry() -> None:
    """Without an expiry the chain is of the one that comes next, or came last."""
    today = timezone.now().astimezone(IST).date()
    days = {"NIFTY2681824000CE": today - timedelta(days=1), "NIFTY26AUG24000CE": today}
    for symbol, day in days.items():
        Instrument.objects.filter(symbol=symbol).update(expiry=day)
    assert get("instruments/NIFTY/option-chain/")["expiry"] == today.isoformat()
    Instrument.objects.filter(underlying="NIFTY").update(expiry=date(2020, 1, 30))
    assert get("instruments/NIFTY/option-chain/")["expiry"] == "2020-01-30"


def test_option_chain_of_a_segment_by_any_code() -> None:
    """The segment may be a vendor's; one without such options has none."""
    chain = get("instruments/SENSEX/option-chain/?segment=BSE_FO&expiry=2026-08-27")
    assert chain["segment"] == "BFO"
    get("instruments/SENSEX/option-chain/?segment=NFO", status=404)
    assert get("instruments/BAJAJ-AUTO/option-chain/")["strikes"][0]["strike"] == 10000


def test_market_status_tells_now_and_next() -> None:
    """Each segment has a status, and the moment of the next change in UTC and in India."""
    answer = get("market-status/")
    assert [status["segment"] for status in answer["segments"]] == list(SEGMENTS)
    assert answer["time"].endswith("Z")
    assert answer["time_ist"].endswith("+05:30")
    today = timezone.now().astimezone(IST).date()
    Holiday.objects.filter(segment="MCX", date=today).delete()
    Holiday.objects.create(segment_id="MCX", date=today, name="A day off")
    (mcx,) = get("market-status/?segment=MCX")["segments"]
    assert (mcx["status"], mcx["name"]) == ("holiday", "A day off")
    assert mcx["next_status"] in ("closed", "open")
    assert mcx["next_change"].endswith("Z")
    assert mcx["next_change_ist"].endswith("+05:30")


@pytest.mark.parametrize(
    ("code", "segments"),
    [("NSE_FO", ["NFO"]), ("NSE", ["NSE_EQ", "NSE_INDEX", "NFO", "CDS"]), ("FO", ["NFO", "BFO"])],
)
def test_market_status_takes_codes_of_vendors(code: str, segments: list[str]) -> None:
    """An exchange or a vendor's code selects the segments that it means in a subscription."""
    answer = get(f"market-status/?segment={code}")
    assert [status["segment"] for status in answer["segments"]] == segments


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("instruments/?segmnt=NFO", 400, "segmnt: no such parameter"),
        ("instruments/?segment=NFOO", 400, "not a segment, got 'NFOO'"),
        ("instruments/?segment=3", 400, "not a segment, got '3'"),
        ("instruments/?type=OPT", 400, "type must be one of EQ, FUT, CE, PE, INDEX, got 'OPT'"),
        (
            "instruments/?expiry=tomorrow",
            400,
            "expiry must be a day, as 2026-08-27, got",
        ),
        ("instruments/?strike_from=abc", 400, "strike_from must be a decimal number, got"),
        ("instruments/?strike_from=NaN", 400, "strike_from must be a decimal number, got"),
        ("instruments/?limit=0", 400, "limit must be a whole number from 1 to 1000, got '0'"),
        ("instruments/?limit=1001", 400, "limit must be a whole number from 1 to 1000, got '1001'"),
        ("instruments/?ordering=name", 400, "ordering must be one of symbol, -symbol, expiry"),
        ("instruments/?active=maybe", 400, "active must be one of true, false, all, got 'maybe'"),
        ("instruments/?search=%00", 400, "search: null characters are not allowed"),
        ("instruments/?cursor=x", 400, "not a cursor, got 'x'"),
        ("instruments/?cursor=%E0%A4", 400, "not a cursor, got"),
        ("instruments/?cursor=WyJleHBpcnkiLG51bGwsMSxmYWxzZV0", 400, "the cursor belongs to"),
        (
            "instruments/?ordering=expiry&cursor=WyJleHBpcnkiLCJ4IiwxLGZhbHNlXQ",
            *(400, "not a cursor, got"),
        ),
        ("instruments/NOPE/", 404, "not in the instrument master, got 'NOPE'"),
        ("instruments/NFO:NOPE/", 404, "not in the instrument master, got 'NOPE'"),
        (f"instruments/{'X' * 65}/", 400, "a symbol must have 1 to 64 characters, got"),
        ("instruments/A%00B/", 400, "a symbol must have printable characters only, got"),
        ("instruments/NIFTTY/option-chain/", 404, "no options with this underlying, got 'NIFTTY'"),
        (
            "instruments/A%00B/option-chain/",
            400,
            "a symbol must have printable characters only, got",
        ),
        (
            "instruments/NIFTY/option-chain/?expiry=2026-08-26",
            *(404, "no options of NIFTY expire on that day, got '2026-08-26'"),
        ),
        ("instruments/NIFTY/option-chain/?strikes=3", 400, "strikes: no such parameter"),
        ("market-status/?segment=NSEE", 400, "not a segment, got 'NSEE'"),
        ("market-status/?segment=NFO&segment=MCX", 400, "segment must not be repeated"),
        ("instruments/?search=A&limit=5&limit=6", 400, "limit must not be repeated"),
        ("nothing/", 404, "nothing exists at this address"),
    ],
)
def test_error_has_one_shape(path: str, status: int, message: str) -> None:
    """What cannot be answered is told as code and message."""
    answer = get(path, status=status)
    hints = {"known", "suggestions"} if status == 404 else set()  # of an unknown name
    assert set(answer) - hints == {"code", "message"}
    assert answer["code"] == status
    assert answer["message"].startswith(message)


def test_methods_that_change_are_refused() -> None:
    """The master is not edited over REST."""
    for method in ("post", "put", "patch", "delete"):
        response = getattr(Client(), method)("/api/instruments/")
        assert response.status_code == 405
        assert response.json() == {
            "code": 405,
            "message": f'method "{method.upper()}" not allowed',
        }


def test_failure_of_the_server_is_json_under_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """A view that fails answers 500 in the same shape, without details."""

    def fail(**terms: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("instruments.api.instruments_find", fail)
    response = Client(raise_request_exception=False).get("/api/instruments/")
    assert response.status_code == 500
    assert response.json() == {"code": 500, "message": "internal error, see the log of the server"}


def test_pages_for_people_are_not_json() -> None:
    """Outside of /api/ an error is a page."""
    response = Client().get("/nothing/")
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


def test_schema_is_whole(tmp_path: Path) -> None:
    """The OpenAPI schema has every endpoint, with an example and its errors, and no warning."""
    file = tmp_path / "schema.yml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(file))
    schema = yaml.safe_load(file.read_text())
    errors = {
        "/api/segments/": set(),
        "/api/instruments/": {"400"},
        "/api/instruments/{key}/": {"400", "404"},
        "/api/instruments/{underlying}/option-chain/": {"400", "403", "404"},
        "/api/market-status/": {"400"},
    }
    for path, codes in errors.items():
        operation = schema["paths"][path]["get"]
        assert operation["description"]
        around = {"401", "403", "405", "406", "429", "503"}  # of every view that names its caller
        assert set(operation["responses"]) == {"200", *around, *codes}
        for response in operation["responses"].values():
            content = response["content"]["application/json"]
            assert "examples" in content or "example" in content


@pytest.mark.parametrize(
    ("path", "example"),
    [
        ("segments/", examples.SEGMENTS),
        ("instruments/", examples.PAGE),
        ("instruments/RELIANCE/", examples.PRICED),
        ("instruments/NIFTY/option-chain/?expiry=2026-08-25", examples.CHAIN),
        ("market-status/", examples.MARKET),
    ],
)
def test_examples_are_shaped_like_answers(path: str, example: Any) -> None:
    """Each example of the schema has the keys of what the server sends."""
    prices.known[InstrumentKey("NSE_INDEX", "NIFTY 50")] = prices.Price(Decimal(24035), NOW_MS)
    assert shape(get(path)) == shape(example)


def shape(value: Any) -> Any:
    """Return the keys of objects, and of the first object of arrays; what may be null is left."""
    if isinstance(value, dict):
        ends = ("latest", "next", "previous", "put")
        return {key: None if key in ends else shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value and isinstance(value[0], dict) else []
    return None
