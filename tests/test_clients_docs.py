"""The examples of docs/clients.md work as they stand, with the clients from their registries."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from instruments.index import index
from instruments.models import Instrument
from quotes.runtime.clock import now_ms
from tests import other_clients
from tests.access.people import api_key, asha
from tests.conftest import In
from tests.doc_examples import START_S, examples_of, running, wait_for
from tests.instruments.factories import nifty50_index, reliance
from tests.live import LiveServer
from tests.programs import ROOT
from tests.ticks import message, publish

EXAMPLES = examples_of("docs/clients.md")


def python(*requirements: str) -> Callable[[str], tuple[list[str], str]]:
    def command(text: str) -> tuple[list[str], str]:
        program = other_clients.python_client(*requirements) if requirements else sys.executable
        return [str(program), "-c", text], str(ROOT)

    return command


def node(package: str) -> Callable[[str], tuple[list[str], str]]:
    def command(text: str) -> tuple[list[str], str]:
        folder = other_clients.node_client(package)
        return ["node", "--input-type=module", "--eval", text], str(folder)

    return command


def shell(text: str) -> tuple[list[str], str]:
    return ["sh", "-c", text], str(ROOT)


LIVE: dict[str, Any] = {
    "websockets": python(),
    "socket.io-client": node(other_clients.NODE_SOCKETIO),
    "python-socketio": python(other_clients.PYTHON_SOCKETIO),
    "kiteconnect": python(other_clients.PYTHON_KITE),
    "kiteconnect-js": node(other_clients.NODE_KITE),
    "openalgo": python(other_clients.PYTHON_OPENALGO),
}
ONCE: dict[str, Any] = {
    "curl": shell,
    "kiteconnect-http": python(other_clients.PYTHON_KITE),
    "openalgo-http": python(other_clients.PYTHON_OPENALGO),
    "udf": shell,
}

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "history"]),
    pytest.mark.timeout(240),
]


def test_every_example_is_run() -> None:
    """No example without a runner, and no runner without an example."""
    assert set(EXAMPLES) == {*LIVE, *ONCE}


@pytest.fixture
async def key(live: LiveServer, database: In, required: None, redis: Redis) -> AsyncIterator[str]:
    """A key of a user who may see shares and indices, and a share with a price."""

    def prepare() -> str:
        Instrument.objects.bulk_create([reliance(), nifty50_index()])
        index.refresh()
        return api_key(asha("NSE_EQ", "NSE_INDEX"), scope="read")

    text = await database(prepare)
    show(redis, "2950.05")
    yield text
    await database(lambda: (Instrument.objects.all().delete(), index.refresh()))


def show(redis: Redis, price: str) -> None:
    publish(redis, "RELIANCE", message("RELIANCE", price, now_ms()))


@contextlib.asynccontextmanager
async def run(name: str, command: Any, live: LiveServer, key: str) -> AsyncIterator[Any]:
    """Run an example against the server, with the key in it."""
    arguments, folder = await asyncio.to_thread(command, EXAMPLES[name].at(live.port, key))
    async with running(arguments, Path(folder)) as process:
        yield process


@pytest.mark.parametrize("name", LIVE)
async def test_prices_as_they_change(name: str, live: LiveServer, key: str, redis: Redis) -> None:
    """The latest price comes first, then the next one."""
    async with run(name, LIVE[name], live, key) as process:
        await wait_for(process, "2950.05")
        show(redis, "2951.15")
        await wait_for(process, "2951.15")


@pytest.mark.parametrize("name", ONCE)
async def test_price_now(name: str, live: LiveServer, key: str) -> None:
    """The program prints the latest price and ends."""
    async with run(name, ONCE[name], live, key) as process:
        await wait_for(process, "2950.05")
        async with asyncio.timeout(START_S):
            assert await process.wait() == 0
