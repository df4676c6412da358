"""The size of HTTP requests: one that is too long is refused before Django stores its body.

Django writes a body to disk as it arrives, before any view can look at it.
"""

from typing import Any

import msgspec

from instruments.conf import conf as instruments_conf

_API = "/api/"
# The API's longest bodies are 1,000 ticks, those of other pages are uploads in admin.
MAX_API_BYTES = 2_500_000
_FORM_BYTES = 1_000_000  # what a form adds to a file


def _max_bytes(path: str) -> int:
    return (
        MAX_API_BYTES if path.startswith(_API) else instruments_conf.max_upload_bytes + _FORM_BYTES
    )


class BodyLimit:
    """ASGI middleware: answers 413 to a request whose length is too long, by header or in fact."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        if scope["type"] != "http":
            return await self._application(scope, receive, send)
        limit = _max_bytes(scope["path"])
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > limit:
            return await _refuse(limit, send)
        received = 0

        async def counted() -> Any:
            nonlocal received
            message = await receive()
            before, received = received, received + len(message.get("body", b""))
            if received <= limit:
                return message
            if before <= limit:
                await _refuse(limit, send)
            return {"type": "http.disconnect"}

        return await self._application(scope, counted, send)


async def _refuse(limit: int, send: Any) -> None:
    body = msgspec.json.encode(
        {"code": 413, "message": f"a request may have at most {limit} bytes"}
    )
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
