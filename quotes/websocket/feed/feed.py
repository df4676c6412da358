"""The feed of one web process: what its sessions share, and the tasks that serve all of them.

One per event loop. Each task does one thing, so that a failure of one holds up no other.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, Protocol
from weakref import WeakKeyDictionary

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
from quotes.runtime.time_slices import TimeSlices
from quotes.store.clients import async_client
from quotes.store.connection_reports import ConnectionRow
from quotes.store.group_names import price_group
from quotes.store.redis_clock import redis_clock
from quotes.store.request_clients import RequestRedis
from quotes.websocket.delivery.flush_scheduler import FlushScheduler
from quotes.websocket.delivery.isolation import end_failed, end_failed_receiver
from quotes.websocket.delivery.price_message import PriceMessage
from quotes.websocket.feed.bridge_watch import BridgeWatch, FeedState
from quotes.websocket.feed.chain_prices import ChainPrices
from quotes.websocket.feed.client_totals import ClientHoldings, ClientTotals
from quotes.websocket.feed.connection_reports import ConnectionReports, Totals
from quotes.websocket.feed.day_reader import DayReader
from quotes.websocket.feed.delayed import DelayedReaders
from quotes.websocket.feed.delivered import TickDecoder
from quotes.websocket.feed.latest_prices import LatestPrices
from quotes.websocket.feed.market_status import MarketStatusWatch
from quotes.websocket.feed.missed_candles import WantedCandles, send_missed_candles
from quotes.websocket.feed.named_instruments import NamedInstruments
from quotes.websocket.feed.recent_ticks import RecentTicks
from quotes.websocket.feed.stream_history import StreamHistory
from quotes.websocket.protocol import ControlFrame, frame
from quotes.websocket.token_bucket import TokenBucket
from quotes.websocket.transports.draining import current_drain

logger = logging.getLogger(__name__)

_WATCH_INTERVAL_S = 0.25
_MASTER_WAIT_S = 30.0
_MASTER_PAUSE_S = 0.02
_REFRESH_PAUSE_S = 0.25  # before missed prices are read once more
# Sessions that begin to follow the master in one turn of the event loop, and how long a round waits
# for all of them; those that take longer go on by themselves.
_FOLLOWERS = 50
_FOLLOW_TIMEOUT_S = 5.0
# Clients that must have ended before their garbage is collected, and the pause between checks.
_MANY_ENDED = 100
_COLLECT_INTERVAL_S = 5.0
# Requests for many instruments that are carried out at once; others wait, the oldest first. Each
# holds ticks and frames for its client meanwhile.
_LARGE_REQUESTS = 4
# Requests a second of which unknown names get suggestions, some milliseconds each.
_SUGGESTED_PER_S = 10


Resolve = Callable[..., InstrumentKey]


class FeedListener(Protocol):
    """A client's session, as far as the feed is concerned. Only `follow_master` waits.

    One whose call raises is ended by `fail`; the others are called all the same.
    """

    @property
    def is_patient(self) -> bool:
        """Whether prices may come some milliseconds later; never raises."""

    def feed_changed(self) -> None:
        """Send that the feed went down, or is back."""

    @property
    def written_bytes(self) -> int:
        """How many bytes were written to the client, as far as its transport counts them."""

    def price_numbered(self, message: PriceMessage) -> None:
        """Take a numbered tick whose price was shown before; others are not sent it again."""

    def market_changed(self, statuses: list[dict[str, Any]]) -> None:
        """Send these values of `market_status` frames."""

    def check_deadlines(self, now: float) -> None:
        """Do what is due at this loop time; called four times a second."""

    def wanted_candles(self) -> WantedCandles:
        """Return the candles that the client is subscribed to."""

    def report(self) -> ConnectionRow:
        """Return what operators see of the connection."""

    @property
    def held(self) -> ClientHoldings:
        """What the client has now."""

    def is_subscribed_to(self, field: str) -> bool:
        """Return whether the client gets prices or candles of an instrument."""

    def close_by_operator(self) -> None:
        """Close the connection; the client may come back."""

    async def follow_master(self, resolve: "Resolve") -> None:
        """Follow names that mean another instrument since the master changed."""

    def announce_restart(self, after_ms: int) -> None:
        """Tell the client to connect again after this time."""

    def close_for_restart(self) -> None:
        """Send what is due, and close; may be called when the client is gone."""

    def fail(self, error: Exception) -> None:
        """End the client because of an error; may be called twice."""


def _check_deadlines(listener: FeedListener, now: float) -> None:
    listener.check_deadlines(now)


def _send_market_changes(listener: FeedListener, changed: list[dict[str, Any]]) -> None:
    listener.market_changed(changed)


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
        client_messages: how many messages clients have sent.
        ended_bytes: how many bytes were written to clients that are no more.
        instruments: finds the instruments that clients name.
        large_requests: held by requests for many instruments while they are carried out.
        bridges: the watch over the bridges.
        latest: reads the latest prices.
        master_read: done once the instrument master was read, or could not be.
        slices: of the event loop's time, for long work.
        chain_prices: has sessions follow the money of their option chains.
        client_totals: sums over all clients, for metrics.
        suggestion_budget: how many requests get suggestions for unknown names.
    """

    def __init__(self) -> None:
        self.layer: Layer = adapted(get_channel_layer())
        self._decoder = TickDecoder()
        self.layer.decode_with(self._decoder)
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
        self.client_messages = 0
        self.ended_bytes = 0
        self._closed = False
        self._refreshing: asyncio.Task[None] | None = None
        self._tasks = BackgroundTasks(logger)
        self._master_changed = asyncio.Event()
        self.markets = MarketStatusWatch()
        self.chain_prices = ChainPrices(self.client, self._tasks, self._end_failed)
        self._day_reader = DayReader(self.client, self.layer)
        self.history = StreamHistory(RecentTicks(self.requests))
        # Until the master is read, a name could mean another stream than afterwards.
        self.master_read = self._tasks.complete(
            "waiting for the instrument master", _until_master_read
        )
        self.latest = LatestPrices(
            self.layer, self.client, self.requests, self._tasks, on_numbered=self._price_numbered
        )
        self.bridges = BridgeWatch(
            self.client,
            self.requests,
            on_change=self._feed_changed,
            on_new_session=self.refresh,
        )
        self.client_totals = ClientTotals(
            lambda: self.listeners,
            lambda: self.ended_bytes,
            lambda: len(self.layer.local_topic_groups()),
            slices=self.slices,
        )
        reports = ConnectionReports(
            process=self.access_service.counts.process,
            clients=lambda: self.listeners,
            totals=self._totals,
            failed_clients=lambda: self.failed_clients,
            layer=self.layer,
            slices=self.slices,
            tasks=self._tasks,
        )
        for name, work in (
            ("listening to operators", reports.run),
            ("checking clients' deadlines", self._check_clients),
            ("reading the days of instruments", self._read_days),
            ("reading the prices of underlyings", self.chain_prices.keep_reading),
            ("watching market hours", self._watch_markets),
            ("collecting garbage", self._collect_garbage),
            ("moving clients to renamed instruments", self._follow_master),
        ):
            self._tasks.keep(name, work)
        if conf.has_metrics:
            self._tasks.keep("adding up what clients have", self.client_totals.keep_counting)
        self._tasks.keep("watching the bridges", self.bridges.run, is_vital=True)
        self.layer.on_reconnect(self.refresh)
        self.layer.on_failure(end_failed_receiver)
        current_drain().clients = lambda: self.listeners

    @property
    def state(self) -> FeedState:
        """Whether prices flow."""
        return self.bridges.state

    @property
    def last_tick(self) -> int | None:
        """When the newest tick came to a bridge, Unix milliseconds of Redis's clock, if one did."""
        return self.bridges.last_tick

    async def ready(self) -> None:
        """Return once the state of the feed is known."""
        await asyncio.shield(self.bridges.ready)

    async def close(self) -> None:
        """End the tasks and the connections."""
        self._closed = True
        self.bridges.stop()
        await self._tasks.close()
        await self.history.close()
        await self.delayed.close()
        await self.access_service.close()
        await self.requests.aclose()
        await self.client.aclose()

    async def read_days(self, keys: Sequence[str]) -> None:
        """Read the days of instruments, where they are not here and Redis answers."""
        await self._day_reader.read_missing(keys, self.requests)

    def heartbeat(self) -> ControlFrame:
        """Return a heartbeat frame."""
        return frame(
            "heartbeat",
            timestamp=redis_clock.now_ms(),
            feed=self.state.value,
            last_tick=self.last_tick,
        )

    @property
    def prices_received(self) -> int:
        """How many ticks came from bridges since the start."""
        return self._decoder.decoded

    def _totals(self) -> Totals:
        """Return the counters of this process."""
        return Totals(self._decoder.decoded, self.client_messages, self.ended_bytes)

    # -- its tasks ------------------------------------------------------------------------------

    async def _check_clients(self) -> None:
        """Check the sessions' deadlines, and how soon they need prices, four times a second."""
        loop = asyncio.get_running_loop()
        while not self._closed:
            self._tell(partial(_check_deadlines, now=loop.time()))
            self.layer.set_patient(all(one.is_patient for one in self.listeners))
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

    def _feed_changed(self) -> None:
        self._tell(lambda listener: listener.feed_changed())

    def _price_numbered(self, message: PriceMessage) -> None:
        self._tell(lambda listener: listener.price_numbered(message))

    def _end_failed(self, listener: Any, error: Exception) -> None:
        self.listeners.discard(listener)
        self.chain_prices.followers.discard(listener)
        end_failed(listener, error)

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
        resolve = lru_cache(maxsize=None)(self._resolve)  # many clients use the same names
        tasks = []
        for at, listener in enumerate(list(self.listeners), 1):
            follow = partial(self._let_follow, listener, resolve)
            tasks.append(self._tasks.attempt("moving a client to renamed instruments", follow))
            if not at % _FOLLOWERS:
                await asyncio.sleep(0)
        if tasks:
            await asyncio.wait(tasks, timeout=_FOLLOW_TIMEOUT_S)

    def _resolve(self, name: str, *, segment: str = "") -> InstrumentKey:
        """Return the instrument that a subscribed name means now; see `index.resolve`.

        A name of which no price came, and that differs from one of the master only in case, is that
        one, as it is for a client that subscribes now.
        """
        key = index.resolve(name, segment=segment)
        if index.describe(key) is None and self.layer.newest_message(price_group(key)) is None:
            found = index.spellings(name, segment=segment)
            if len(found) == 1:
                return found[0]
        return key

    async def _let_follow(self, listener: FeedListener, resolve: Resolve) -> None:
        try:
            await listener.follow_master(resolve)
        except Exception as error:
            self._end_failed(listener, error)

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
                await self.latest.read_missed()
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
            await feed.ready()
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
