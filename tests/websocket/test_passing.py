"""A WebSocket is passed from one process to another as its socket, before it is answered."""

import array
import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from websockets.asyncio.client import connect

from quotes.websocket.transports import passing
from quotes.websocket.transports.passing import ConnectionListener, pass_connection
from tests.live import Client, LiveServer
from tests.ports import free_port
from tests.socketio.wire import QUERY
from tests.ticks import message, publish
from tests.waiting import DEADLINE_S, eventually


async def test_server_serves_a_connection_that_came_to_another_process(
    live: LiveServer, redis: Redis, tmp_path: Path
) -> None:
    """From its request on, with prepared frames; the process that it came to lets go of it."""
    async with live.client() as client:
        await client.subscribe("A")
    assert passing.taker is not None
    path = str(tmp_path / "here")
    listener = ConnectionListener(path, passing.taker)
    loop = asyncio.get_running_loop()
    port = free_port()

    async def pass_on() -> None:
        with socket.create_server(("127.0.0.1", port)) as other:
            other.setblocking(False)
            ready.set()
            connection, _ = await loop.sock_accept(other)
            with connection:
                request = b""
                while not request.endswith(b"\r\n\r\n"):
                    request += await loop.sock_recv(connection, 4096)
                assert pass_connection(path, request, connection.fileno())

    ready = asyncio.Event()
    passed = asyncio.create_task(pass_on())
    await ready.wait()
    async with connect(f"ws://127.0.0.1:{port}/live-price") as connection:
        await passed
        client = Client(connection)
        await client.subscribe("AAPL")
        publish(redis, "AAPL", message("AAPL", "7"))
        assert (await client.price())["price"] == 7
    listener.close()


async def test_request_of_another_process_is_passed_with_its_socket(
    live: LiveServer, redis: Redis, settings: Any, tmp_path: Path
) -> None:
    """The client notices nothing: its handshake is answered by the other one."""
    settings.QUOTES_SIBLINGS_FOLDER = str(tmp_path)
    found: list[tuple[bytes, socket.socket]] = []
    listener = ConnectionListener(
        str(tmp_path / "00000000.s"),
        lambda request, connection: found.append((request, connection)),
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    path = f"{QUERY}websocket&sid=00000000abc"
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    await eventually(lambda: found)
    ((request, connection),) = found
    assert request.startswith(f"GET {path} HTTP/1.1\r\n".encode()) and request.endswith(b"\r\n\r\n")
    await eventually(lambda: not live.server.server_state.connections)
    with connection:
        connection.sendall(b"answered elsewhere\n")
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.readline() == b"answered elsewhere\n"
    writer.close()
    listener.close()


@pytest.mark.parametrize("request_bytes", [b"", b"x" * 70_000])
async def test_what_cannot_be_passed_is_not(tmp_path: Path, request_bytes: bytes) -> None:
    """Nobody listens, or the request is too long."""
    path = str(tmp_path / "here")
    here, there = socket.socketpair()
    with here, there:
        assert not pass_connection(path, request_bytes, here.fileno())
        taken: list[bytes] = []

        def take(request: bytes, connection: socket.socket) -> None:
            taken.append(request)
            connection.close()

        listener = ConnectionListener(path, take)
        if request_bytes:
            assert not pass_connection(path, request_bytes, here.fileno())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"a message without a connection", path)
            rights = array.array("i", [here.fileno(), here.fileno()])
            sender.sendmsg([b"two"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], 0, path)
        assert pass_connection(path, b"one", here.fileno())
        await eventually(lambda: taken)
        here.close()
        assert there.recv(1) == b""  # nothing holds the other end any more
        assert taken == [b"one"]
        listener.close()
