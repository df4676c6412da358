"""Bodies that are too long are refused before they are kept, whatever their headers say."""

from typing import Any

import pytest

from quotes.access.middleware.body_limit import MAX_API_BYTES, BodyLimit


class Request:
    """One HTTP request as a server sees it: what is sent, what is read, what is answered."""

    def __init__(self, path: str, *chunks: int, length: str = "") -> None:
        headers = [(b"content-length", length.encode())] if length else []
        self.scope = {"type": "http", "path": path, "headers": headers}
        self.chunks = list(chunks)
        self.read: list[int] = []
        self.answers: list[Any] = []

    async def receive(self) -> Any:
        size = self.chunks.pop(0)
        return {"type": "http.request", "body": b"x" * size, "more_body": bool(self.chunks)}

    async def send(self, message: Any) -> None:
        self.answers.append(message)

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            self.read.append(len(message["body"]))
            if not message["more_body"]:
                await send({"type": "http.response.start", "status": 200})
                return

    async def status(self) -> int:
        await BodyLimit(self.application)(self.scope, self.receive, self.send)
        return int(self.answers[0]["status"])


@pytest.mark.parametrize(
    ("path", "chunks", "length", "status"),
    [
        ("/api/prices/", (1000,), "1000", 200),
        ("/api/prices/", (MAX_API_BYTES,), "", 200),
        ("/api/prices/", (1,), str(MAX_API_BYTES + 1), 413),
        ("/api/prices/", (1,), "-5", 413),
        ("/api/prices/", (1,), "many", 413),
        ("/api/prices/", (MAX_API_BYTES, 1), "", 413),
        ("/api/prices/", (1_000_000,) * 5, "1000", 413),
        ("/admin/upload/", (1_000_000,) * 5, "5000000", 200),
        ("/admin/upload/", (1,), "999999999999", 413),
    ],
)
async def test_length_is_held_to(
    path: str, chunks: tuple[int, ...], length: str, status: int
) -> None:
    """By the header where there is one, and by what really comes."""
    request = Request(path, *chunks, length=length)
    assert await request.status() == status
    assert sum(request.read) <= MAX_API_BYTES or path.startswith("/admin/")
    assert len([one for one in request.answers if "status" in one]) == 1
