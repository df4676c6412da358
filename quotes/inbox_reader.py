"""Reading the inbox for a bridge: what the project's own publishers put there, in order."""

from quotes.inbox import read_inbox
from quotes.market import Market
from quotes.redis_link import RedisLink
from quotes.tick_writer import TickWriter


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

    async def catch_up(self) -> None:
        """Take what is there; raise FeedDown when the connection is lost."""
        while await self.read(wait=False):
            pass

    async def run(self) -> None:
        """Take what comes until the connection is lost, which FeedDown tells."""
        while True:
            await self.read(wait=True)

    async def read(self, *, wait: bool) -> bool:
        await self.writer.room.wait()
        entries = await read_inbox(self.link, self.after, wait=wait)
        for entry in entries:
            self.market.take_inbox(entry)
            self.after = entry.id
        self.writer.kick()
        return bool(entries)
