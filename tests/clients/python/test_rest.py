"""History over REST: rows page after page, data frames, and errors as exceptions."""

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from live_price import (
    AuthenticationError,
    ConnectionLost,
    PriceError,
    RestClient,
    Rows,
    SymbolError,
    sync,
)
from redis import Redis

from instruments.index import index
from instruments.models import Instrument
from quotes.history.models import Candle
from tests.access.people import PASSWORD, asha
from tests.conftest import In
from tests.history.factories import MINUTE, OPENS, candle
from tests.instruments.factories import m_and_m, reliance
from tests.live import LiveServer
from tests.ticks import MOMENT, message, publish

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "history"])


@pytest.fixture
async def rest(live: LiveServer, database: In, redis: Redis) -> Any:
    """A client of a server with two instruments, and candles of one of them."""

    def prepare() -> None:
        Instrument.objects.bulk_create([reliance(), m_and_m()])
        index.refresh()
        Candle.objects.bulk_create([candle(OPENS + n * MINUTE) for n in range(5)])

    await database(prepare)
    yield RestClient(f"http://127.0.0.1:{live.port}")
    await database(lambda: (Instrument.objects.all().delete(), index.refresh()))


def exact(rest: RestClient[float]) -> RestClient[Decimal]:
    return RestClient(rest._api.url, exact=True)


async def test_candles_come_page_after_page(rest: RestClient[float], settings: Any) -> None:
    """All of a range, whatever a page holds; numbers exact on request."""
    settings.QUOTES_HISTORY_PAGE_ROWS = 2
    day = {"since": "2024-04-05", "until": "2024-04-05"}
    rows = await rest.candles("RELIANCE", interval="1m", **day)
    assert [one.start for one in rows] == [OPENS + n * MINUTE for n in range(5)]
    assert (rows[0].name, rows[0].key, rows[0].interval) == ("RELIANCE", "NSE_EQ:RELIANCE", "1m")
    [first, *_] = await exact(rest).candles("RELIANCE", interval="1m", **day)
    assert isinstance(first.open, Decimal) and float(first.open) == rows[0].open


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (OPENS, OPENS + MINUTE),
        (datetime.fromtimestamp(OPENS / 1000, UTC), datetime(2024, 4, 5, 9, 16)),
        (date(2024, 4, 5), "2024-04-05T09:16+05:30"),
    ],
)
async def test_ranges_in_every_form(rest: RestClient[float], since: Any, until: Any) -> None:
    """Milliseconds, dates, datetimes and text; without an offset in India."""
    rows = await rest.candles("RELIANCE", interval="1m", since=since, until=until)
    assert [one.start for one in rows] == [OPENS]


async def test_rows_are_data_frames(rest: RestClient[float]) -> None:
    """With times in UTC, in pandas and polars."""
    rows = await rest.candles("RELIANCE", interval="1m", since="2024-04-05", until="2024-04-05")
    frame = rows.to_pandas()
    assert len(frame) == 5 and str(frame["start"].dt.tz) == "UTC"
    assert frame["start"].iloc[0].isoformat() == "2024-04-05T03:45:00+00:00"
    assert frame["close"].tolist() == [one.close for one in rows]
    table = rows.to_polars()
    assert table["volume"].to_list() == [one.volume for one in rows]
    assert table["start"][0] == datetime(2024, 4, 5, 3, 45, tzinfo=UTC)
    assert Rows[Any]().to_pandas().empty


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_missing_library_is_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=f"pip install {library}"):
        getattr(Rows[Any](), f"to_{library}")()


async def test_ticks_and_latest_prices(rest: RestClient[float], redis: Redis) -> None:
    """Prices, what is missing, and names that nobody has."""
    publish(redis, "NSE_EQ:RELIANCE", message("RELIANCE", "2950.50", volume=7))
    found = await rest.prices(["NSE:RELIANCE", "M&M", "RELIANC"])
    assert [(one.key, one.price, one.volume) for one in found.prices] == [
        ("NSE_EQ:RELIANCE", 2950.5, 7)
    ]
    assert found.missing == ("M&M", "RELIANC")
    assert found.unknown == {"RELIANC": ("NSE_EQ:RELIANCE",)} and not found.refused
    assert await rest.ticks("M&M", since=MOMENT, until=MOMENT + 1) == []


async def test_instruments_and_market_status(rest: RestClient[float]) -> None:
    """Pages of instruments are followed."""
    rows = await rest.instruments(limit=1)
    assert sorted(one["symbol"] for one in rows) == ["M&M", "RELIANCE"]
    assert rows.to_columns()["segment"] == ["NSE_EQ", "NSE_EQ"]
    assert any(one.segment == "NSE_EQ" for one in await rest.market_status())
    assert (await rest.get("segments/"))[0]["code"]


@pytest.mark.parametrize(
    ("call", "error", "code"),
    [
        (lambda rest: rest.candles("RELIANC", interval="1m"), SymbolError, 404),
        (lambda rest: rest.candles("RELIANCE", interval="7m"), PriceError, 400),
        (lambda rest: rest.option_chain("RELIANCE"), PriceError, 404),
        (lambda rest: rest.get("nowhere/"), PriceError, 404),
        (lambda rest: rest.login("asha", "wrong"), AuthenticationError, 401),
    ],
)
async def test_errors_are_exceptions(
    call: Callable[[Any], Any], error: type[PriceError], code: int, rest: RestClient[float]
) -> None:
    """With the HTTP status and the server's sentence."""
    with pytest.raises(error) as found:
        await call(rest)
    assert found.value.code == code and found.value.message
    if isinstance(found.value, SymbolError):
        assert found.value.suggestions == ("NSE_EQ:RELIANCE",)


async def test_token_of_a_log_in(rest: RestClient[float], database: In, required: None) -> None:
    """`login` returns a token, which a client sends; a bad one is an error."""

    def prepare() -> None:
        user = asha("NSE_EQ")
        user.set_password(PASSWORD)
        user.save()

    await database(prepare)
    with pytest.raises(AuthenticationError):
        await rest.prices("RELIANCE")
    token = (await rest.login("asha", PASSWORD))["access"]
    own = RestClient(rest._api.url, token=lambda: token)
    assert (await own.prices("RELIANCE")).missing == ("RELIANCE",)


async def test_no_server_and_no_redirects() -> None:
    """Neither is a wrong answer, and the token goes nowhere else."""
    with pytest.raises(ConnectionLost):
        await RestClient("http://127.0.0.1:1", timeout_s=1).market_status()
    seen: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        if len(seen) == 1:
            head = "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\n"
        else:
            head = "HTTP/1.1 302 Found\r\nLocation: /api/elsewhere/\r\n"
        writer.write(f"{head}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(PriceError) as found:
            await RestClient(f"http://127.0.0.1:{port}", token="a.b.c").get("x")
    assert found.value.code == 302 and len(seen) == 2
    assert b"Authorization: Bearer a.b.c" in seen[1]


async def test_without_asyncio(rest: RestClient[float]) -> None:
    """Also where a loop runs already, as in a notebook."""
    client = sync.RestClient(rest._api.url, exact=True)
    day = {"since": "2024-04-05", "until": "2024-04-05"}
    rows = await asyncio.to_thread(lambda: client.candles("RELIANCE", interval="1m", **day))
    assert len(rows) == 5 and isinstance(rows[0].close, Decimal)
