"""The same clients without asyncio.

    from live_price.sync import PriceClient

    with PriceClient("ws://localhost:5000/live-price") as prices:
        for tick in prices.subscribe(["RELIANCE"]):
            print(tick.symbol, tick.price)

The connection lives in a thread of its own. Everything may be used from any thread.
"""

import asyncio
import concurrent.futures
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from decimal import Decimal
from types import TracebackType
from typing import Any, Generic, Literal, TypeVar, overload

from live_price import client as asynchronous
from live_price import rest as asynchronous_rest
from live_price import subscription as asynchronous_subscription
from live_price.errors import ConnectionLost, SymbolError
from live_price.history_pages import LatestPrices, Time
from live_price.rows import Rows
from live_price.tokens import Token
from live_price.values import Candle, Feed, History, MarketStatus, Mode, N, State, Tick

T = TypeVar("T")
R = TypeVar("R")
E = TypeVar("E")

_PRICES = (Tick, Candle)
_END_S = 1.0
_JOIN_S = 10.0


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._is_stopping = False
        self.thread = threading.Thread(target=self._run, name="live-price", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            # Threads that wait for something get their answer: it is over.
            if waiting := asyncio.all_tasks(self.loop):
                self.loop.run_until_complete(asyncio.wait(waiting, timeout=_END_S))
            for task in (left := asyncio.all_tasks(self.loop)):
                task.cancel()
            if left:
                self.loop.run_until_complete(asyncio.wait(left, timeout=_END_S))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()

    def run(self, work: Coroutine[Any, Any, R], timeout_s: float | None = None) -> R:
        """Return what work in the loop returns.

        Raises:
            TimeoutError: it takes too long.
            _Stopped: the loop has ended, or is about to.
        """
        self._check_thread(work)
        with self._lock:
            if self._is_stopping:
                work.close()
                raise _Stopped
            future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result(timeout_s)
        except BaseException:
            # Also Ctrl-C: nothing goes on behind the caller's back.
            future.cancel()
            raise

    def _check_thread(self, work: Coroutine[Any, Any, Any]) -> None:
        if threading.current_thread() is self.thread:
            work.close()
            raise RuntimeError("a handler cannot wait for the client: use another thread")

    def call(self, function: Callable[[], R]) -> R:
        """Return what a function returns that is called in the loop."""
        if threading.current_thread() is self.thread:
            return function()

        async def work() -> R:
            return function()

        return self.run(work())

    def stop(self, last: Coroutine[Any, Any, None]) -> None:
        """Do the last work and end the thread; what waits in other threads ends then."""
        self._check_thread(last)
        with self._lock:
            is_first, self._is_stopping = not self._is_stopping, True
        if is_first:
            asyncio.run_coroutine_threadsafe(last, self.loop).result()
            self.loop.call_soon_threadsafe(self.loop.stop)
        else:
            last.close()
        self.thread.join(_JOIN_S)


async def _nothing() -> None:
    pass


class _Stopped(RuntimeError):
    """The client is closed."""

    def __init__(self) -> None:
        super().__init__("the client is closed")


class _Closed(ConnectionLost):
    """The subscription is closed, and everything was taken."""

    def __init__(self) -> None:
        super().__init__("the subscription is closed", 1000)


class Subscription(Generic[T]):
    """Some symbols on a client's connection: see `live_price.Subscription`.

    A loop over it yields prices and waits for the next one. `close`, here or of the client, in any
    thread, ends it.
    """

    def __init__(
        self, loop: _Loop, make: Callable[[], asynchronous_subscription.Subscription[Any]]
    ) -> None:
        self._loop = loop
        self._inner = loop.call(make)
        self._taken: deque[Any] = deque()

    @property
    def names(self) -> list[str]:
        """The names as they were subscribed; of an option chain the instrument keys."""
        return self._loop.call(lambda: self._inner.names)

    @property
    def rejected(self) -> dict[str, SymbolError]:
        """The names that the server refuses, and why."""
        return self._loop.call(lambda: self._inner.rejected)

    def add(self, names: str | Iterable[str]) -> None:
        """Subscribe to more names."""
        self._loop.call(lambda: self._inner.add(names))

    def remove(self, names: str | Iterable[str]) -> None:
        """Unsubscribe from names."""
        self._loop.call(lambda: self._inner.remove(names))

    def ready(self, timeout_s: float | None = None) -> None:
        """Return when the server has answered for every name."""
        self._loop.run(self._inner.ready(), timeout_s)

    def close(self) -> None:
        """Unsubscribe everything; loops end."""
        self._taken.clear()
        with contextlib.suppress(_Stopped):
            self._loop.call(self._inner.close)

    def on(self, kind: type[E], handler: Callable[[E], object]) -> Callable[[], None]:
        """Let a handler be called, in the client's thread, with each event of a type."""
        return self._loop.call(lambda: self._inner.on(kind, handler))

    def __iter__(self) -> Iterator[T]:
        while True:
            try:
                price = self.get()
            except _Closed:
                return
            yield price

    def get(self, timeout_s: float | None = None) -> T:
        """Return the next price.

        Raises:
            TimeoutError: none came within the time.
            ConnectionLost: the subscription or its client is closed.
        """
        while True:
            event = self._next(timeout_s)
            if isinstance(event, _PRICES):
                return event  # type: ignore[return-value]
            if isinstance(event, History):
                self._taken.extendleft(reversed((*event.ticks, *event.candles)))

    def events(self, timeout_s: float | None = None) -> Iterator[Any]:
        """Yield prices and events in the order in which they came."""
        while True:
            try:
                event = self._next(timeout_s)
            except _Closed:
                return
            yield event

    def _next(self, timeout_s: float | None) -> Any:
        while True:
            try:
                return self._taken.popleft()
            except IndexError:
                pass
            try:
                self._loop.run(self._take(), timeout_s)
            except (StopAsyncIteration, concurrent.futures.CancelledError, _Stopped):
                raise _Closed from None

    async def _take(self) -> None:
        """Take many at a time, since each time costs a switch of threads and back."""
        # Here and not in the caller's thread: one that has just waited long enough loses nothing.
        self._taken.extend(await self._inner.take())

    def __enter__(self) -> "Subscription[T]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class PriceClient(Generic[N]):
    """Live prices over one WebSocket: see `live_price.PriceClient`.

    Use it as a context manager, or call `connect` and `close`.
    """

    @overload
    def __init__(
        self: "PriceClient[float]",
        url: str,
        *,
        token: Token = None,
        exact: Literal[False] = False,
        **options: Any,
    ) -> None: ...

    @overload
    def __init__(
        self: "PriceClient[Decimal]",
        url: str,
        *,
        token: Token = None,
        exact: Literal[True],
        **options: Any,
    ) -> None: ...

    def __init__(
        self, url: str, *, token: Token = None, exact: bool = False, **options: Any
    ) -> None:
        self._loop = _Loop()

        def make() -> asynchronous.PriceClient[N]:
            return asynchronous.PriceClient(  # type: ignore[call-overload, no-any-return]
                url, token=token, exact=exact, **options
            )

        try:
            self._inner = self._loop.call(make)
        except BaseException:
            self._loop.stop(_nothing())
            raise

    @property
    def state(self) -> State:
        """`connecting`, `open`, `waiting` for the next attempt, or `closed` for good."""
        return self._inner.state

    @property
    def feed(self) -> Feed | None:
        """The state of the server's feed; None before it was said."""
        return self._inner.feed

    @property
    def latency_ms(self) -> float | None:
        """The last ping's round trip, in milliseconds."""
        return self._inner.latency_ms

    @property
    def clock_offset_ms(self) -> float | None:
        """The server's clock less ours, in milliseconds."""
        return self._inner.clock_offset_ms

    @property
    def last_frame_at(self) -> int | None:
        """When the last frame came, Unix milliseconds."""
        return self._inner.last_frame_at

    def connect(self) -> None:
        """Connect at once instead of waiting."""
        self._loop.call(self._inner.connect)

    def ready(self, timeout_s: float | None = None) -> None:
        """Return when the connection is open."""
        self._loop.run(self._inner.ready(), timeout_s)

    def close(self) -> None:
        """Close the connection, end all loops over subscriptions, and end the thread."""
        self._loop.stop(self._inner.close())

    def on(self, kind: type[E], handler: Callable[[E], object]) -> Callable[[], None]:
        """Let a handler be called, in the client's thread, with each event of a type."""
        return self._loop.call(lambda: self._inner.on(kind, handler))

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
        self, names: str | Iterable[str], *, candles: str | None = None, **options: Any
    ) -> Subscription[Any]:
        """Subscribe to prices, or to candles: see `live_price.PriceClient.subscribe`."""
        inner: Any = self._inner
        return Subscription(self._loop, lambda: inner.subscribe(names, candles=candles, **options))

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
        """Subscribe to the options of an underlying."""
        return Subscription(
            self._loop,
            lambda: self._inner.subscribe_option_chain(
                underlying,
                expiry=expiry,
                segment=segment,
                strikes_around=strikes_around,
                follow=follow,
                mode=mode,
                buffer=buffer,
            ),
        )

    def request(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send an action and return its answer."""
        return self._loop.run(self._inner.request(message))

    def configure(
        self,
        *,
        mode: Mode | None = None,
        interval_ms: int | None = None,
        batch: bool | None = None,
    ) -> None:
        """Set how the connection gets prices."""
        self._loop.run(self._inner.configure(mode=mode, interval_ms=interval_ms, batch=batch))

    def market_status(self, segment: str = "") -> list[MarketStatus]:
        """Return the status of a segment, or of each."""
        return self._loop.run(self._inner.market_status(segment))

    def ping(self) -> float:
        """Return the round trip to the server in milliseconds."""
        return self._loop.run(self._inner.ping())

    def authenticate(self, token: str) -> None:
        """Renew the token of the open connection, and use it for later ones."""
        self._loop.run(self._inner.authenticate(token))

    def __enter__(self) -> "PriceClient[N]":
        self.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class RestClient(Generic[N]):
    """Latest prices, instruments and history over HTTP: see `live_price.RestClient`."""

    @overload
    def __init__(
        self: "RestClient[float]",
        url: str,
        *,
        token: Token = None,
        exact: Literal[False] = False,
        timeout_s: float = 30.0,
    ) -> None: ...

    @overload
    def __init__(
        self: "RestClient[Decimal]",
        url: str,
        *,
        token: Token = None,
        exact: Literal[True],
        timeout_s: float = 30.0,
    ) -> None: ...

    def __init__(
        self, url: str, *, token: Token = None, exact: bool = False, timeout_s: float = 30.0
    ) -> None:
        self._inner: asynchronous_rest.RestClient[N] = asynchronous_rest.RestClient(
            url,
            token=token,
            exact=exact,  # type: ignore[call-overload]
            timeout_s=timeout_s,
        )

    def get(self, path: str, **parameters: str | int | None) -> Any:
        """Return the JSON of any address below `/api/`."""
        return _run(self._inner.get(path, **parameters))

    def prices(self, symbols: str | Iterable[str]) -> LatestPrices[N]:
        """Return the latest prices of up to 1,000 symbols."""
        return _run(self._inner.prices(symbols))

    def instruments(self, **parameters: str | int | None) -> Rows[dict[str, Any]]:
        """Return all instruments that match."""
        return _run(self._inner.instruments(**parameters))

    def option_chain(
        self, underlying: str, *, expiry: str | None = None, segment: str | None = None
    ) -> dict[str, Any]:
        """Return the options of an underlying by strike, with latest prices."""
        return _run(self._inner.option_chain(underlying, expiry=expiry, segment=segment))

    def candles(
        self, symbol: str, *, interval: str, since: Time | None = None, until: Time | None = None
    ) -> Rows[Candle[N]]:
        """Return all candles that start in a range, page after page; default: today."""
        return _run(self._inner.candles(symbol, interval=interval, since=since, until=until))

    def ticks(
        self, symbol: str, *, since: Time | None = None, until: Time | None = None
    ) -> Rows[Tick[N]]:
        """Return all ticks of a range, page after page."""
        return _run(self._inner.ticks(symbol, since=since, until=until))

    def market_status(self) -> list[MarketStatus]:
        """Return the status of each segment."""
        return _run(self._inner.market_status())

    def login(self, username: str, password: str) -> dict[str, str]:
        """Return an access and a refresh token."""
        return _run(self._inner.login(username, password))


def _run(work: Coroutine[Any, Any, R]) -> R:
    """Run work to its end; in a thread where this one has a loop already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
