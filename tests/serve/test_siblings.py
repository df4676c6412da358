"""`serve --workers 2`: a request of a Socket.IO client reaches the process of its connection."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

from tests.live import LiveServer
from tests.other_clients import NODE_SOCKETIO, node_client
from tests.ports import free_port
from tests.programs import Program, descendants
from tests.serve.conftest import START_S
from tests.socketio.test_clients import OtherClient, other_client
from tests.ticks import message, publish
from tests.valkey import ValkeyProcess

SCRIPT = Path(__file__).parent.parent / "socketio" / "many_clients.mjs"
CLIENTS = 40


class Prices:
    """Publishes prices, each one more than the last."""

    def __init__(self, redis: Redis, symbol: str) -> None:
        self.redis = redis
        self.symbol = symbol
        self.last = 0

    def next(self) -> int:
        self.last += 1
        publish(self.redis, self.symbol, message(self.symbol, str(self.last), 10**12 + self.last))
        return self.last

    async def flow(self) -> None:
        while True:
            self.next()
            await asyncio.sleep(0.02)


async def check(client: OtherClient, prices: Prices, *, is_back: bool = False) -> set[str]:
    """See that each client has every price since its first, once and in order.

    Returns:
        The processes that the connections belong to.
    """
    flow = asyncio.create_task(prices.flow())
    name, ids = await client.next(timeout_s=START_S)
    while is_back and name == "disconnect":
        name, ids = await client.next(timeout_s=START_S)
    assert name == "ready"
    flow.cancel()
    assert client.process.stdin is not None
    client.process.stdin.write(f"{prices.next()}\n".encode())
    lists = await client.get("prices")
    assert len(lists) == CLIENTS
    for one in lists:
        assert one == list(range(one[0], prices.last + 1))
    return {sid[:8] for sid in ids}


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("server", ["uvicorn", "daphne"])
async def test_socketio_clients_reach_their_process(
    serve: Callable[..., Program],
    redis_server: ValkeyProcess,
    live: LiveServer,
    redis: Redis,
    server: str,
) -> None:
    """Polls and upgrades may come to either process; nothing is lost. One may die meanwhile."""
    folder = node_client(NODE_SOCKETIO)
    port = free_port()
    options = ("--server", server, "--workers", "2", "--port", str(port))
    with serve(*options, REDIS_URL=redis_server.url) as program:
        await asyncio.to_thread(program.wait_for, "stop       Ctrl-C", timeout_s=START_S)
        prices = Prices(redis, f"S{server}")
        arguments = (str(port), str(CLIENTS), prices.symbol)
        async with other_client("node", SCRIPT, *arguments, folder=folder) as client:
            before = await check(client, prices)
            assert len(before) == 2
            web = [
                pid
                for pid, one in descendants(program.process.pid).items()
                if "config.asgi" in one.arguments or "uvicorn_process" in one.arguments
            ]
            os.kill(web[0], signal.SIGKILL)
            assert await client.get("disconnect") == "transport close"
            after = await check(client, prices, is_back=True)
            assert len(before & after) == 1 and len(after) in (1, 2)
        program.end()
