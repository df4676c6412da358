"""The bridge: from publishers' Redis channels to the groups of the channel layer.

One bridge works, under a lease; others stand by. It reads all messages that a read of the socket
held, decides on each (`market.py`), and writes them in batches (`tick_writer.py`), each in one
fenced script (`flush.py`). A tick after a rest is written at once; what comes within the next
moments, or while writes are under way, gathers, so a busy market is written in few large batches.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import hiredis
import msgspec
from django.conf import settings

from quotes.bridge.counters import BridgeCounters
from quotes.bridge.flush import Flush
from quotes.bridge.inbox_reader import InboxReader
from quotes.bridge.market import Market
from quotes.bridge.writer import TickWriter
from quotes.conf import conf
from quotes.runtime.clock import now_ms
from quotes.runtime.redis_link import Messages, RedisDown, RedisLink
from quotes.runtime.warnings import Complaints
from quotes.store.inbox import first_position, newest_id, trim_inbox
from quotes.store.latest import SCAN_COUNT, scan_keys, scan_latest
from quotes.store.lease import AsyncLease
from quotes.store.names import lease_key, own_key, status_keys
from quotes.store.tick_log import trim

logger = logging.getLogger(__name__)

MAX_PAUSE_S = 1.0
# Ticks that come so soon after others are read together; the first of them is read at once. A busy
# market is read in larger pieces: each costs as much as twenty ticks.
GATHER_S = 0.001
BUSY_GATHER_S = 0.003
BUSY_RATE = 4000  # ticks a second


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
        self.shard, self.shards = number, _ = shard
        self.market = Market(prefix=conf.channel_prefix, complain=Complaints(logger), shard=shard)
        self.control = own_key("control").encode()
        self.lease = AsyncLease(
            lease_key(number),
            status_key=status_keys(number)[-1],
            ttl_ms=conf.bridge_lease_ms,
        )
        self.bridging = False  # whether this bridge works, rather than stands by
        self.stopping = asyncio.Event()
        self.wake = asyncio.Event()
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
                except (RedisDown, hiredis.ReplyError) as error:
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
        """Wait for the lease and work until it, or a connection, is lost."""
        link = await self.connect()
        links = [link]  # to be closed, the last first
        try:
            if not await self.take_lease(link):
                return
            flush = Flush(link, self.layer, lease=self.lease, shard=self.shard)
            await flush.prepare()
            await link.command("SET", own_key("shards"), self.shards)
            await self.restore(link, flush)
            links += (sub := await self.connect(self.take), box := await self.connect())
            self.writer = TickWriter(
                self.market, flush, self.counters, link=link, sub=sub, on_end=self.wake.set
            )
            await sub.psubscribe(conf.channel_prefix + "*")
            await sub.subscribe(own_key("control"))
            # The inbox before the keys: these hold only the newest of what is in it.
            after = await first_position(box, self.shard, self.shards)
            self.inbox = InboxReader(box, self.market, self.writer, after=after)
            await self.inbox.catch_up()
            await self.adopt(link, sub)
            self.bridging = True
            logger.info("bridging %s*", conf.channel_prefix)
            reading = asyncio.create_task(self.inbox.run())
            reading.add_done_callback(lambda done: done.cancelled() or done.exception())
            try:
                await self.work(links)
            finally:
                reading.cancel()
            if self.stopping.is_set() and not link.closed:
                sub.close()
                box.close()
                await self.writer.drain()
                await self.lease.release(link)
        finally:
            self.bridging = False
            if len(links) > 1:
                self.writer.close()
            for one in reversed(links):
                one.close()
            self.market.deaf()

    async def connect(self, on_messages: Callable[[Messages], None] | None = None) -> RedisLink:
        return await RedisLink.connect(
            settings.REDIS_URL,
            on_messages=on_messages,
            on_lost=self.wake.set,
            gather_s=GATHER_S if on_messages else 0.0,
        )

    async def take_lease(self, link: RedisLink) -> bool:
        """Return True when the lease is held; False when the bridge is told to stop."""
        told = False
        while not await self.lease.acquire(link):
            if not told:
                logger.info("another bridge works, standing by")
                told = True
            await self.pause(self.lease.ttl_ms / 4000)
            if self.stopping.is_set():
                return False
        return True

    async def restore(self, link: RedisLink, flush: Flush) -> None:
        """Go on with the numbering that Redis has."""
        if self.market.streams and not await link.command("EXISTS", own_key("latest")):
            # Redis came back empty: what this bridge knows is written again.
            for at in range(0, len(streams := list(self.market.streams.values())), SCAN_COUNT):
                known = {one.field: one.record for one in streams[at : at + SCAN_COUNT]}
                await flush.write_records(known)
            return
        records = await scan_latest(link)
        self.market.restore(records)

    async def adopt(self, link: RedisLink, sub: RedisLink) -> None:
        """Show what publishers' keys hold and nobody was shown yet."""
        async for keys in scan_keys(link, conf.channel_prefix + "*"):
            await self.adopt_keys(link, sub, keys)

    async def adopt_keys(self, link: RedisLink, sub: RedisLink, keys: list[bytes]) -> None:
        values = await link.command("MGET", *keys)
        # What was published before the keys were read is taken before them, whichever way it
        # comes; then at most one message of each key is still to come, that of the value read.
        await self.inbox.reach(await newest_id(link))
        await sub.command("PING")
        self.market.adopt(zip(keys, values, strict=True))
        self.writer.kick()

    async def work(self, links: list[RedisLink]) -> None:
        """Renew the lease until it, a connection, or the wish to go on is lost."""
        link, sub = links[:2]
        held = True
        received, looked_at = self.market.counters.received, self.loop_time()
        while held and not (self.stopping.is_set() or any(one.closed for one in links)):
            held = await self.lease.renew(link, self.counters.status())
            if held:
                await trim(link, self.shard, now_ms=now_ms())
                await trim_inbox(link)
                await self.pause(self.lease.ttl_ms / 4000)
                count, now = self.market.counters.received, self.loop_time()
                is_busy = count - received > BUSY_RATE * (now - looked_at)
                sub.gather_s = BUSY_GATHER_S if is_busy else GATHER_S
                received, looked_at = count, now
        if self.writer.lost or not held:
            logger.warning("the lease is another bridge's now")
        elif not self.stopping.is_set():
            logger.warning("lost the connection to Redis")

    # -- the path of a tick -----------------------------------------------------------------------

    def take(self, messages: Messages) -> None:
        if any(channel == self.control for channel, _ in messages):
            for message in messages:
                if message[0] == self.control:
                    self.take_control(message[1])
                else:
                    self.market.take([message])
        else:
            self.market.take(messages)
        self.writer.kick()

    def take_control(self, payload: bytes) -> None:
        try:
            request = msgspec.json.decode(payload, type=dict[str, list[str]])
        except msgspec.DecodeError:
            logger.warning("dropped what is no request to the bridge")
            return
        if names := request.get("adopt"):
            keys = [(conf.channel_prefix + name).encode() for name in names[:SCAN_COUNT]]
            task = asyncio.create_task(self.adopt_asked(keys))
            task.add_done_callback(lambda done: done.exception())

    async def adopt_asked(self, keys: list[bytes]) -> None:
        await self.adopt_keys(self.writer.link, self.writer.sub, keys)

    def loop_time(self) -> float:
        return asyncio.get_running_loop().time()

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
