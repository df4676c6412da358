"""The feed as one web process sees it: live, quiet or down, and the latest prices behind it.

One per event loop. It watches the bridges' status in Redis, lets sessions send its changes and
heartbeats, and reads the latest prices for clients that subscribe. Each of its tasks does one of
these, so that a failure of one holds up no other.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import lru_cache, partial
from itertools import islice
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import msgspec
import redis.asyncio
from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.access.service import AccessService
from quotes.conf import conf
from quotes.layer.any_layer import Layer, adapted
from quotes.runtime.background import BackgroundTasks
from quotes.runtime.garbage import collect_all, set_survivors_aside
from quotes.runtime.time_slices import TimeSlices, chunks
from quotes.store.clients import async_client
from quotes.store.group_names import price_group
from quotes.store.latest import LatestPrice, PriceSnapshot, Wanted, aread_snapshot
from quotes.store.names import own_key, status_keys
from quotes.store.redis_clock import redis_clock
from quotes.store.request_clients import RequestRedis
from quotes.store.tick_log import tick_message
from quotes.websocket.delivery.flush_scheduler import FlushScheduler
from quotes.websocket.delivery.isolation import end_failed, end_failed_receiver
from quotes.websocket.feed.day_reader import DayReader
from quotes.websocket.feed.delayed import DelayedReaders
from quotes.websocket.feed.delivered import ProvisionalPrices, TickDecoder, position_of
from quotes.websocket.feed.first_prices import FirstPriceReader, FirstPrices
from quotes.websocket.feed.market_status import MarketStatusWatch
from quotes.websocket.feed.missed_candles import WantedCandles, send_missed_candles
from quotes.websocket.feed.named_instruments import NamedInstrument, NamedInstruments
from quotes.websocket.feed.recent_ticks import RecentTicks
from quotes.websocket.feed.stream_history import StreamHistory
from quotes.websocket.protocol import frame
from quotes.websocket.token_bucket import TokenBucket

logger = logging.getLogger(__name__)

_WATCH_INTERVAL_S = 0.25
_MASTER_WAIT_S = 30.0
_MASTER_PAUSE_S = 0.02
# Reading latest prices again: for how long a page of them, and the pause before another try.
_REFRESH_TIMEOUT_S = 10.0
_REFRESH_PAUSE_S = 0.25
_PAGE = 200  # instruments that are read in one round trip, and decoded in one go
# Sessions that begin to follow the master in one turn of the event loop, and how long a round waits
# for all of them; those that take longer go on by themselves.
_FOLLOWERS = 50
_FOLLOW_TIMEOUT_S = 5.0
# Garbage of clients that have ended is collected once they are so many, and as many as are there.
_MANY_ENDED = 100
_COLLECT_INTERVAL_S = 5.0
# Requests for many instruments that are carried out at once; others wait, the oldest first. Each
# holds ticks and frames for its client meanwhile.
_LARGE_REQUESTS = 4
# Requests a second of which unknown names get suggestions, some milliseconds each.
_SUGGESTED_PER_S = 10


class FeedState(StrEnum):
    """Whether a client can expect prices, a quiet market, or nothing until the feed is back."""

    LIVE = "live"
    QUIET = "quiet"
    DOWN = "down"


class _BridgeStatus(msgspec.Struct):
    """What a web process reads of a bridge's status.

    Attributes:
        session: another one each time that a bridge begins to work.
    """

    last_tick: int | None
    session: str = ""


_decode_status = msgspec.json.Decoder(_BridgeStatus).decode

Resolve = Callable[..., InstrumentKey]


class FeedListener(Protocol):
    """A client's session, as far as the feed is concerned. Only `follow_master` waits.

    One whose call raises is ended by `fail`; the others are called all the same.
    """

    def feed_changed(self) -> None:
        """Send that the feed went down, or is back."""

    def price_numbered(self, message: dict[str, Any]) -> None:
        """Take a numbered tick whose price was shown before; others are not sent it again."""

    def market_changed(self, statuses: list[dict[str, Any]]) -> None:
        """Send these values of `market_status` frames."""

    def check_deadlines(self, now: float) -> None:
        """Do what is due at this loop time; called four times a second."""

    def wanted_candles(self) -> WantedCandles:
        """Return the candles that the client is subscribed to."""

    async def follow_master(self, resolve: "Resolve") -> None:
        """Follow names that mean another instrument since the master changed."""

    def fail(self, error: Exception) -> None:
        """End the client because of an error; may be called twice."""


def _check_deadlines(listener: FeedListener, now: float) -> None:
    listener.check_deadlines(now)


def _send_market_changes(listener: FeedListener, changed: list[dict[str, Any]]) -> None:
    listener.market_changed(changed)


def latest_message(field: str, latest: LatestPrice) -> dict[str, Any]:
    """Return the group message of a latest price."""
    return tick_message(field, latest.epoch, latest.seq, latest.timestamp, latest.frame)


class Feed:
    """The state of the feed, and the sessions that react to its changes.

    Not thread-safe: all calls come from the event loop in which it was made. Its methods that wait
    may be cancelled.

    Attributes:
        requests: Redis, for what a client waits for; `client` is for the feed's own tasks.
        access_service: accounts, and counts of connections, for the sessions.
        listeners: the sessions; they add and remove themselves.
        ended_clients: how many clients there were and are no more.
        failed_clients: how many clients were ended because they could not be served.
        instruments: finds the instruments that clients name.
        large_requests: held by requests for many instruments while they are carried out.
        last_tick: when the newest tick came to a bridge, Unix milliseconds of Redis's clock; None
            before the first.
        ready: done once the state is known.
        master_read: done once the instrument master was read, or could not be.
        slices: of the event loop's time, for long work.
        suggestion_budget: how many requests get suggestions for unknown names.
    """

    def __init__(self) -> None:
        self.layer: Layer = adapted(get_channel_layer())
        self.layer.decode_with(TickDecoder())
        self.scheduler = FlushScheduler(asyncio.get_running_loop())
        self.slices = TimeSlices(asyncio.get_running_loop())
        self.instruments = NamedInstruments()
        self.suggestion_budget = TokenBucket(_SUGGESTED_PER_S, burst=4 * _SUGGESTED_PER_S)
        self.large_requests = asyncio.Semaphore(_LARGE_REQUESTS)
        self.client: redis.asyncio.Redis = async_client()
        self.requests = RequestRedis()
        self.access_service = AccessService(self.requests)
        self.delayed = DelayedReaders(self.client)
        self.listeners: set[FeedListener] = set()
        self.ended_clients = 0
        self.failed_clients = 0
        self.state = FeedState.DOWN
        self.last_tick: int | None = None
        self._shards = 1
        self._sessions: dict[int, str] | None = None  # shard -> its bridge's session seen last
        self._closed = False
        self._refreshing: asyncio.Task[None] | None = None
        # instruments whose first price is still to be read for a subscriber
        self._unread: dict[InstrumentKey, Wanted] = {}
        self._reading: asyncio.Task[None] | None = None
        self._master_changed = asyncio.Event()
        self._provisional = ProvisionalPrices()
        self.ready = asyncio.get_running_loop().create_future()
        self.markets = MarketStatusWatch()
        self._day_reader = DayReader(self.client, self.layer)
        self.history = StreamHistory(RecentTicks(self.requests))
        self._tasks = BackgroundTasks(logger)
        # Until the master is read, a name could mean another stream than afterwards.
        self.master_read = self._tasks.complete(
            "waiting for the instrument master", _until_master_read
        )
        self.first_prices = FirstPriceReader(self._read_first, self._tasks)
        for name, work in (
            ("checking clients' deadlines", self._check_clients),
            ("reading the days of instruments", self._read_days),
            ("watching market hours", self._watch_markets),
            ("collecting garbage", self._collect_garbage),
            ("moving clients to renamed instruments", self._follow_master),
        ):
            self._tasks.keep(name, work)
        self._tasks.keep("watching the bridges", self._watch_bridges, is_vital=True)
        self.layer.on_reconnect(self.refresh)
        self.layer.on_failure(end_failed_receiver)

    async def close(self) -> None:
        """End the tasks and the connections."""
        self._closed = True
        await self._tasks.close()
        await self.history.close()
        await self.delayed.close()
        await self.access_service.close()
        await self.requests.aclose()
        await self.client.aclose()

    def heartbeat(self) -> bytes:
        """Return a heartbeat frame."""
        return frame(
            "heartbeat",
            timestamp=redis_clock.now_ms(),
            feed=self.state.value,
            last_tick=self.last_tick,
        )

    # -- the state of the feed -----------------------------------------------------------------

    async def _watch_bridges(self) -> None:
        """Read the bridges' status four times a second."""
        while not self._closed:
            try:
                async with asyncio.timeout(conf.feed_timeout_s):
                    statuses = await self._bridge_statuses()
                self.requests.breaker.answered()
                self.last_tick = (
                    max((one.last_tick or 0 for one in statuses if one is not None), default=0)
                    or self.last_tick
                )
                self._set_state(bridge_up=None not in statuses)
                await self._refresh_after_start(statuses)
            except (RedisError, OSError) as error:
                if isinstance(error, redis.TimeoutError | TimeoutError):
                    self.requests.breaker.hung()
                self._set_state(bridge_up=False)
            except Exception:
                self._set_state(bridge_up=False)  # nobody waits for a state that is not known
                raise
            await asyncio.sleep(_WATCH_INTERVAL_S)

    async def _refresh_after_start(self, statuses: list[_BridgeStatus | None]) -> None:
        """Read the latest prices again after a bridge has begun to work.

        Redis may have come back with older data or none, and clients have subscribed, before the
        bridge found it so and wrote what it knows.
        """
        seen = dict(self._sessions or {})
        seen.update((shard, one.session) for shard, one in enumerate(statuses, 1) if one)
        if self._sessions is not None and seen != self._sessions:
            await self.refresh()
        self._sessions = seen

    async def _check_clients(self) -> None:
        """Check the sessions' deadlines four times a second."""
        loop = asyncio.get_running_loop()
        while not self._closed:
            self._tell(partial(_check_deadlines, now=loop.time()))
            await asyncio.sleep(_WATCH_INTERVAL_S)

    async def _read_days(self) -> None:
        """Read the days that are wanted."""
        while not self._closed:
            with contextlib.suppress(RedisError, OSError):
                async with asyncio.timeout(conf.feed_timeout_s):
                    await self._day_reader.read_if_due()
            await asyncio.sleep(_WATCH_INTERVAL_S)

    async def _watch_markets(self) -> None:
        """Let the sessions send changes of the markets' status."""
        while not self._closed:
            if changed := self.markets.changes():
                self._tell(partial(_send_market_changes, changed=changed))
            await asyncio.sleep(_WATCH_INTERVAL_S)

    async def _collect_garbage(self) -> None:
        """Free what ended clients leave behind whenever as many have ended as are connected."""
        set_survivors_aside()
        collected = 0
        while not self._closed:
            if self.ended_clients - collected >= max(_MANY_ENDED, len(self.listeners)):
                collected = self.ended_clients
                collect_all()
            await asyncio.sleep(_COLLECT_INTERVAL_S)

    def _tell(self, call: Callable[[FeedListener], None]) -> None:
        """Call all listeners; one that raises is ended."""
        for listener in list(self.listeners):
            try:
                call(listener)
            except Exception as error:
                self._end_failed(listener, error)

    def _end_failed(self, listener: FeedListener, error: Exception) -> None:
        self.listeners.discard(listener)
        end_failed(listener, error)

    async def _bridge_statuses(self) -> list[_BridgeStatus | None]:
        """Return the status of each shard's bridge, None where there is none."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.get(own_key("shards"))
        pipeline.mget(status_keys(self._shards))
        pipeline.time()
        sent = time.monotonic()
        shards, statuses, now = await pipeline.execute(raise_on_error=False)
        for reply in (shards, statuses):
            if isinstance(reply, Exception):
                raise reply
        redis_clock.take(now, sent)
        before, self._shards = self._shards, int(shards or 1)
        if self._shards != before:
            return await self._bridge_statuses()
        return [None if one is None else _decode_status(one) for one in statuses]

    def _set_state(self, *, bridge_up: bool) -> None:
        before = self.state
        if not bridge_up:
            self.state = FeedState.DOWN
        elif self.last_tick and redis_clock.now_ms() - self.last_tick <= conf.quiet_after_s * 1000:
            self.state = FeedState.LIVE
        else:
            self.state = FeedState.QUIET
        is_first = not self.ready.done()
        if is_first:
            self.ready.set_result(None)
        if is_first and not self.listeners:
            return
        if FeedState.DOWN in (before, self.state) and before is not self.state:
            logger.warning("the feed is %s", self.state.value)
            self._tell(lambda listener: listener.feed_changed())

    def master_changed(self) -> None:
        """Follow the master, after the round that is under way."""
        self._master_changed.set()

    async def _follow_master(self) -> None:
        while not self._closed:
            await self._master_changed.wait()
            self._master_changed.clear()
            try:
                await self.follow_master()
            except BaseException:
                self._master_changed.set()
                raise

    async def follow_master(self) -> None:
        """Let each session follow names that mean another instrument since the master changed.

        A session that cannot follow yet, since a request of its client is under way, holds up no
        other.
        """
        resolve = lru_cache(maxsize=None)(index.resolve)  # many clients use the same names
        tasks = []
        for at, listener in enumerate(list(self.listeners), 1):
            follow = partial(self._let_follow, listener, resolve)
            tasks.append(self._tasks.attempt("moving a client to renamed instruments", follow))
            if not at % _FOLLOWERS:
                await asyncio.sleep(0)
        if tasks:
            await asyncio.wait(tasks, timeout=_FOLLOW_TIMEOUT_S)

    async def _let_follow(self, listener: FeedListener, resolve: Resolve) -> None:
        try:
            await listener.follow_master(resolve)
        except Exception as error:
            self._end_failed(listener, error)

    # -- the latest prices ---------------------------------------------------------------------

    async def snapshot(
        self, wanted: Sequence[Wanted], until: float | None = None
    ) -> PriceSnapshot | None:
        """Return the latest prices, and have the bridge number new ones.

        Args:
            until: the loop time up to which the caller waits; by default QUOTES_REDIS_TIMEOUT_S.

        Returns:
            None if Redis does not answer in time: members of their groups here are sent the prices
            when it does.
        """
        try:
            async with self.requests.answer(until) as client:
                return await self._read_latest(wanted, client)
        except (RedisError, OSError):
            self._read_later(wanted)
            return None

    async def _read_latest(
        self, wanted: Sequence[Wanted], client: redis.asyncio.Redis
    ) -> PriceSnapshot:
        snapshot = await aread_snapshot(wanted, client=client)
        if snapshot.bridge_up and snapshot.names:
            request = msgspec.json.encode({"adopt": snapshot.names})
            await client.publish(own_key("control"), request)
        return snapshot

    def _read_later(self, wanted: Sequence[Wanted]) -> None:
        """Have prices read, and sent to the members of their groups here, when Redis answers."""
        if not self.layer.is_direct:
            return  # its members are not known here
        self._unread.update({one.key: one for one in wanted})
        groups = self.layer.state.groups
        if len(self._unread) > 2 * len(groups) + _PAGE:  # most of their subscribers have left
            self._unread = {
                key: one for key, one in self._unread.items() if price_group(key) in groups
            }
        if self._reading is None or self._reading.done():
            self._reading = self._tasks.complete("reading first prices", self._read_unread)

    async def _read_unread(self) -> None:
        while self._unread and not self._closed:
            await asyncio.sleep(_REFRESH_PAUSE_S)
            some = list(islice(self._unread.values(), _PAGE))
            with contextlib.suppress(RedisError, OSError):
                async with asyncio.timeout(_REFRESH_TIMEOUT_S):
                    snapshot = await self._read_latest(some, self.client)
                for one in some:
                    self._unread.pop(one.key, None)
                self._send_missed(some, snapshot)

    def _send_missed(self, wanted: Sequence[Wanted], snapshot: PriceSnapshot) -> None:
        """Send all clients here those of the latest prices that are news."""
        entries = []
        for field, latest in snapshot.latest.items():
            group = price_group(InstrumentKey.parse(field))
            if self._is_news(group, latest):
                entries.append((group, latest_message(field, latest)))
        self.layer.deliver_local(entries)
        if not snapshot.bridge_up:
            for one in wanted:
                if (ahead := snapshot.ahead.get(str(one.key))) is not None:
                    self.show_provisionally(one.key, ahead)

    async def _read_first(
        self, wanted: Sequence[NamedInstrument], until: float | None
    ) -> FirstPrices | None:
        """Read the latest prices of instruments whose groups have no message here yet.

        Where the layer can, their groups are sent them: who has waited for them holds them.
        """
        some = [Wanted(one.key, one.name) for one in wanted]
        snapshot = await self.snapshot(some, until)
        if snapshot is None:
            return None
        self._send_missed(some, snapshot)
        if self.layer.is_direct:
            return FirstPrices({})
        latest = snapshot.latest.items()
        return FirstPrices({field: latest_message(field, one) for field, one in latest})

    def show_provisionally(self, key: InstrumentKey, latest: LatestPrice) -> None:
        """Send all clients here a price that no bridge has numbered yet, once."""
        message = {**latest_message(str(key), latest), "provisional": True}
        last = self.layer.newest_message(price_group(key))
        if last is not None and last.get("frame") == message["frame"]:
            return  # another client read it at the same time, and all were sent it
        self._provisional.add(str(key), message["frame"], latest.timestamp)
        self.layer.withhold(self._withheld)
        self.layer.deliver_local([(price_group(key), message)])

    def _withheld(self, message: dict[str, Any]) -> bool:
        """Return whether clients were shown a price; those that were not are sent it."""
        repeat = self._provisional.is_repeat(message)
        if repeat:
            self._tell(lambda listener: listener.price_numbered(message))
        return repeat

    def _is_news(self, group: str, latest: LatestPrice) -> bool:
        """Return whether a latest price comes after the newest tick that all clients here got.

        Redis may have come back with older data, under a new epoch.
        """
        message = self.layer.delivered_message(group)
        if message is None or "seq" not in message:
            return True
        return (
            position_of(message) < (latest.epoch, latest.seq)
            and message["timestamp"] <= latest.timestamp
        )

    async def refresh(self) -> None:
        """Begin to read the latest prices and candles of all groups here; those new are sent.

        Messages may have been missed, so this is tried until Redis answers; another call meanwhile
        begins again.
        """
        if self._refreshing is not None:
            self._tasks.cancel(self._refreshing)
        self._refreshing = self._tasks.complete("reading missed prices", self._refresh_until_done)

    async def _refresh_until_done(self) -> None:
        while not self._closed:
            with contextlib.suppress(RedisError, OSError):
                await self._refresh_once()
                break
            await asyncio.sleep(_REFRESH_PAUSE_S)
        await self._refresh_candles()

    async def _refresh_candles(self) -> None:
        wanted: dict[str, tuple[InstrumentKey, set[str]]] = {}

        def note(listener: FeedListener) -> None:
            for field, (key, labels) in listener.wanted_candles().items():
                wanted.setdefault(field, (key, set()))[1].update(labels)

        self._tell(note)
        await send_missed_candles(wanted, layer=self.layer, history=self.history)

    async def _refresh_once(self) -> None:
        """Read the latest prices of all groups; raise redis.RedisError or OSError."""
        fields = list(self.layer.local_topics() or ())
        for some in chunks(fields, _PAGE):
            wanted = [Wanted(InstrumentKey.parse(field), field) for field in some]
            async with asyncio.timeout(_REFRESH_TIMEOUT_S):
                snapshot = await self._read_latest(wanted, self.client)
            self._send_missed(wanted, snapshot)


feeds: WeakKeyDictionary[asyncio.AbstractEventLoop, Feed] = WeakKeyDictionary()


def master_changed() -> None:
    """Tell every feed of the process, from any thread, that the instrument master has changed."""
    for loop, feed in list(feeds.items()):
        with contextlib.suppress(RuntimeError):  # the loop is closed, and its clients are gone
            loop.call_soon_threadsafe(feed.master_changed)


async def current_feed() -> Feed:
    """Return the feed of the running event loop, started on first use."""
    loop = asyncio.get_running_loop()
    feed = feeds.get(loop)
    if feed is None:
        feed = feeds[loop] = Feed()
    try:
        async with asyncio.timeout_at(feed.requests.deadline()):
            await asyncio.shield(feed.ready)
    except TimeoutError:
        feed.requests.breaker.hung()  # the feed is down until Redis answers
    await asyncio.shield(feed.master_read)
    return feed


async def _until_master_read() -> None:
    """Wait until the instrument master was read, or 30 s; in no thread that others need."""
    for _ in range(round(_MASTER_WAIT_S / _MASTER_PAUSE_S)):
        if index.wait(0):
            return
        await asyncio.sleep(_MASTER_PAUSE_S)
