"""Handshakes at other paths, and text that is no text."""

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.live import FAST, LiveServer


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
