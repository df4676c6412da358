"""The client: one connection with any number of subscriptions."""

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from decimal import Decimal
from types import TracebackType
from typing import Any, Generic, Literal, TypeVar, overload

from live_price.addresses import socket_url
from live_price.backoff import Backoff
from live_price.connector import Connector
from live_price.errors import (
    LOST,
    AuthenticationError,
    ConnectionLost,
    PriceError,
)
from live_price.handlers import Handlers
from live_price.reading import Reader, market_status
from live_price.registry import Registry, refusal_of
from live_price.routes import ChainRequest, Options, Route
from live_price.subscription import Subscription
from live_price.tokens import Token, TokenSource
from live_price.values import (
    Authenticated,
    Candle,
    ClientError,
    Conflated,
    Entitlements,
    Feed,
    FeedChange,
    Frame,
    MarketStatus,
    Mode,
    N,
    Reconnect,
    State,
    StateChange,
    Tick,
)

E = TypeVar("E")

logger = logging.getLogger("live_price")

_REQUEST_S = 10.0
# Changes of subscriptions within this time go into one message.
_GATHER_S = 0.05
_MAX_RETRY_S = 20.0
_MAX_EVENTS = 1000
_RENEW_AGAIN_S = 5.0
_RESUME_TRIES = 5
_IDS_OF_REQUESTS = 1 << 40  # apart from those of subscriptions


