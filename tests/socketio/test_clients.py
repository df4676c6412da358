"""The clients of npm and PyPI, unmodified, on uvicorn and on Daphne."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.access.people import access_token, asha, expired_token
from tests.conftest import In
from tests.live import LiveServer
from tests.other_clients import NODE_SOCKETIO, PYTHON_SOCKETIO, node_client, python_client
from tests.ports import free_port
from tests.programs import ROOT
from tests.ticks import publish
from tests.waiting import DEADLINE_S, wait_until
from tests.websocket.test_daphne import accepts

HERE = Path(__file__).parent
# A process that outlives a test knows the prices of the symbols of its tests.
SYMBOLS = (f"AAPL{number}" for number in count())


def stored(symbol: str, price: float = 189.45) -> dict[str, Any]:
    """Return the object that a publisher stores."""
    return {"symbol": symbol, "price": price, "timestamp": 1712331900000}


@pytest.fixture(scope="module")
def daphne_port() -> Iterator[int]:
    """The port of a Daphne process."""
    port = free_port()
    command = [sys.executable, "-m", "quotes.websocket.transports.daphne", "-b", "127.0.0.1"]
    command += ["-p", str(port), "-v", "0", "config.asgi:application"]
    with subprocess.Popen(command, cwd=ROOT) as process:
        wait_until(lambda: accepts(port) or process.poll() is not None, timeout_s=30)
        yield port
        process.terminate()


@pytest.fixture(params=["uvicorn", "daphne"])
def port(request: pytest.FixtureRequest, live: LiveServer) -> int:
    """The port of a server of either kind; prices come by the bridge of `live`."""
    if request.param == "uvicorn":
        return live.port
    port: int = request.getfixturevalue("daphne_port")
    return port


class OtherClient:
    """A program that prints what its client gets, an event a line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def next(self, *, timeout_s: float = DEADLINE_S) -> tuple[str, Any]:
        assert self.process.stdout is not None
        async with asyncio.timeout(timeout_s):
            line = await self.process.stdout.readline()
        name, value = json.loads(line)
        return name, value

    async def get(self, *names: str) -> Any:
        """Return what comes with the next event of one of these names."""
        while True:
            name, value = await self.next()
            if name in names and value not in ("heartbeat", "market_status"):  # of notices
                return value

    def leave(self) -> None:
        """Let the client disconnect."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")


@contextlib.asynccontextmanager
async def other_client(*command: str | Path, folder: Path = HERE) -> AsyncIterator[OtherClient]:
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,  # a line may list what many clients got
    )
    try:
        yield OtherClient(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def npm_client(port: int, *arguments: str) -> AsyncIterator[OtherClient]:
    folder = node_client(NODE_SOCKETIO)
    script = HERE / "first_version.mjs"
    async with other_client("node", script, str(port), *arguments, folder=folder) as client:
        yield client


async def check_first_version(
    client: OtherClient, redis: Redis, symbol: str, transport: str
) -> None:
    """The stored object comes first, then one for each message."""
    assert await client.get("open", "connect") == transport
    prices = [await client.get("stockUpdate")]
    publish(redis, symbol, json.dumps(stored(symbol, 190.5)))
    prices.append(await client.get("stockUpdate"))
    assert prices == [stored(symbol), stored(symbol, 190.5)]


@pytest.mark.parametrize("transports", ["polling", "websocket", ""])
async def test_npm_client_of_the_first_version(port: int, redis: Redis, transports: str) -> None:
    """Over each transport, and with the default: polls that become a WebSocket."""
    symbol = next(SYMBOLS)
    redis.set(f"stock:{symbol}", json.dumps(stored(symbol)))
    async with npm_client(port, transports, "subscribe", symbol) as client:
        await check_first_version(client, redis, symbol, transports or "polling")
        client.leave()
        assert await client.get("disconnect") == "io client disconnect"


async def test_npm_client_upgrades_and_gets_acknowledgements(port: int, redis: Redis) -> None:
    """A callback gets the answer of /live-price, whichever transport it comes over."""
    async with npm_client(port, "", "ack") as client:
        found: dict[str, Any] = {}
        while not {"ack", "upgrade"} <= found.keys():
            name, value = await client.next()
            found[name] = value
    assert found["open"] == "polling"
    assert found["upgrade"] == "websocket"
    assert found["ack"]["type"] == "subscribed" and found["ack"]["symbols"] == ["AAPL", "MSFT"]


async def test_npm_client_may_emit_much_at_once(port: int, redis: Redis) -> None:
    """One body of a poll may have any number of packets."""
    async with npm_client(port, "polling", "many") as client:
        assert [await client.get("notice") for _ in range(40)] == ["subscribed"] * 40


@pytest.mark.parametrize("transports", ["polling", "websocket"])
async def test_npm_client_with_a_bad_token(
    database: In, port: int, redis: Redis, transports: str
) -> None:
    """In the handshake it is a `connect_error`; `authenticate` disconnects. Neither comes back."""
    bad = await database(lambda: expired_token(asha("*")))
    async with npm_client(port, transports, "auth", bad) as client:
        _, data = await client.get("connect_error", "disconnect")
        assert data == {"code": 402}
    async with npm_client(port, transports, "authenticate", bad) as client:
        assert await client.get("disconnect") == "io server disconnect"


async def test_npm_client_with_a_good_token(database: In, live: LiveServer, redis: Redis) -> None:
    """In the handshake, or as an event: it is acknowledged, and the client stays."""
    good = await database(lambda: access_token(asha("*")))
    for task in ("auth", "authenticate"):
        async with npm_client(live.port, "", task, good) as client:
            assert await client.get("notice", "disconnect") == "authenticated"


PYTHON_SCRIPT = """
import asyncio, json, sys, socketio

async def main(port, transports, symbol, token=""):
    client = socketio.AsyncClient(reconnection=False)
    def show(name):
        async def shown(*values):
            print(json.dumps([name, values[0] if values else None]), flush=True)
        client.on(name, shown)
    for name in ("stockUpdate", "connect_error", "disconnect", "notice"):
        show(name)
    options = {"transports": [transports]} if transports else {}
    try:
        await client.connect(f"http://127.0.0.1:{port}", auth={"token": token} if token else None,
                             **options)
    except socketio.exceptions.ConnectionError:
        return
    print(json.dumps(["connect", transports or "polling"]), flush=True)
    await client.emit("subscribe", symbol)
    print(json.dumps(["ack", await client.call("ping")]), flush=True)
    await client.wait()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("transports", ["polling", "websocket", ""])
async def test_python_client_of_the_first_version(port: int, redis: Redis, transports: str) -> None:
    """That of python-socketio, over each transport and with its default."""
    symbol = next(SYMBOLS)
    redis.set(f"stock:{symbol}", json.dumps(stored(symbol)))
    python = python_client(PYTHON_SOCKETIO)
    async with other_client(python, "-c", PYTHON_SCRIPT, str(port), transports, symbol) as client:
        await check_first_version(client, redis, symbol, transports or "polling")
    async with other_client(
        python, "-c", PYTHON_SCRIPT, str(port), transports, symbol, "x"
    ) as client:
        assert (await client.get("connect_error"))["data"] == {"code": 402}
