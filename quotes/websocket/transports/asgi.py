"""The frame transport for any ASGI server: one task per client that awaits the server's `send`."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from quotes.websocket.transports.base import TEXT

logger = logging.getLogger(__name__)

_LOW_WATER_BYTES = 16_384

Send = Callable[[dict[str, Any]], Awaitable[None]]


class _Together:
    """Several frames that are due as one; its length is theirs."""

    __slots__ = ("_size", "frames")

    def __init__(self, frames: list[str | bytes]) -> None:
        self.frames = frames
        self._size = sum(map(len, frames))

    def __len__(self) -> int:
        return self._size


class AsgiTransport:
    """Writes through `send`, which waits for a slow client on servers that do so.

    On a server whose `send` never waits (Daphne) the unsent bytes cannot be seen from here.
    """

    form = "asgi"

    def __init__(self, send: Send, *, on_abort: Callable[[], None]) -> None:
        self._send = send
        self._on_abort = on_abort
        self.on_drain: Callable[[], None] = lambda: None
        self.on_flood: Callable[[], None] = lambda: None
        self._loop = asyncio.get_running_loop()
        self._queue: deque[str | bytes | _Together | dict[str, Any]] = deque()
        self._held = self.written = 0
        self._took_at = self._loop.time()
        self._wake: asyncio.Future[None] | None = None
        self._task = self._loop.create_task(self._run())

    def frame(self, opcode: int, payload: bytes) -> str | bytes:
        return payload.decode() if opcode == TEXT else payload

    def together(self, frames: list[str | bytes]) -> _Together:
        return _Together(frames)

    def write(self, frames: list[str | bytes | _Together]) -> None:
        if not self._held:
            self._took_at = self._loop.time()
        self._queue.extend(frames)
        size = sum(map(len, frames))
        self._held += size
        self.written += size
        self._rouse()

    def unsent(self) -> int:
        return self._held

    def progress_at(self) -> float:
        return self._took_at if self._held else self._loop.time()

    def close(self, code: int, reason: str) -> None:
        self._queue.append({"type": "websocket.close", "code": code, "reason": reason})
        self._rouse()

    def abort(self) -> None:
        self._queue.clear()
        self._task.cancel()
        self._on_abort()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _drained(self) -> bool:
        """Tell that there is room; return False if that fails, and end the client."""
        try:
            self.on_drain()
        except Exception:
            logger.exception("a client could not be served and is cut off")
            self._on_abort()
            return False
        return True

    async def _run(self) -> None:
        try:
            while True:
                while self._queue:
                    item = self._queue.popleft()
                    if isinstance(item, _Together):
                        self._queue.extendleft(reversed(item.frames))
                    elif not isinstance(item, dict):
                        key = "text" if isinstance(item, str) else "bytes"
                        await self._send({"type": "websocket.send", key: item})
                        self._held -= len(item)
                        self._took_at = self._loop.time()
                        if self._held < _LOW_WATER_BYTES and not self._drained():
                            return
                    else:
                        await self._send(item)
                        return
                self._wake = self._loop.create_future()
                await self._wake
        except Exception:
            # The client is gone: servers differ in what `send` raises then.
            self._held = 0
        finally:
            self._queue.clear()
