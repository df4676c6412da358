"""Clients that take their time over a request or an answer are cut off, by both servers.

The servers are processes with short deadlines, and an application that does nothing else.
"""

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from quotes.serve.processes import DAPHNE
from quotes.serve.uvicorn_process import UVICORN_HTTP, UVICORN_WEBSOCKETS
from tests.live import LiveServer
from tests.ports import free_port
from tests.waiting import DEADLINE_S, wait_until

ROOT = Path(__file__).parent.parent.parent
APPLICATION = "tests.websocket.plain_application:application"
DEADLINES = {
    "DJANGO_SETTINGS_MODULE": "config.settings",
    "QUOTES_HANDSHAKE_TIMEOUT_S": "0.3",
    "QUOTES_BODY_TIMEOUT_S": "0.3",
    "QUOTES_WRITE_TIMEOUT_S": "0.3",
    "QUOTES_MIN_BYTES_PER_S": "1000000",
}
COMMANDS: dict[str, Callable[[int], list[str]]] = {
    "uvicorn": lambda port: [
        *("-m", "uvicorn", APPLICATION, "--port", str(port), "--lifespan", "off"),
        *("--http", UVICORN_HTTP, "--ws", UVICORN_WEBSOCKETS, "--log-level", "warning"),
    ],
    "daphne": lambda port: ["-m", DAPHNE, "-p", str(port), "-v", "0", APPLICATION],
}
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
ENDLESS = REQUEST.replace(b"/ ", b"/endless ", 1)
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
UPGRADE = (
    b"GET /live-price HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
)


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module", params=list(COMMANDS))
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    number = free_port()
    command = [sys.executable, *COMMANDS[request.param](number)]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | DEADLINES) as process:
        wait_until(lambda: accepts(number) or process.poll() is not None, timeout_s=30)
        yield number
        process.terminate()


