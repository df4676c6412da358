"""One client's requests that wait their turn: carried out in order, one at a time, by a task."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from quotes.websocket.protocol import Request


class RequestQueue:
    """Requests in the order in which they came, in bounded memory.

    A task works on them while there are any: a client that requests nothing costs none. When the
    queue is full, `put` waits, and with it whatever reads the client's messages. Each request is
    carried out once, unless `end` comes first.

    Args:
        carry_out: answers a request, whatever it holds.
        on_failure: called with an error for which that fails; later requests are carried out.
        max_requests: the number of requests that may wait.
        max_bytes: the size of the messages that may wait; one message may be larger.
    """

    __slots__ = (
        "_bytes",
        "_carry_out",
        "_ended",
        "_max_bytes",
        "_max_requests",
        "_on_failure",
        "_requests",
        "_room",
        "_task",
    )

    def __init__(
        self,
        carry_out: Callable[[Request], Awaitable[None]],
        *,
        on_failure: Callable[[Exception], None],
        max_requests: int,
        max_bytes: int,
    ) -> None:
        self._carry_out = carry_out
        self._on_failure = on_failure
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        # Each with its size; the first is under way.
        self._requests: deque[tuple[Request, int]] = deque()
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._room: asyncio.Event | None = None
        self._ended = False

    @property
    def is_idle(self) -> bool:
        """Whether no request waits or is under way."""
        return self._task is None

    async def put(self, request: Request, size: int) -> None:
        """Take a request, and begin to carry it out if it is the first; wait while it is full."""
        while not self._ended and self._is_full(size):
            if self._room is None:
                self._room = asyncio.Event()
            await self._room.wait()
        if self._ended:
            return
        self._requests.append((request, size))
        self._bytes += size
        if self._task is None:
            self._task = asyncio.create_task(self._work())
            await asyncio.sleep(0)  # it goes as far as it can before the client's next message

    def _is_full(self, size: int) -> bool:
        if not self._requests:
            return False
        return len(self._requests) >= self._max_requests or self._bytes + size > self._max_bytes

    async def _work(self) -> None:
        try:
            while self._requests:
                try:
                    await self._carry_out(self._requests[0][0])
                except Exception as error:
                    self._on_failure(error)
                if self._requests:  # unless it ended the client
                    self._bytes -= self._requests.popleft()[1]
                self._make_room()
        finally:
            self._task = None

    def _make_room(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    def end(self) -> None:
        """Drop what waits, and cancel what is under way, unless that is the caller."""
        self._ended = True
        self._requests.clear()
        self._bytes = 0
        self._make_room()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def finished(self) -> None:
        """Return when nothing is under way."""
        if self._task is not None:
            await asyncio.wait([self._task])
