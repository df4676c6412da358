"""On Daphne too, a client that fails is ended by itself; all others get what is due to them.

The server is a process of `faulty_application.py`, where a client can choose what fails.
"""

import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis import Redis
from websockets.asyncio.client import connect

from quotes.serve.processes import DAPHNE
from tests.live import Client, LiveServer
from tests.ports import free_port
from tests.ticks import message, publish
from tests.valkey import ValkeyProcess
from tests.waiting import wait_until
from tests.websocket.test_daphne import ROOT, accepts
from tests.websocket.test_isolation import (
    CONFIGURATIONS,
    MODES,
    ODD_FIELDS,
    Opened,
    close_code,
    end_a_client_of_three,
    send_longest_tick,
    send_odd_values,
    send_too_deep,
)

APPLICATION = "tests.websocket.faulty_application:application"


@pytest.fixture(scope="module")
def opened(redis_server: ValkeyProcess) -> Iterator[Opened]:
    """Opens clients of the process."""
    redis_server.start()
    port = free_port()
    command = [sys.executable, "-m", DAPHNE, "-b", "127.0.0.1", "-p", str(port), "-v", "0"]

    @contextlib.asynccontextmanager
    async def client(**options: Any) -> AsyncIterator[Client]:
        url = f"ws://127.0.0.1:{port}/live-price"
        async with connect(url, max_size=None, **options) as connection:
            yield Client(connection)

    with subprocess.Popen([*command, APPLICATION], cwd=ROOT) as process:
        wait_until(lambda: accepts(port) or process.poll() is not None, timeout_s=30)
        yield client
        process.terminate()


@pytest.fixture
async def bridged(opened: Opened, live: LiveServer) -> LiveServer:
    """A bridge of which the process knows."""
    async with opened() as client:
        if (await client.subscribe("Z"))["feed"] == "down":
            await client.heartbeat("live", "quiet")
    return live


@pytest.mark.parametrize("wish", CONFIGURATIONS)
async def test_client_whose_prices_cannot_be_framed_is_ended_alone(
    opened: Opened, bridged: LiveServer, redis: Redis, wish: dict[str, Any]
) -> None:
    """It is closed with 4000, and those before and behind it have each price."""
    await end_a_client_of_three(opened, redis, wish)


@pytest.mark.parametrize(
    "call", ["check_deadlines", "market_changed", "feed_changed", "follow_master"]
)
async def test_client_whose_session_fails_is_ended_alone(
    opened: Opened, bridged: LiveServer, redis: Redis, call: str
) -> None:
    """The feed goes on: the others learn that it went down, and have their prices."""
    async with opened() as before, opened() as failing, opened() as behind:
        for client in (before, failing, behind):
            await client.subscribe("A")
        await failing.send(action="ping", id=f"fail {call}")
        if call == "feed_changed":
            await failing.receive()
            await bridged.stop_bridges()
        assert await close_code(failing) == 4000
        await bridged.stop_bridges()
        for client in (before, behind):
            await client.heartbeat("down")
        await bridged.start_bridge()
        publish(redis, "A", message("A", "1"))
        for client in (before, behind):
            assert (await client.price())["price"] == 1


@pytest.mark.parametrize("field", ODD_FIELDS)
async def test_tick_with_odd_values_reaches_every_encoding(
    opened: Opened, bridged: LiveServer, redis: Redis, field: str
) -> None:
    """Numbers that MessagePack cannot carry are text there, and its clients stay."""
    await send_odd_values(opened, redis, field)


async def test_tick_nested_too_deep_is_refused_and_the_next_one_is_shown(
    opened: Opened, bridged: LiveServer, redis: Redis
) -> None:
    """The bridge refuses what some encoder cannot carry."""
    await send_too_deep(bridged, opened, redis)


@pytest.mark.parametrize("mode", MODES)
async def test_longest_tick_comes_in_every_mode(
    opened: Opened, bridged: LiveServer, redis: Redis, mode: str
) -> None:
    """A tick of 16 KiB, to which a segment is added, is not lost in any mode."""
    await send_longest_tick(opened, redis, mode)
