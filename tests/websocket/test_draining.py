"""SIGTERM lets a web process go of its clients, on both servers: real processes, real sockets."""

import asyncio
import http.client
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from redis import Redis
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from quotes.serve.listening import Listener, open_listeners
from quotes.serve.processes import SERVERS
from quotes.websocket.transports.draining import Drain
from tests.live import Client, LiveServer
from tests.programs import ROOT
from tests.ticks import MOMENT, message, publish
from tests.waiting import DEADLINE_S, eventually

pytestmark = pytest.mark.timeout(90)

on_both_servers = pytest.mark.parametrize("server", SERVERS)


class Web:
    """One web process, on a port of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"ws://127.0.0.1:{port}/live-price"

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    async def ended(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await self.process.wait()

    def accepts(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@asynccontextmanager
async def web_process(server: str, drain_s: float) -> AsyncIterator[Web]:
    """Start a web process as `serve` does, which keeps no descriptor of its port."""
    (listener,) = open_listeners("127.0.0.1", 0)
    port = listener[0].getsockname()[1]
    process = await _start(server, listener, drain_s)
    listener[0].close()
    try:
        yield Web(process, port)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _start(server: str, listener: Listener, drain_s: float) -> asyncio.subprocess.Process:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "QUOTES_DRAIN_S": str(drain_s),
    }
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *SERVERS[server](listener),
        pass_fds=[one.fileno() for one in listener],
        cwd=ROOT,
        env=environment,
    )


async def word(connection: ClientConnection, kind: str) -> dict[str, Any]:
    """Return the next frame of a type."""
    client = Client(connection)
    while True:
        frame = await client.receive()
        if frame.get("type") == kind:
            return frame


async def closed(connection: ClientConnection) -> tuple[list[Any], int]:
    """Return the frames until the end, and the close code."""
    frames = []
    try:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                frames.append(json.loads(await connection.recv()))
    except ConnectionClosed as end:
        assert end.rcvd is not None, "closed without a frame"
        return frames, end.rcvd.code


@on_both_servers
async def test_clients_are_let_go_one_after_the_other(
    server: str, live: LiveServer, redis: Redis
) -> None:
    """Each is told when to come back, gets prices until its time, what is due, and 1012.

    Meanwhile nobody is accepted, and /readyz of an open connection says that the process stops. A
    client that takes nothing, not even its close frame, is cut off at the end.
    """
    async with web_process(server, 1.5) as web, AsyncExitStack() as stack:
        connections = [
            await stack.enter_async_context(connect(web.url, open_timeout=30)) for _ in range(9)
        ]
        gathering = connections[8]
        await Client(gathering).ask(action="configure", interval_ms=60_000)
        for connection in connections:
            await Client(connection).subscribe("S")
        stuck = await stack.enter_async_context(connect(web.url, close_timeout=0.1))
        await Client(stuck).subscribe("LARGE")
        stuck.transport.pause_reading()
        for n in range(300):
            publish(redis, "LARGE", message("LARGE", str(n), MOMENT + n, pad="x" * 4000))
        probe = http.client.HTTPConnection("127.0.0.1", web.port, timeout=DEADLINE_S)
        assert await asyncio.to_thread(answer, probe, "/healthz") == (200, "ok")
        web.stop()
        announced = [(await word(one, "reconnect"))["after_ms"] for one in connections]
        assert all(0 <= after_ms <= 1500 for after_ms in announced)
        assert max(announced) - min(announced) > 500, announced
        assert len(set(announced)) == len(announced)
        assert await asyncio.to_thread(answer, probe, "/readyz") == (503, "draining")
        probe.close()
        assert not web.accepts()
        publish(redis, "S", message("S", "7", MOMENT))
        ends = await asyncio.gather(*map(closed, connections))
        assert [code for _, code in ends] == [1012] * 9
        late = max(range(9), key=lambda at: announced[at])
        # An interval of a minute ends with the connection.
        for frames, _ in (ends[late], ends[8]):
            assert {"symbol": "S", "price": 7, "timestamp": MOMENT} in frames
        await web.ended()
        stuck.transport.abort()
        await stuck.wait_closed()


def answer(connection: http.client.HTTPConnection, path: str) -> tuple[int, str]:
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, json.loads(response.read())["status"]


@on_both_servers
async def test_a_second_signal_ends_at_once(server: str, live: LiveServer) -> None:
    """The process waits no longer for a client that has an hour; the client gets its code."""
    async with web_process(server, 3600) as web, connect(web.url, open_timeout=30) as connection:
        web.stop()
        await word(connection, "reconnect")
        web.stop(signal.SIGTERM if server == "uvicorn" else signal.SIGINT)
        _, code = await closed(connection)
        assert code == 1012
        await web.ended()


@on_both_servers
async def test_without_clients_it_ends_at_once(server: str, live: LiveServer) -> None:
    """An idle HTTP connection, and a client that has left, hold nothing up."""
    async with web_process(server, 3600) as web:
        async with connect(web.url, open_timeout=30):
            pass
        probe = http.client.HTTPConnection("127.0.0.1", web.port, timeout=DEADLINE_S)
        await asyncio.to_thread(answer, probe, "/healthz")
        web.stop(signal.SIGINT)
        await web.ended()
        probe.close()


class FakeClient:
    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.calls: list[str] = []

    def announce_restart(self, after_ms: int) -> None:
        self.calls.append("announced")
        if self.fails:
            raise RuntimeError("a bug")

    def close_for_restart(self) -> None:
        self.calls.append("closed")

    def fail(self, error: Exception) -> None:
        self.calls.append("failed")
        raise error


async def test_a_client_that_fails_holds_up_no_other(settings: Any) -> None:
    """Nor does one that comes while the others leave: it is told as well."""
    settings.QUOTES_DRAIN_S = 0.3
    drain = Drain()
    clients = [FakeClient(), FakeClient(fails=True), FakeClient()]
    late = FakeClient()
    drain.clients = lambda: clients
    over: list[str] = []
    drain.when_over(lambda: over.append("over"))
    drain.cut_off_late(lambda: over.append("cut off"))
    drain.begin()
    drain.begin()
    await eventually(lambda: clients[0].calls)
    clients.append(late)
    await drain.finished()
    assert clients[0].calls[0] == "announced" and clients[0].calls[-1] == "closed"
    assert late.calls[0] == "announced" and late.calls[-1] == "closed"
    assert clients[1].calls[:2] == ["announced", "failed"]
    await eventually(lambda: over == ["over", "cut off"])
