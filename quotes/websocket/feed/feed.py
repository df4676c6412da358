"""The feed as one web process sees it: alive, quiet or down, and the latest prices behind it.

One per event loop. It watches the bridge's sign of life in Redis, tells clients when it changes or
when they have heard nothing for long, and reads the latest prices for those who subscribe.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import msgspec
import redis.asyncio
from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from instruments.errors import BadSymbol
from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.access.service import AccessService
from quotes.conf import conf
from quotes.layer.any_layer import Layer, adapted
from quotes.runtime.clock import now_ms
from quotes.store.clients import async_client
from quotes.store.latest import LatestPrice, PriceSnapshot, Wanted, aread_snapshot
from quotes.store.names import own_key, status_keys
from quotes.store.positions import StreamPosition
from quotes.store.tick_log import tick_message
from quotes.websocket.delivery.flush_scheduler import FlushScheduler
from quotes.websocket.feed.day_reader import DayReader
from quotes.websocket.feed.delayed import LateReaders
from quotes.websocket.feed.market_status import MarketWatch
from quotes.websocket.feed.past import Past
from quotes.websocket.feed.positions import ProvisionalPrices, TickDecoder, position_of
from quotes.websocket.feed.recent_ticks import RecentTicks
from quotes.websocket.protocol import frame

logger = logging.getLogger(__name__)

WATCH_INTERVAL_S = 0.25
MASTER_WAIT_S = 30.0


class FeedState(StrEnum):
    """What a client can expect: prices, a quiet market, or nothing until the feed is back."""

    LIVE = "live"
    QUIET = "quiet"
    DOWN = "down"


Resolve = Callable[..., InstrumentKey]


class Listener(Protocol):
    """A client's session, as far as the feed is concerned."""

    def feed_changed(self) -> None: ...
    async def relearn(self, resolve: "Resolve") -> None: ...
    def market_changed(self, statuses: list[dict[str, Any]]) -> None: ...
    def look_after(self, now: float) -> None: ...


def latest_message(field: str, latest: LatestPrice) -> dict[str, Any]:
    """Return the group message of a latest price."""
    return tick_message(field, latest.epoch, latest.seq, latest.timestamp, latest.frame)


