"""The source takes prices from our own /kite: the two halves prove each other."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from instruments.index import index
from instruments.keys import InstrumentKey
from instruments.models import Instrument
from quotes.kite.packets import Packet
from quotes.kite.source.access_token import AccessToken
from quotes.kite.source.backoff import Backoff
from quotes.kite.source.connection import KiteConnection
from quotes.kite.source.ingestion import Ingestion
from quotes.kite.source.selection import Source
from quotes.kite.source.ticks import tick_of
from quotes.publish.publishing import publish_ticks
from quotes.runtime.clock import now_ms
from quotes.ticks import Tick
from tests.access.people import access_token, asha
from tests.conftest import In
from tests.instruments.factories import crudeoil_future, nifty50_index, reliance
from tests.kite.test_source_ticks import NIFTY, NIFTY_TOKEN, RELIANCE, RELIANCE_TOKEN, full
from tests.live import LiveServer
from tests.waiting import eventually

CRUDE = InstrumentKey("MCX", "CRUDEOIL24APRFUT")
CRUDE_TOKEN = 263
KEYS = {RELIANCE_TOKEN: RELIANCE, NIFTY_TOKEN: NIFTY, CRUDE_TOKEN: CRUDE}


def make_master() -> str:
    """Make instruments and a user; return the user's token."""
    crude = crudeoil_future()
    crude.exchange_token, crude.instrument_token = 1, CRUDE_TOKEN
    Instrument.objects.bulk_create([reliance(), nifty50_index(), crude])
    index.refresh()
    return access_token(asha("NSE_EQ", "NSE_INDEX", "MCX"))


def ticks_of(packets: Sequence[Packet]) -> list[Tick]:
    found = [tick_of(one, KEYS[one.token], now_ms=now_ms()) for one in packets]
    return [one for one in found if one is not None]


@asynccontextmanager
async def source_of(
    server: LiveServer, token: str, folder: Path, mode: str
) -> AsyncIterator[tuple[Ingestion, list[Tick]]]:
    """Run a source of all instruments that keeps what it would publish."""
    path = folder / "token"
    path.write_text(token)
    taken: list[Tick] = []
    lines: list[str] = []
    is_over = False
    ingestion = Ingestion(
        Source(names=tuple(map(str, KEYS.values())), mode=mode),
        url=f"ws://127.0.0.1:{server.port}/kite",
        api_key="asha",
        token=AccessToken(path),
        publish=lambda ticks: taken.extend(ticks) or len(ticks),  # type: ignore[func-returns-value]
        report=lines.append,
        tell=lines.append,
        stopped=lambda: is_over,
        new_connection=partial(KiteConnection, backoff=Backoff(0.05)),
    )
    task = asyncio.create_task(ingestion.run())
    try:
        await eventually(lambda: task.done() or ingestion.connections)
        yield ingestion, taken
    finally:
        is_over = True
        async with asyncio.timeout(10):
            await task
        assert token not in "".join(lines)
        index.__init__()  # type: ignore[misc]


async def test_what_is_published_comes_back_field_for_field(
    live: LiveServer, redis: Redis, database: In, required: None, tmp_path: Path
) -> None:
    """A tick with all fields goes through /kite in mode full and back, to the last digit."""
    token = await database(make_master)
    now = now_ms() // 1000
    first = ticks_of(
        [
            full(exchange_time=now - 2, last_trade_time=now - 3),
            Packet(
                token=NIFTY_TOKEN,
                mode="full",
                last_price=2_251_370,
                open=2_250_000,
                high=2_260_000,
                low=2_240_005,
                prev_close=2_250_010,
                exchange_time=now - 2,
            ),
            full(CRUDE_TOKEN, exchange_time=now - 2, last_trade_time=now - 3, last_price=-3763),
        ]
    )
    publish_ticks(first, client=redis)
    async with source_of(live, token, tmp_path, "full") as (ingestion, taken):
        await eventually(lambda: len({one.symbol for one in taken}) == 3)
        later = ticks_of(
            [
                full(CRUDE_TOKEN, exchange_time=now, last_price=99_900, sell=(), volume=2**31 - 1),
                full(exchange_time=now - 1, last_price=123_405, buy=()),
            ]
        )
        publish_ticks(later, client=redis)
        await eventually(lambda: all(one in taken for one in [*first, *later]))
        assert all(one in [*first, *later] for one in taken)
        assert ingestion.connections[0].counters.bad_packets == 0


@pytest.mark.parametrize("mode", ["ltp", "quote"])
async def test_other_modes_bring_what_they_carry(
    mode: str, live: LiveServer, redis: Redis, database: In, required: None, tmp_path: Path
) -> None:
    """Prices come in each mode, with the fields that it carries."""
    token = await database(make_master)
    publish_ticks(ticks_of([full()]), client=redis)
    async with source_of(live, token, tmp_path, mode) as (_, taken):
        await eventually(lambda: taken)
        fields: dict[str, Any] = {name: text.decode() for name, text in taken[0].fields.items()}
        assert taken[0].price_text == "2925.50"
        if mode == "ltp":
            assert not fields
        else:
            assert fields["prev_close"] == "2899.90" and fields["volume"] == "1000"
            assert "depth" not in fields


async def test_a_restart_of_the_server_is_survived(
    redis: Redis, database: In, required: None, tmp_path: Path
) -> None:
    """The server restarts; the source comes back with all of its instruments."""
    token = await database(make_master)
    async with LiveServer() as server:
        await server.start_bridge()
        async with source_of(server, token, tmp_path, "ltp") as (ingestion, taken):
            publish_ticks(ticks_of([full()]), client=redis)
            await eventually(lambda: taken)
            await server.__aexit__()
            await eventually(lambda: not ingestion.connections[0].is_up)
            await server.__aenter__()
            await server.start_bridge()
            await eventually(lambda: ingestion.connections[0].is_up)
            publish_ticks(ticks_of([full(last_price=300_000)]), client=redis)
            await eventually(lambda: taken[-1].price_text == "3000.00")


async def test_a_refused_token_is_told(
    live: LiveServer, redis: Redis, database: In, required: None, tmp_path: Path
) -> None:
    """Our own server refuses as Kite does: the state says so, and what to do."""
    await database(make_master)
    async with source_of(live, "eyJhbGciOiJub25lIn0.e30.", tmp_path, "ltp") as (ingestion, _):
        await eventually(lambda: "(403): write today's" in ingestion.connections[0].state)
