"""The size of requests: what is too long is refused before anything of it is kept.

Django writes a body to disk as it comes, whoever sends it, before a view can look at it.
"""

from typing import Any

import msgspec

from instruments.conf import conf as instruments_conf

API = "/api/"
# Of the API's bodies the longest are 1,000 ticks; elsewhere, uploads in admin.
MAX_API_BYTES = 2_500_000
FORM_BYTES = 1_000_000  # what a form adds to a file


def most_bytes(path: str) -> int:
    return MAX_API_BYTES if path.startswith(API) else instruments_conf.max_upload_bytes + FORM_BYTES


class BodyLimit:
    """Answers 413 to a request that says it is too long; cuts off one that turns out to be."""

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        if scope["type"] != "http":
            return await self.application(scope, receive, send)
        most = most_bytes(scope["path"])
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > most:
            return await refuse(most, send)
        taken = 0

        async def counted() -> Any:
            nonlocal taken
            message = await receive()
            before, taken = taken, taken + len(message.get("body", b""))
            if taken <= most:
                return message
            if before <= most:
                await refuse(most, send)
            return {"type": "http.disconnect"}

        return await self.application(scope, counted, send)


async def refuse(most: int, send: Any) -> None:
    body = msgspec.json.encode({"code": 413, "message": f"a request has at most {most} bytes"})
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
