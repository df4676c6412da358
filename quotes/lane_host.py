"""One Redis host of the channel layer: a connection that listens to lanes and comes back."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from quotes.errors import FeedDown
from quotes.lanes import pack_entries
from quotes.redis_link import Messages, RedisLink
from quotes.store import own_key

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.05
MAX_PAUSE_S = 1.0


def lane_channel(lane: int) -> str:
    """Return the Redis channel of a lane."""
    return own_key(f"lane:{lane}")


class LaneHost:
    """Keeps a link to one host open while there are lanes to listen to.

    Args:
        take: called with the payload of each lane message.
        back: awaited when the link is back after a loss, all lanes subscribed again.
    """

    def __init__(
        self, url: str, take: Callable[[bytes], None], back: Callable[[], Awaitable[None]]
    ) -> None:
        self.url = url
        self.take = take
        self.back = back
        self.lanes: set[int] = set()
        self.confirmed: set[int] = set()  # those of the lanes that Redis is known to send
        self.link: RedisLink | None = None
        self.keeper: asyncio.Task[None] | None = None
        self.attempt: asyncio.Future[None] | None = None
        self.closed = False

    async def connected(self) -> RedisLink:
        """Return the link, opened on first use.

        Raises:
            FeedDown: the host does not answer; a task goes on trying.
        """
        if self.link is None:
            if self.keeper is None:
                self.keep(again=False)
            if self.attempt is not None:
                await asyncio.shield(self.attempt)
        if self.link is None:
            raise FeedDown("Redis does not answer")
        return self.link

    def keep(self, *, again: bool) -> None:
        self.attempt = None if again else asyncio.get_running_loop().create_future()
        self.keeper = asyncio.create_task(self.open(again=again))

    async def open(self, *, again: bool) -> None:
        """Try to connect until it succeeds."""
        pause = FIRST_PAUSE_S
        while not self.closed:
            try:
                await self.connect()
            except FeedDown as error:
                if self.attempt is not None:
                    logger.warning("%s, trying again", error)
                again = True
                self.attempted()
                await asyncio.sleep(pause)
                pause = min(pause * 2, MAX_PAUSE_S)
                continue
            self.keeper = None
            self.attempted()
            if again:
                logger.info("connected to Redis again")
                await self.back()
            return

    def attempted(self) -> None:
        if self.attempt is not None and not self.attempt.done():
            self.attempt.set_result(None)
        self.attempt = None

    async def connect(self) -> None:
        link = await RedisLink.connect(self.url, on_messages=self.take_all, on_lost=self.lost)
        confirmed: set[int] = set()
        while fresh := self.lanes - confirmed:  # lanes may be asked for during the wait
            await link.subscribe(*map(lane_channel, sorted(fresh)))
            confirmed |= fresh
        self.confirmed = confirmed & self.lanes
        self.link = link
        if gone := confirmed - self.lanes:  # nobody needs them any more since they were asked for
            link.unsubscribe(*map(lane_channel, sorted(gone)))

    def take_all(self, messages: Messages) -> None:
        for _, payload in messages:
            self.take(payload)

    def lost(self) -> None:
        self.link = None
        self.confirmed = set()
        if not self.closed and self.keeper is None:
            logger.warning("lost the connection to Redis, opening it again")
            self.keep(again=True)

    async def listen(self, lanes: list[int]) -> None:
        """Return when the lanes are listened to, or the host is known to be away."""
        fresh = [lane for lane in lanes if lane not in self.lanes]
        self.lanes.update(lanes)
        if self.confirmed.issuperset(lanes):
            return
        try:
            if self.link is None:
                await self.connected()
            elif fresh:
                await self.link.subscribe(*map(lane_channel, fresh))
            else:
                await self.link.command("PING")  # comes back behind another caller's subscription
        except FeedDown:
            return  # `back` will tell when the lanes are listened to
        self.confirmed.update(lane for lane in lanes if lane in self.lanes)

    def stop_listening(self, lane: int) -> None:
        self.lanes.discard(lane)
        self.confirmed.discard(lane)
        if self.link is not None:
            self.link.unsubscribe(lane_channel(lane))

    async def publish(self, lane: int, entries: Sequence[Any]) -> None:
        """Publish the entries in one Redis message.

        Raises:
            FeedDown: the host did not take it.
        """
        link = await self.connected()
        await link.writable.wait()
        await link.command("PUBLISH", lane_channel(lane), pack_entries(entries))

    def close(self) -> None:
        self.closed = True
        if self.keeper is not None:
            self.keeper.cancel()
        if self.link is not None:
            self.link.close()
