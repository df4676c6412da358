"""The answer to a handshake that is refused: a status and why, where the server can say it."""

from typing import Any

import msgspec

from quotes.access.sockets import Refused


async def refuse(scope: Any, send: Any, refused: Refused) -> None:
    """Answer as REST does; a server without the extension for that answers 403."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    body = msgspec.json.encode({"code": refused.status, "message": str(refused)})
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if refused.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="live-price"'))
    else:
        headers.append((b"retry-after", b"5"))
    await send(
        {"type": "websocket.http.response.start", "status": refused.status, "headers": headers}
    )
    await send({"type": "websocket.http.response.body", "body": body})
