"""The bridge: from publishers' Redis channels to the groups of the channel layer.

One bridge works, under a lease; others stand by. It reads all messages that a read of the socket
held, decides on each (`market.py`), and writes the batch in one fenced script (`flush.py`). While
a write is under way the next batch gathers, so a busy market is written in few large batches and a
quiet one at once.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import hiredis
import msgspec
from django.conf import settings

from quotes.bridge_counters import BridgeCounters
from quotes.complaints import Complaints
from quotes.conf import conf
from quotes.errors import FeedDown
from quotes.flush import Flush, newest_records
from quotes.lease import Lease
from quotes.market import Market
from quotes.redis_link import Messages, RedisLink
from quotes.scanning import CHUNK, keys_like, latest_records
from quotes.store import lease_key, own_key, status_keys

logger = logging.getLogger(__name__)

MAX_IN_FLIGHT = 2
# One write holds so many ticks at most, so that Redis serves others in between.
MAX_FLUSH = 2000
# More than this is not held: reading stops until Redis has taken what there is.
MAX_HELD = 20_000
MAX_PAUSE_S = 1.0


class Bridge:
    """Bridges publishers' channels to a channel layer until it is told to stop.

    Args:
        layer: a channel layer; this project's own is written in batches.
        report: called with a line of counters every QUOTES_REPORT_INTERVAL_S.
        shard: which part of the market to bridge, and how many bridges share it.
    """

    def __init__(
        self, layer: Any, *, report: Callable[[str], None], shard: tuple[int, int] = (1, 1)
    ) -> None:
        self.layer = layer
        self.report = report
        number, self.shards = shard
        self.market = Market(prefix=conf.channel_prefix, complain=Complaints(logger), shard=shard)
        self.lease = Lease(
            lease_key(number),
            status_key=status_keys(number)[-1],
            life_ms=conf.bridge_lease_ms,
        )
        self.bridging = False  # whether this bridge works, rather than stands by
        self.stopping = asyncio.Event()
        self.wake = asyncio.Event()
        self.in_flight = 0
        self.counters = BridgeCounters(self.market.counters, lambda: self.market.last_tick)

    async def run(self) -> None:
        """Work, or stand by, until `stop` is called."""
        reporter = asyncio.create_task(self.counters.report_regularly(self.report))
        pause = 0.05
        try:
            while not self.stopping.is_set():
                try:
                    await self.session()
                    pause = 0.05
                except (FeedDown, hiredis.ReplyError) as error:
                    logger.warning("%s, trying again", error)
                    await self.pause(pause)
                    pause = min(pause * 2, MAX_PAUSE_S)
        finally:
            reporter.cancel()
            self.report(self.counters.line())

    def stop(self) -> None:
        """Let `run` finish what it holds and return."""
        self.stopping.set()
        self.wake.set()

    async def session(self) -> None:
        """Wait for the lease and work until it, or the connection, is lost."""
        link = await RedisLink.connect(settings.REDIS_URL, on_lost=self.wake.set)
        sub: RedisLink | None = None
        try:
            if not await self.take_lease(link):
                return
            self.flush = Flush(link, self.layer, lease=self.lease, latest=own_key("latest"))
            await self.flush.prepare()
            await link.command("SET", own_key("shards"), self.shards)
            await self.restore(link)
            self.link, self.in_flight, self.lost = link, 0, False
            sub = self.sub = await RedisLink.connect(
                settings.REDIS_URL, on_messages=self.take, on_lost=self.wake.set
            )
            await sub.psubscribe(conf.channel_prefix + "*")
            await sub.subscribe(own_key("control"))
            await self.adopt(link, sub)
            self.kick()
            self.bridging = True
            logger.info("bridging %s*", conf.channel_prefix)
            await self.work(link, sub)
            if self.stopping.is_set() and not link.closed:
                sub.close()
                await self.drain()
                await self.lease.release(link)
        finally:
            self.bridging = False
            if sub is not None:
                sub.close()
            link.close()
            self.market.deaf()

    async def take_lease(self, link: RedisLink) -> bool:
        """Return True when the lease is held; False when the bridge is told to stop."""
        told = False
        while not await self.lease.acquire(link):
            if not told:
                logger.info("another bridge works, standing by")
                told = True
            await self.pause(self.lease.life_ms / 4000)
            if self.stopping.is_set():
                return False
        return True

    async def restore(self, link: RedisLink) -> None:
        """Go on with the numbering that Redis has."""
        if self.market.streams and not await link.command("EXISTS", own_key("latest")):
            # Redis came back empty: what this bridge knows is written again.
            for at in range(0, len(streams := list(self.market.streams.values())), CHUNK):
                known = {one.field: one.record for one in streams[at : at + CHUNK]}
                await self.flush.start(known, [])
            return
        records = await latest_records(link)
        self.market.restore(records)

    async def adopt(self, link: RedisLink, sub: RedisLink) -> None:
        """Show what publishers' keys hold and nobody was shown yet."""
        async for keys in keys_like(link, conf.channel_prefix + "*"):
            await self.adopt_keys(link, sub, keys)

    async def adopt_keys(self, link: RedisLink, sub: RedisLink, keys: list[bytes]) -> None:
        values = await link.command("MGET", *keys)
        # Messages of what was set before the keys were read have come when this comes back; then
        # at most one message of each key is still to come, that of the value read.
        await sub.command("PING")
        self.market.adopt(zip(keys, values, strict=True))
        self.kick()

    async def work(self, link: RedisLink, sub: RedisLink) -> None:
        """Renew the lease until it, a connection, or the wish to go on is lost."""
        while not (self.stopping.is_set() or self.lost or link.closed or sub.closed):
            if not await self.lease.renew(link, self.counters.status()):
                self.lost = True
                break
            await self.pause(self.lease.life_ms / 4000)
        if self.lost:
            logger.warning("the lease is another bridge's now")
        elif not self.stopping.is_set():
            logger.warning("lost the connection to Redis")

    # -- the path of a tick -----------------------------------------------------------------------

    def take(self, messages: Messages) -> None:
        control = own_key("control").encode()
        if any(channel == control for channel, _ in messages):
            for message in messages:
                if message[0] == control:
                    self.take_control(message[1])
                else:
                    self.market.take([message])
        else:
            self.market.take(messages)
        self.kick()

    def kick(self) -> None:
        """Write what is held, unless enough is under way."""
        if self.market.entries and self.in_flight < MAX_IN_FLIGHT:
            entries = self.market.take_entries(MAX_FLUSH)
            self.in_flight += 1
            began = time.monotonic()
            count, link = len(entries), self.link
            self.flush.start(newest_records(entries), entries).add_done_callback(
                lambda future: self.flushed(future, link, began, count)
            )
        if len(self.market.entries) > MAX_HELD:
            self.sub.pause_reading()

    def flushed(
        self, future: "asyncio.Future[Any]", link: RedisLink, began: float, count: int
    ) -> None:
        if link is not self.link:
            _ = future.cancelled() or future.exception()  # of a session that is over
            return
        self.in_flight -= 1
        if future.cancelled() or future.exception() is not None or not future.result():
            # Not written, or not known to be: the session ends and the next one reads Redis anew.
            self.lost = not (future.cancelled() or future.exception())
            link.abort()
            self.wake.set()
            return
        self.counters.wrote(count, time.monotonic() - began)
        self.kick()
        if not self.sub.reading and len(self.market.entries) <= MAX_HELD:
            self.sub.resume_reading()
        if self.stopping.is_set():
            self.wake.set()

    def take_control(self, payload: bytes) -> None:
        try:
            request = msgspec.json.decode(payload, type=dict[str, list[str] | None])
        except msgspec.DecodeError:
            logger.warning("dropped what is no request to the bridge")
            return
        if "forget" in request:
            fields = request["forget"]
            self.market.forget(fields)
            # Once more, behind the writes that are under way.
            latest = own_key("latest")
            command = ("DEL", latest) if fields is None else ("HDEL", latest, *fields)
            self.link.command(*command).add_done_callback(lambda done: done.exception())
        if names := request.get("adopt"):
            keys = [(conf.channel_prefix + name).encode() for name in names[:CHUNK]]
            task = asyncio.create_task(self.adopt_asked(keys))
            task.add_done_callback(lambda done: done.exception())

    async def adopt_asked(self, keys: list[bytes]) -> None:
        await self.adopt_keys(self.link, self.sub, keys)

    async def drain(self) -> None:
        """Return when all that was taken is written."""
        while (self.in_flight or self.market.entries) and not self.link.closed:
            self.wake.clear()
            self.kick()
            await self.wake.wait()

    async def pause(self, seconds: float) -> None:
        """Sleep, but not longer than until something has happened."""
        self.wake.clear()
        if self.stopping.is_set():
            return
        try:
            async with asyncio.timeout(seconds):
                await self.wake.wait()
        except TimeoutError:
            pass
