"""Reading the inbox for a bridge: the ticks of the project's own publishers, in order."""

import asyncio

from quotes.bridge.market import Market
from quotes.bridge.writer import TickWriter
from quotes.runtime.redis_link import RedisLink
from quotes.store.inbox import read_inbox


class InboxReader:
    """Takes the inbox's entries to a market, no faster than decided ticks can be written.

    Each entry once and in order, from `after` on.

    Args:
        link: a connection of its own, since reading waits for the next entry.
        after: the id of the last entry that is in the log.
    """

    def __init__(
        self, link: RedisLink, market: Market, writer: TickWriter, *, after: bytes
    ) -> None:
        self._link = link
        self._market = market
        self._writer = writer
        self._after = after
        self._running = False
        self._turn = asyncio.Lock()
        self._progress = asyncio.Event()

    async def catch_up(self) -> None:
        """Take the entries that are there; raise RedisDown when the connection is lost."""
        while await self._read(wait=False):
            pass

    async def run(self) -> None:
        """Take entries as they come; raise RedisDown when the connection is lost."""
        self._running = True
        try:
            while True:
                await self._read(wait=True)
        finally:
            self._progress.set()

    async def reach(self, id: bytes) -> None:
        """Return when the entries up to this one have been taken."""
        while _number(self._after) < _number(id) and not self._link.closed:
            if self._running:
                self._progress.clear()
                await self._progress.wait()
            else:
                await self._read(wait=False)

    async def _read(self, *, wait: bool) -> bool:
        await self._writer.room.wait()
        # Two that read at once, as for publishers' keys, would both take the same entries.
        async with self._turn:
            entries = await read_inbox(self._link, self._after, wait=wait)
            for entry in entries:
                self._market.take_inbox(entry)
                self._after = entry.id
        self._progress.set()
        self._writer.schedule()
        return bool(entries)


def _number(id: bytes) -> tuple[int, int]:
    """Return the id of an entry in a form that can be compared."""
    at, _, count = id.partition(b"-")
    return int(at), int(count)