class Feed:
    """The state of the feed, and the sessions that hear of it."""

    def __init__(self) -> None:
        self.layer: Layer = adapted(get_channel_layer())
        self.layer.decode_with(TickDecoder())
        self.scheduler = FlushScheduler(asyncio.get_running_loop())
        self.client: redis.asyncio.Redis = async_client()
        self.access = AccessService(self.client)
        self.late = LateReaders(self.client)
        self.listeners: set[Listener] = set()
        self.state = FeedState.DOWN
        self.last_tick: int | None = None
        self.shards = 1
        self.closed = False
        self.provisional = ProvisionalPrices()
        self.ready = asyncio.get_running_loop().create_future()
        self.markets = MarketWatch()
        self.day_reader = DayReader(self.client, self.layer)
        self.past = Past(RecentTicks(self.client))
        self.task = asyncio.create_task(self.watch())
        self.layer.on_reconnect(self.refresh)

    async def close(self) -> None:
        """End the watch and the connections."""
        self.closed = True
        self.task.cancel()
        self.past.recent.drop()
        await asyncio.wait([self.task])
        await self.late.close()
        await self.access.close()
        await self.client.aclose()

    def heartbeat(self) -> bytes:
        return frame(
            "heartbeat", timestamp=now_ms(), feed=self.state.value, last_tick=self.last_tick
        )

    # -- the state of the feed -----------------------------------------------------------------

    async def watch(self) -> None:
        """Look for the bridge's sign of life, and after the clients, again and again."""
        loop = asyncio.get_running_loop()
        while not self.closed:
            try:
                async with asyncio.timeout(conf.feed_timeout_s):
                    signs = await self.signs_of_life()
                    await self.day_reader.read_if_due()
                self.last_tick = max(
                    (one["last_tick"] or 0 for one in signs if one is not None), default=0
                ) or (self.last_tick)
                self.settle(bridge_up=None not in signs)
            except (RedisError, OSError, TimeoutError):
                self.settle(bridge_up=False)
            except Exception:
                logger.exception("the watch over the feed failed")
            if changed := self.markets.changes():
                for listener in list(self.listeners):
                    listener.market_changed(changed)
            now = loop.time()
            for listener in list(self.listeners):
                listener.look_after(now)
            await asyncio.sleep(WATCH_INTERVAL_S)

    async def signs_of_life(self) -> list[dict[str, Any] | None]:
        """Return the status of each shard's bridge, None where there is none."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.get(own_key("shards"))
        pipeline.mget(status_keys(self.shards))
        shards, signs = await pipeline.execute()
        known, self.shards = self.shards, int(shards or 1)
        if self.shards != known:
            return await self.signs_of_life()
        return [None if sign is None else msgspec.json.decode(sign) for sign in signs]

    def settle(self, *, bridge_up: bool) -> None:
        before = self.state
        if not bridge_up:
            self.state = FeedState.DOWN
        elif self.last_tick and now_ms() - self.last_tick <= conf.quiet_after_s * 1000:
            self.state = FeedState.LIVE
        else:
            self.state = FeedState.QUIET
        if not self.ready.done():
            self.ready.set_result(None)
        elif FeedState.DOWN in (before, self.state) and before is not self.state:
            logger.warning("the feed is %s", self.state.value)
            for listener in list(self.listeners):
                listener.feed_changed()

    async def relearn(self) -> None:
        """Let each session follow names that mean another instrument since the master changed."""
        resolve = lru_cache(maxsize=None)(index.resolve)  # for this change, many clients ask alike
        for listener in list(self.listeners):
            await listener.relearn(resolve)
            await asyncio.sleep(0)

    # -- the latest prices ---------------------------------------------------------------------

    async def snapshot(self, wanted: Sequence[Wanted]) -> PriceSnapshot | None:
        """Return the latest prices, or None while Redis is away; have the bridge catch up."""
        try:
            snapshot = await aread_snapshot(wanted, client=self.client)
            if snapshot.bridge_up and snapshot.names:
                request = msgspec.json.encode({"adopt": snapshot.names})
                await self.client.publish(own_key("control"), request)
        except (RedisError, OSError):
            return None
        return snapshot

    def show_provisionally(self, key: InstrumentKey, latest: LatestPrice) -> None:
        """Show everybody here a price that no bridge has numbered yet, once."""
        message = {**latest_message(str(key), latest), "provisional": True}
        last = self.layer.newest_message(key.group_name)
        if last is not None and last.get("frame") == message["frame"]:
            return  # another client read it at the same time, and everybody has it
        self.provisional.add(str(key), message["frame"])
        self.layer.withhold(self.provisional.is_repeat)
        self.layer.deliver_local([(key.group_name, message)])

    def delivered_position(self, group: str) -> StreamPosition | None:
        """Return the position of the newest tick that all clients here were given."""
        message = self.layer.delivered_message(group)
        return position_of(message) if message is not None and "seq" in message else None

    async def refresh(self) -> None:
        """Read the latest prices of all groups of this process anew and show what changed."""
        wanted = []
        for group in self.layer.local_groups():
            try:
                key = InstrumentKey.from_group_name(group)
            except BadSymbol:
                continue  # a group of something else
            wanted.append(Wanted(key, str(key)))
        for at in range(0, len(wanted), 1000):
            snapshot = await self.snapshot(wanted[at : at + 1000])
            if snapshot is None:
                return
            entries = []
            for field, latest in snapshot.latest.items():
                group = InstrumentKey.parse(field).group_name
                delivered = self.delivered_position(group)
                if delivered is None or delivered < (latest.epoch, latest.seq):
                    entries.append((group, latest_message(field, latest)))
            self.layer.deliver_local(entries)


feeds: WeakKeyDictionary[asyncio.AbstractEventLoop, Feed] = WeakKeyDictionary()


def master_changed() -> None:
    """Tell every feed of the process, from any thread, that the instrument master has changed."""
    for loop, feed in list(feeds.items()):
        if not loop.is_closed():
            asyncio.run_coroutine_threadsafe(feed.relearn(), loop)


async def current_feed() -> Feed:
    """Return the feed of the running event loop, started on first use."""
    loop = asyncio.get_running_loop()
    feed = feeds.get(loop)
    if feed is None:
        feed = feeds[loop] = Feed()
        # A name is not to mean one stream now and, when the master has been read, another.
        await asyncio.to_thread(index.wait, MASTER_WAIT_S)
    await asyncio.shield(feed.ready)
    return feed