class PriceClient(Generic[N]):
    """Live prices over one WebSocket, which is opened at once, and again after each loss.

        async with PriceClient("ws://localhost:5000/live-price") as prices:
            async for tick in prices.subscribe(["RELIANCE", "NIFTY 50"]):
                print(tick.symbol, tick.price)

    Use it as a context manager, or call `connect` and `close`. After a loss it waits between
    `min_backoff_s` and `max_backoff_s`, longer each time and at random, connects, subscribes to
    everything again and resumes: the ticks that it missed come first, a `Recovered` event says how
    many. It stops when the server says not to come back, or refuses the token.

    Args:
        url: `ws://host:5000/live-price`; addresses with http, https or without a path work too.
        token: an access token or an API key, or a function that returns one, which may be async. It
            is called before each connection, and when the token is about to end: the open
            connection then gets the new one.
        exact: numbers are `Decimal` with the published digits, not `float`.
        silence_s: seconds without a frame after which the connection counts as lost. The client
            pings a quiet server, so symbols without prices lose no connection.
        buffer: prices and events that wait for the loop over a subscription, at most.
        options: for the connection, as `websockets.connect` takes them: `ssl`, `proxy`.
    """

    @overload
    def __init__(
        self: "PriceClient[float]",
        url: str,
        *,
        token: Token = None,
        exact: Literal[False] = False,
        silence_s: float = 30.0,
        min_backoff_s: float = 0.1,
        max_backoff_s: float = 20.0,
        buffer: int = 10_000,
        **options: Any,
    ) -> None: ...

    @overload
    def __init__(
        self: "PriceClient[Decimal]",
        url: str,
        *,
        token: Token = None,
        exact: Literal[True],
        silence_s: float = 30.0,
        min_backoff_s: float = 0.1,
        max_backoff_s: float = 20.0,
        buffer: int = 10_000,
        **options: Any,
    ) -> None: ...

    def __init__(
        self,
        url: str,
        *,
        token: Token = None,
        exact: bool = False,
        silence_s: float = 30.0,
        min_backoff_s: float = 0.1,
        max_backoff_s: float = 20.0,
        buffer: int = 10_000,
        **options: Any,
    ) -> None:
        self._reader: Reader[N] = Reader(exact=exact)
        self._registry: Registry[N] = Registry(self._reader)
        self._subscriptions: dict[Subscription[Any], None] = {}
        self._full: set[Subscription[Any]] = set()
        self._buffer = buffer
        self._handlers = Handlers()
        self._queues: dict[asyncio.Event, deque[Any]] = {}
        self._tokens = TokenSource(token)
        self._connector = Connector(
            socket_url(url),
            self,
            self._tokens,
            silence_s=silence_s,
            backoff=Backoff(min_backoff_s, max_backoff_s),
            options=options,
        )
        self._ids = itertools.count(_IDS_OF_REQUESTS)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._statuses: dict[int, list[MarketStatus]] = {}
        self._settings: dict[str, Any] = {}
        self._wanted = asyncio.Event()  # messages are to be sent
        self._arrived = asyncio.Event()  # open, or closed for good
        self._tasks: set[asyncio.Task[None]] = set()
        self._retry_s = 1.0
        self._retry: asyncio.TimerHandle | None = None
        self._error: PriceError | None = None
        self._is_started = False
        self._is_dropped = False  # frames that still come are of a connection that is given up
        self._resume_tries = 0
        self._feed: Feed | None = None
        self._clock_offset_ms: float | None = None
        self._latency_ms: float | None = None

    def __repr__(self) -> str:
        return f"<PriceClient {self._connector.shown_url} {self.state}>"

    # -- the connection ---------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """`connecting`, `open`, `waiting` for the next attempt, or `closed` for good."""
        return self._connector.state

    @property
    def feed(self) -> Feed | None:
        """The state of the server's feed; None before it was said."""
        return self._feed

    @property
    def clock_offset_ms(self) -> float | None:
        """The server's clock less ours, in milliseconds; None before the first `ping`."""
        return self._clock_offset_ms

    @property
    def latency_ms(self) -> float | None:
        """The last ping's round trip, in milliseconds; None before the first `ping`."""
        return self._latency_ms

    @property
    def last_frame_at(self) -> int | None:
        """When the last frame came, Unix milliseconds; None before the first."""
        return self._connector.last_frame_at

    def connect(self) -> None:
        """Connect at once instead of waiting.

        After `closed` too: subscriptions have ended then, and are to be made again.
        """
        self._is_started = True
        if self.state == "closed":
            self._error = None
            self._arrived.clear()
        self._connector.start()

    async def ready(self) -> None:
        """Return when the connection is open.

        Raises:
            PriceError: the client is closed for good.
        """
        await self._arrived.wait()
        if self._error is not None:
            raise self._error
        if self.state == "closed":
            raise ConnectionLost("closed by this client", 1000)

    async def close(self) -> None:
        """Close the connection for good, and end all subscriptions."""
        await self._connector.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> "PriceClient[N]":
        self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # -- events -----------------------------------------------------------------------------------

    def on(self, kind: type[E], handler: Callable[[E], object]) -> Callable[[], None]:
        """Let a handler be called with each event of a type; return a function that ends this.

        Types are StateChange, FeedChange, Conflated, Reconnect, ClientError, Authenticated,
        Entitlements, MarketStatus and Frame. Handlers are called in the client's event loop and
        must not block it. One that raises is logged.
        """
        return self._handlers.add(kind, handler)

    async def events(self) -> AsyncIterator[Any]:
        """Yield events of the client as they happen, frames left out; ends with the client.

        Of a loop that is too slow the oldest 1,000 events stay.
        """
        news = asyncio.Event()
        events = self._queues[news] = deque[Any](maxlen=_MAX_EVENTS)
        try:
            while True:
                while events:
                    yield events.popleft()
                if self.state == "closed":
                    return
                news.clear()
                await news.wait()
        finally:
            del self._queues[news]

    def _tell(self, event: object) -> None:
        self._handlers.call(event)
        for news, events in self._queues.items():
            events.append(event)
            news.set()

    # -- subscriptions ----------------------------------------------------------------------------

    @overload
    def subscribe(
        self,
        names: str | Iterable[str],
        *,
        candles: None = None,
        history: int = 0,
        mode: Mode | None = None,
        conflate: bool = True,
        resume: bool = True,
        segment: str = "",
        buffer: int | None = None,
    ) -> Subscription[Tick[N]]: ...

    @overload
    def subscribe(
        self,
        names: str | Iterable[str],
        *,
        candles: str,
        history: int = 0,
        mode: Mode | None = None,
        conflate: bool = True,
        resume: bool = True,
        segment: str = "",
        buffer: int | None = None,
    ) -> Subscription[Candle[N]]: ...

    def subscribe(
        self,
        names: str | Iterable[str],
        *,
        candles: str | None = None,
        history: int = 0,
        mode: Mode | None = None,
        conflate: bool = True,
        resume: bool = True,
        segment: str = "",
        buffer: int | None = None,
    ) -> Subscription[Any]:
        """Subscribe to prices, or to candles. Returns at once, also while not connected.

        Args:
            names: one name or many, in any form that the market uses.
            candles: candles of this interval (`1m`, `5m`, ...) instead of prices.
            history: how many past ticks or candles come first, at most 1,000.
            mode: the fields of each price; default `full`.
            conflate: False: every tick, none left out.
            resume: after a loss every missed tick comes; False: only the latest price.
            segment: restrict bare names to a segment.
            buffer: for this subscription; default: the client's.
        """
        if mode not in (None, "ltp", "quote", "full"):
            raise ValueError(f"mode must be ltp, quote or full, got {mode!r}")
        if not isinstance(history, int) or not 0 <= history <= 1000:
            raise ValueError(f"history must be from 0 to 1000, got {history!r:.75}")
        options = Options(mode, conflate, candles or "", history, resume, segment)
        return Subscription(self, _some(names), options, buffer=buffer or self._buffer)

    def subscribe_option_chain(
        self,
        underlying: str,
        *,
        expiry: str | None = None,
        segment: str = "",
        strikes_around: int | None = None,
        follow: bool = False,
        mode: Mode | None = None,
        buffer: int | None = None,
    ) -> Subscription[Tick[N]]:
        """Subscribe to the options of an underlying.

        Args:
            underlying: as the options' symbols begin, or the name of the index.
            expiry: `YYYY-MM-DD`; default: the nearest.
            strikes_around: strikes on each side of the money; default: all.
            follow: move along with the money; needs `strikes_around`.
        """
        chain = ChainRequest(underlying, expiry, segment, strikes_around, follow)
        options = Options(mode=mode)
        return Subscription(self, (), options, buffer=buffer or self._buffer, chain=chain)

    def added(self, subscription: Subscription[Any], routes: Iterable[Route]) -> None:
        if self._is_started and self.state == "closed":
            raise self._error or ConnectionLost("the client is closed", LOST)
        self._subscriptions[subscription] = None
        for route in routes:
            self._registry.add(route)
        self._wanted.set()

    def removed(self, subscription: Subscription[Any], routes: Iterable[Route]) -> None:
        if subscription.is_closed:
            self._subscriptions.pop(subscription, None)
        for route in list(routes):
            self._registry.drop(route)
        self._wanted.set()

    def buffer_changed(self, subscription: Subscription[Any]) -> None:
        if subscription.is_full:
            self._full.add(subscription)
            self._connector.readable.clear()
            return
        self._full.discard(subscription)
        if not self._full:
            self._connector.readable.set()

    # -- requests ---------------------------------------------------------------------------------

    async def request(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send an action, once connected, and return its answer.

        Raises:
            PriceError: the server's answer is an error; 408: there is none within 10 s.
        """
        return await self._request(next(self._ids), message)

    async def _request(self, id: int, message: dict[str, Any]) -> dict[str, Any]:
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(_REQUEST_S):
                await self.ready()
                self._answers[id] = future
                await self._connector.send({**message, "id": id})
                return await future
        except TimeoutError as error:
            raise PriceError("the server does not answer", 408) from error
        finally:
            self._answers.pop(id, None)

    async def configure(
        self,
        *,
        mode: Mode | None = None,
        interval_ms: int | None = None,
        batch: bool | None = None,
    ) -> None:
        """Set how the connection gets prices, on later connections too.

        Args:
            mode: the fields of each price.
            interval_ms: at most one price of a symbol in this time.
            batch: prices come together in arrays; for the loops nothing changes.
        """
        values = {"mode": mode, "interval_ms": interval_ms, "batch": batch}
        settings = {name: value for name, value in values.items() if value is not None}
        await self.request({"action": "configure", **settings})
        self._settings.update(settings)

    async def market_status(self, segment: str = "") -> list[MarketStatus]:
        """Return the status of a segment, or of each."""
        id = next(self._ids)
        found = self._statuses[id] = []
        message = {"action": "market_status", "segment": segment}
        try:
            first = asyncio.ensure_future(self._request(id, message))
            # Answers come in order: with the pong all frames of the status are here.
            await asyncio.gather(first, self.ping())
        finally:
            self._statuses.pop(id, None)
        return found

    async def ping(self) -> float:
        """Return the round trip to the server in milliseconds."""
        await self.ready()
        sent = time.time()
        begun = time.perf_counter()
        answer = await self.request({"action": "ping"})
        took_ms = (time.perf_counter() - begun) * 1000
        self._latency_ms = took_ms
        self._clock_offset_ms = answer["timestamp"] - (sent * 1000 + took_ms / 2)
        self._set_feed(answer.get("feed"))
        return took_ms

    async def authenticate(self, token: str) -> None:
        """Renew the token of the open connection, and use it for later ones."""
        await self.request({"action": "authenticate", "token": _bare(token)})
        self._tokens.replace(token)

    # -- what the connector says ------------------------------------------------------------------

    def opened(self) -> None:
        self._is_dropped = False
        self._arrived.set()
        self._start(self._send_messages())

    def ended(self, error: PriceError) -> None:
        if not self._is_dropped:
            self._resume_tries = 0
        self._arrived.clear()
        self._registry.lost()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        for task in self._tasks:
            task.cancel()
        lost = ConnectionLost(error.message, error.code)
        for future in self._answers.values():
            if not future.done():
                future.set_exception(lost)

    def changed(self, change: StateChange) -> None:
        if change.state == "closed":
            self._error = change.error
            self._arrived.set()
            for subscription in list(self._subscriptions):
                subscription.end(change.error)
            self._subscriptions.clear()
            self._registry = Registry(self._reader)
        self._tell(change)

    def failed(self, event: ClientError) -> None:
        logger.warning("%s", event.error)
        self._tell(event)

    def received(self, text: str | bytes) -> None:
        if self._is_dropped:
            return
        try:
            frame = self._reader.load(text)
            for one in frame if isinstance(frame, list) else (frame,):
                self._take(one)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.failed(ClientError(PriceError(f"a frame cannot be read: {error}", 400)))

    def _take(self, frame: dict[str, Any]) -> None:
        if "type" not in frame:
            self._registry.take_price(frame)
            return
        self._tell_frame(frame)
        if frame["type"] == "resumed" and self._resumes_later(frame):
            return
        if (
            frame["type"] == "error"
            and frame["code"] == 401
            and frame.get("id") not in self._answers
        ):
            # Of a subscription: it needs a token, and a handshake with one would have given it.
            self._connector.give_up(AuthenticationError(frame["message"], 401))
            return
        if self._registry.take(frame):
            if frame["type"] == "subscribed":
                self._set_feed(frame.get("feed"))
            self._plan_retry()
            self._wanted.set()
            return
        id, kind = frame.get("id"), frame["type"]
        if kind == "market_status":
            status = market_status(frame)
            if id is None:
                self._tell(status)
            else:
                self._statuses.get(id, []).append(status)
        if isinstance(id, int) and (future := self._answers.get(id)) is not None:
            if future.done():
                return
            if kind == "error":
                future.set_exception(refusal_of(frame))
            else:
                future.set_result(frame)
        elif kind == "error":
            self.failed(ClientError(refusal_of(frame)))
        if kind == "heartbeat":
            self._set_feed(frame["feed"])
        elif kind == "conflated":
            self._tell(Conflated(frame["skipped"]))
        elif kind == "reconnect":
            after_ms = max(0, int(frame["after_ms"]))
            self._connector.move(after_ms / 1000)
            self._tell(Reconnect(after_ms))
        elif kind == "authenticated":
            self._tell(
                Authenticated(
                    frame["user"],
                    frame.get("expires"),
                    tuple(frame["segments"]),
                    frame.get("delayed", {}),
                )
            )
        elif kind == "status":
            self._take_status(frame)

    def _resumes_later(self, frame: dict[str, Any]) -> bool:
        """Connect again if the server could not read the missed ticks just now; return whether.

        The position is still that of before, so that the next connection may bring them.
        """
        if not frame.get("retry") or self._resume_tries >= _RESUME_TRIES:
            return False
        self._resume_tries += 1
        self._is_dropped = True
        self._connector.drop()
        return True

    def _tell_frame(self, frame: dict[str, Any]) -> None:
        if self._handlers.has(Frame):
            self._handlers.call(Frame(frame))

    def _take_status(self, frame: dict[str, Any]) -> None:
        if frame["status"] == "token_expiring":
            self._start(self._renew())
        elif frame["status"] == "entitlements_changed":
            dropped = tuple(frame.get("dropped", ()))
            self._registry.dropped(dropped)
            self._registry.may_see_more()
            self._wanted.set()
            self._tell(Entitlements(tuple(frame["segments"]), dropped, frame.get("delayed", {})))

    def _set_feed(self, feed: Feed | None) -> None:
        if feed is not None and feed != self._feed:
            self._feed = feed
            self._tell(FeedChange(feed))

    # -- what the client sends by itself ----------------------------------------------------------

    def _start(self, work: Any) -> None:
        """Do something as long as the connection lasts."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_messages(self) -> None:
        """Send what subscriptions need, now and whenever they change."""
        try:
            if self._settings:
                await self._connector.send({"action": "configure", **self._settings})
            while True:
                self._wanted.clear()
                for message in list(self._registry.messages()):
                    await self._connector.send(message)
                await self._wanted.wait()
                await asyncio.sleep(_GATHER_S)
        except ConnectionLost:
            pass  # the connector notices it too

    def _plan_retry(self) -> None:
        """Ask again later for what was refused for now."""
        if not self._registry.wants_retry:
            self._retry_s = 1.0
        elif self._retry is None:
            loop = asyncio.get_running_loop()
            self._retry = loop.call_later(self._retry_s, self._ask_again)
            self._retry_s = min(2 * self._retry_s, _MAX_RETRY_S)

    def _ask_again(self) -> None:
        self._retry = None
        self._registry.retry()
        self._wanted.set()

    async def _renew(self) -> None:
        """Give the open connection a new token."""
        used = self._tokens.current
        if not self._tokens.can_renew:
            message = "the token ends soon: pass a function as token, or call authenticate()"
            self.failed(ClientError(AuthenticationError(message, 4401)))
            return
        while True:
            try:
                token = await self._tokens.get()
                if token and token != used:
                    await self.request({"action": "authenticate", "token": _bare(token)})
                    return
                problem = "the token function still returns the token that ends"
            except ConnectionLost:
                return
            except Exception as error:
                self._tokens.current = used
                problem = f"{type(error).__name__}: {error}"
            self.failed(ClientError(AuthenticationError(f"not renewed: {problem}", 4401)))
            await asyncio.sleep(_RENEW_AGAIN_S)


def _bare(token: str) -> str:
    """Return a token without the scheme of a header."""
    scheme, _, rest = token.partition(" ")
    return rest if rest and scheme.lower() in ("bearer", "api-key") else token


def _some(names: str | Iterable[str]) -> list[str]:
    """Return the names of a subscription; raise ValueError if there are none."""
    found = [names] if isinstance(names, str) else list(names)
    if not found:
        raise ValueError("subscribe needs a symbol")
    return found
