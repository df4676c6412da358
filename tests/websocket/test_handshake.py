"""A connection that sends no request in time is closed; one that does is not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from quotes.websocket.transports.uvicorn import PriceHTTPProtocol
from tests.live import FAST, LiveServer
from tests.waiting import DEADLINE_S

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer HTTP, and take any WebSocket."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
    else:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


@pytest.fixture
async def port(settings: Any) -> AsyncIterator[int]:
    settings.QUOTES_HANDSHAKE_TIMEOUT_S = 0.3
    config = uvicorn.Config(
        application, ws="websockets-sansio", lifespan="off", timeout_keep_alive=1
    )
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: PriceHTTPProtocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.mark.parametrize("sent", [b"", b"G", REQUEST[:-2], REQUEST + b"GET / HT"])
async def test_connection_without_a_request_is_closed(port: int, sent: bytes) -> None:
    """Nothing, a byte, headers without an end, and a further request that does not go on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    async with asyncio.timeout(DEADLINE_S):
        answer = await reader.read()
    assert (b"204" in answer) == sent.startswith(REQUEST)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_websocket_stays_open(port: int) -> None:
    """The time is that of the handshake, not of the connection."""
    async with connect(f"ws://127.0.0.1:{port}/") as connection:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.6):
                await connection.recv()
        await connection.ping()


@pytest.mark.parametrize("live", ["wire", "asgi"], indirect=True)
@pytest.mark.parametrize(
    "path",
    ["/live-price/", "/", "/live-prices", "/live-price/x", "/%FF%00", "/live-price%0A", "/ws"],
)
async def test_other_paths_are_refused_with_404(
    live: LiveServer, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The handshake is answered, with the right address, and nothing is logged as a failure."""
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://127.0.0.1:{live.port}{path}"):
            pass
    assert refused.value.response.status_code == 404
    assert b"/live-price" in (refused.value.response.body or b"")
    failures = [one for one in caplog.records if one.levelname == "ERROR"]
    assert not [one for one in failures if live.ws == FAST or one.exc_info]


BAD_TEXT = [[b"\xff\xfe"], [b"ok\xc3"], [b"a", b"\xed\xa0", b"\x80"]]


@pytest.mark.parametrize("parts", BAD_TEXT)
async def test_text_that_is_not_utf8_closes_with_1007(
    live: LiveServer, parts: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """In one frame or several; a client's mistake is no traceback in the log."""
    async with live.client() as client:
        for number, part in enumerate(parts):
            opcode = 0x00 if number else 0x01
            final = 0x80 if number == len(parts) - 1 else 0
            head = bytes([final | opcode, 0x80 | len(part), 0, 0, 0, 0])
            client.connection.transport.write(head + part)
        with pytest.raises(ConnectionClosed) as closed:
            await client.receive()
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1007
    assert not [one for one in caplog.records if one.exc_info]
