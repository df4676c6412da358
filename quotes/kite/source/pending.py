"""Ticks that wait to be published, in bounded memory."""

import asyncio

from quotes.ticks import Tick

MAX_TICKS = 50_000


class PendingTicks:
    """Ticks between the connections and the publisher, in order; of one event loop.

    While the publisher waits for Redis, only the newest tick of each instrument is kept once there
    are too many.

    Attributes:
        conflated: how many ticks gave way to newer ones.
    """

    def __init__(self, *, most: int = MAX_TICKS) -> None:
        self.conflated = 0
        self._most = most
        self._is_closed = False
        self._ticks: list[Tick] = []
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._ticks)

    def add(self, ticks: list[Tick]) -> None:
        """Add ticks after those that wait."""
        if not ticks:
            return
        self._ticks += ticks
        self._filled.set()
        if len(self._ticks) > self._most:
            newest = {(one.segment, one.symbol): one for one in self._ticks}
            self.conflated += len(self._ticks) - len(newest)
            self._ticks = list(newest.values())

    def take(self) -> list[Tick]:
        """Return all that wait, and forget them."""
        ticks, self._ticks = self._ticks, []
        if not self._is_closed:
            self._filled.clear()
        return ticks

    def close(self) -> None:
        """Say that no more ticks come."""
        self._is_closed = True
        self._filled.set()

    async def wait(self) -> bool:
        """Return True when there are ticks, False when there are none and no more come."""
        await self._filled.wait()
        return bool(self._ticks)
