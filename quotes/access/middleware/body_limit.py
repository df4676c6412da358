"""The size of HTTP requests, and the time that their bodies may take.

Django writes a body to disk as it arrives, before any view can look at it. Daphne hands over a body
when it is whole: there `quotes.websocket.transports.daphne_http` has the deadline.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec

from instruments.conf import conf as instruments_conf
from quotes.conf import conf

_API = "/api/"
# The API's longest bodies are 1,000 ticks, those of other pages are uploads in admin.
MAX_API_BYTES = 2_500_000
_FORM_BYTES = 1_000_000  # what a form adds to a file


def _max_bytes(path: str) -> int:
    return (
        MAX_API_BYTES if path.startswith(_API) else instruments_conf.max_upload_bytes + _FORM_BYTES
    )


class BodyLimit:
    """ASGI middleware: answers 413 to a body that is too long, and 408 to one that takes too long.

    The length is that of the header, or what comes. The time is QUOTES_BODY_TIMEOUT_S as a whole,
    and a second more for every QUOTES_MIN_BYTES_PER_S bytes that came; only the time spent waiting
    for the client is counted.

    Args:
        max_bytes: of a request to this path; by default what the API or an upload may have.
    """

    def __init__(self, application: Any, *, max_bytes: Callable[[str], int] = _max_bytes) -> None:
        self._application = application
        self._max_bytes = max_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        if scope["type"] != "http":
            return await self._application(scope, receive, send)
        limit = self._max_bytes(scope["path"])
        too_long = f"a request may have at most {limit} bytes"
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > limit:
            return await _refuse(413, too_long, send)
        return await self._application(scope, _Body(receive, send, limit, too_long).receive, send)


class _Body:
    """The body of one request as it comes: its messages, its length and its time."""

    def __init__(self, receive: Any, send: Any, limit: int, too_long: str) -> None:
        self._receive = receive
        self._send = send
        self._limit = limit
        self._too_long = too_long
        self._is_whole = self._is_refused = False
        self._received = 0
        self._waited = 0.0

    async def receive(self) -> Any:
        """Return the next message; `http.disconnect` once the body is refused."""
        if self._is_refused:
            return {"type": "http.disconnect"}
        if self._is_whole:
            return await self._receive()
        allowed = conf.body_timeout_s + self._received / conf.min_bytes_per_s
        begun = time.monotonic()
        try:
            async with asyncio.timeout(allowed - self._waited):
                message = await self._receive()
        except TimeoutError:
            return await self._end(408, "the body of the request took too long")
        self._waited += time.monotonic() - begun
        self._received += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._received > self._limit:
            return await self._end(413, self._too_long)
        return message

    async def _end(self, status: int, text: str) -> Any:
        self._is_refused = True
        await _refuse(status, text, self._send)
        return {"type": "http.disconnect"}


async def _refuse(status: int, text: str, send: Any) -> None:
    body = msgspec.json.encode({"code": status, "message": text})
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
