"""The frame transport for any ASGI server: one task per client that awaits the server's `send`."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

LOW_WATER_BYTES = 16_384

Send = Callable[[dict[str, Any]], Awaitable[None]]


class AsgiTransport:
    """Writes through `send`, which waits for a slow client on servers that do so.

    On a server whose `send` never waits (Daphne) the unsent bytes cannot be seen from here.
    """

    form = "asgi"

    def __init__(self, send: Send, *, on_abort: Callable[[], None]) -> None:
        self.send = send
        self.on_abort = on_abort
        self.on_drain: Callable[[], None] = lambda: None
        self.loop = asyncio.get_running_loop()
        self.queue: deque[str | bytes | dict[str, Any]] = deque()
        self.held = 0
        self.took_at = self.loop.time()
        self.wake: asyncio.Future[None] | None = None
        self.task = self.loop.create_task(self.run())

    def frame(self, payload: str | bytes) -> str | bytes:
        return payload

    def write(self, frames: list[str | bytes]) -> None:
        if not self.held:
            self.took_at = self.loop.time()
        self.queue.extend(frames)
        self.held += sum(map(len, frames))
        self.rouse()

    def unsent(self) -> int:
        return self.held

    def progress_at(self) -> float:
        return self.took_at if self.held else self.loop.time()

    def close(self, code: int, reason: str) -> None:
        self.queue.append({"type": "websocket.close", "code": code, "reason": reason})
        self.rouse()

    def abort(self) -> None:
        self.queue.clear()
        self.task.cancel()
        self.on_abort()

    def rouse(self) -> None:
        if self.wake is not None and not self.wake.done():
            self.wake.set_result(None)

    async def run(self) -> None:
        try:
            while True:
                while self.queue:
                    item = self.queue.popleft()
                    if not isinstance(item, dict):
                        key = "text" if isinstance(item, str) else "bytes"
                        await self.send({"type": "websocket.send", key: item})
                        self.held -= len(item)
                        self.took_at = self.loop.time()
                        if self.held < LOW_WATER_BYTES:
                            self.on_drain()
                    else:
                        await self.send(item)
                        return
                self.wake = self.loop.create_future()
                await self.wake
        except Exception:
            # The client is gone: servers differ in what `send` raises then.
            self.held = 0
        finally:
            self.queue.clear()