@contextlib.asynccontextmanager
async def opened(
    port: int,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield reader, writer
    finally:
        writer.transport.abort()


async def drip(port: int, begun: bytes, piece: bytes) -> bytes:
    """Send the beginning, then a piece again and again; return all that comes until the end."""
    async with opened(port) as (reader, writer):
        writer.write(begun)
        found = b""
        while True:
            try:
                async with asyncio.timeout(0.05):
                    data = await reader.read(65_536)
            except TimeoutError:
                writer.write(piece)
                continue
            except ConnectionError:
                return found
            if not data:
                return found
            found += data


def assert_told(answer: bytes, piece: bytes, *, told: bool = True) -> None:
    """Assert that an answer ends with 408; what is sent behind the end can cost a client that."""
    assert answer.count(b"HTTP/1.1 408") in ({int(told)} if not piece else {0, 1}), piece


SLOW_HEADERS = [
    (b"", b""),
    (b"", b"G"),
    (REQUEST[:-2], b""),
    (REQUEST[:-2], b"X: y\r\n"),
    (REQUEST, b"GET / HT"),
    (UPGRADE, b""),
    (UPGRADE, b"X: y\r\n"),
]


async def test_headers_that_take_too_long_end_the_connection(port: int) -> None:
    """The time is one for all of them, however many bytes come; a client that sent some is told."""
    answers = await asyncio.gather(*(drip(port, *one) for one in SLOW_HEADERS))
    for (begun, piece), answer in zip(SLOW_HEADERS, answers, strict=True):
        assert answer.count(b"HTTP/1.1 200") == begun.count(REQUEST), (begun, piece)
        assert_told(answer, piece, told=bool(begun or piece))


SLOW_BODIES = [
    (POST % 1000, b""),
    (POST % 1000, b"x"),
    (POST % 2_000_000, b"x" * 500),
    (CHUNKED, b""),
    (CHUNKED, b"1\r\nx\r\n"),
    (CHUNKED + b"1;", b"x"),
    (REQUEST + POST % 1000, b"x"),
]


async def test_body_that_takes_too_long_is_answered_with_408(port: int) -> None:
    """Whatever its length, and if a byte comes now and then."""
    answers = await asyncio.gather(*(drip(port, *one) for one in SLOW_BODIES))
    for (begun, piece), answer in zip(SLOW_BODIES, answers, strict=True):
        assert answer.count(b"HTTP/1.1 200") == begun.count(REQUEST), (begun, piece)
        assert_told(answer, piece)


async def test_forty_slow_bodies_hold_up_nobody(port: int) -> None:
    """All are gone in the end, and others are answered meanwhile."""
    drips = [asyncio.create_task(drip(port, POST % 1000, b"x")) for _ in range(40)]
    async with opened(port) as (reader, writer):
        writer.write(POST % 4 + b"abcd")
        assert b"200 OK" in await reader.readuntil(b"\r\n")
    for answer in await asyncio.gather(*drips):
        assert_told(answer, b"x")


async def test_long_body_may_take_as_long_as_its_bytes_allow(port: int) -> None:
    """One that comes at the least rate is taken, though it takes longer than the time-out."""
    size, pieces = 1_500_000, 10
    async with opened(port) as (reader, writer):
        writer.write(POST.replace(b"POST / ", b"POST /admin/ ") % size)
        for _ in range(pieces):
            writer.write(b"x" * (size // pieces))
            await writer.drain()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.06):
                    await reader.read(1)
        assert b"1500000 bytes" in await reader.readuntil(b"bytes")


@pytest.mark.parametrize("begun", [POST % 10_000_000_000, CHUNKED])
async def test_body_without_an_end_is_refused(port: int, begun: bytes) -> None:
    """Before it is stored, by its header or by what came of it."""
    async with opened(port) as (reader, writer):
        writer.write(begun)
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                writer.write(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
                await writer.drain()
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = await reader.read(1000)
    assert not answer or answer.startswith(b"HTTP/1.1 413")


async def test_connection_stays_open_between_requests(port: int) -> None:
    """The deadlines are those of a request, not of the connection."""
    async with opened(port) as (reader, writer):
        writer.write(POST % 3 + b"abc")
        assert await reader.readuntil(b"3 bytes")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                while await reader.read(100):
                    pass
        writer.write(POST % 3 + b"abc")
        assert await reader.readuntil(b"3 bytes")


async def test_websocket_stays_open(port: int) -> None:
    """Its handshake has the deadline, the connection has none."""
    async with connect(f"ws://127.0.0.1:{port}/live-price") as connection:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await connection.recv()
        await (await connection.ping())


async def running(port: int) -> list[int]:
    """Return what the application says of its endless answers."""
    while True:
        async with opened(port) as (reader, writer):
            writer.write(b"GET /running HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            _, _, body = (await reader.read()).partition(b"\r\n\r\n")
        # On a busy machine the deadlines of requests may end this one too.
        if re.fullmatch(rb"\d+ \d+", body):
            return [int(one) for one in body.split()]


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"])
async def test_client_that_does_not_read_an_answer_is_cut_off(port: int, close: bytes) -> None:
    """Its answer is not made ahead of it, and ends with the connection."""
    _, before = await running(port)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.sendall(ENDLESS[:-2] + close + b"\r\n")
        async with asyncio.timeout(DEADLINE_S):
            while (await running(port))[1] == before:
                pass
            while (state := await running(port))[0]:
                pass
    assert state[1] - before < 200  # pieces of 64 KiB, most of them in the system's buffers


async def test_client_that_reads_an_answer_gets_more_than_the_deadline_lasts(port: int) -> None:
    """Only one that takes nothing is cut off."""
    taken = 0
    async with opened(port) as (reader, writer):
        writer.write(ENDLESS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while data := await reader.read(65_536):
                    taken += len(data)
        assert await reader.read(1)
    assert taken > 1_000_000


@pytest.mark.parametrize("live", ["wire", "asgi"], indirect=True)
async def test_slow_publisher_is_told(live: LiveServer, settings: Any) -> None:
    """The application itself has the deadline of bodies, whatever protocol uvicorn speaks."""
    settings.QUOTES_BODY_TIMEOUT_S = 0.3
    begun = (POST % 1000).replace(b"/ ", b"/api/prices/ ", 1)
    answer = await drip(live.port, begun, b"")
    assert answer.startswith(b"HTTP/1.1 408") and b'"code":408' in answer
