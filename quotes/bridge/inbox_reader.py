"""Reading the inbox for a bridge: what the project's own publishers put there, in order."""

import asyncio

from quotes.bridge.market import Market
from quotes.bridge.writer import TickWriter
from quotes.runtime.redis_link import RedisLink
from quotes.store.inbox import read_inbox


class InboxReader:
    """Takes the inbox's entries to a market, no faster than what is decided can be written.

    Args:
        link: a connection of its own, since reading waits for what is to come.
        after: the id of the last entry that is in the log.
    """

    def __init__(
        self, link: RedisLink, market: Market, writer: TickWriter, *, after: bytes
    ) -> None:
        self.link = link
        self.market = market
        self.writer = writer
        self.after = after
        self.running = False
        self.progress = asyncio.Event()

    async def catch_up(self) -> None:
        """Take what is there; raise RedisDown when the connection is lost."""
        while await self.read(wait=False):
            pass

    async def run(self) -> None:
        """Take what comes until the connection is lost, which RedisDown tells."""
        self.running = True
        try:
            while True:
                await self.read(wait=True)
        finally:
            self.progress.set()

    async def reach(self, id: bytes) -> None:
        """Return when the entries up to this one have been taken."""
        while number(self.after) < number(id) and not self.link.closed:
            if self.running:
                self.progress.clear()
                await self.progress.wait()
            else:
                await self.read(wait=False)

    async def read(self, *, wait: bool) -> bool:
        await self.writer.room.wait()
        entries = await read_inbox(self.link, self.after, wait=wait)
        for entry in entries:
            self.market.take_inbox(entry)
            self.after = entry.id
        self.progress.set()
        self.writer.kick()
        return bool(entries)


def number(id: bytes) -> tuple[int, int]:
    """Return an id of a stream's entry in a form that can be compared."""
    at, _, count = id.partition(b"-")
    return int(at), int(count)
