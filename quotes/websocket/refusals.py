"""How the handshake of a WebSocket is refused: a status of HTTP, and the reason."""

from typing import Any

import msgspec

from quotes.errors import quoted
from quotes.websocket.counters import counters


class HandshakeRefused(Exception):
    """A handshake is refused; its text is the reason.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


async def send_refusal(scope: Any, send: Any, refused: HandshakeRefused) -> None:
    """Answer with a status and JSON as REST does; a server that lacks the extension answers 403."""
    counters.refused[str(refused.status)] += 1
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close"})
        return
    body = msgspec.json.encode({"code": refused.status, "message": str(refused)})
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if refused.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="live-price"'))
    elif refused.status in (429, 503):
        headers.append((b"retry-after", b"5"))
    await send(
        {"type": "websocket.http.response.start", "status": refused.status, "headers": headers}
    )
    await send({"type": "websocket.http.response.body", "body": body})


async def refuse_path(scope: Any, receive: Any, send: Any) -> None:
    """Refuse a WebSocket at an address that has none; an ASGI application."""
    reason = f"WebSockets are served at /live-price, got {quoted(scope['path'])}"
    await send_refusal(scope, send, HandshakeRefused(404, reason))
