"""A subscription, as its reader sees it: a loop over prices, events and what is subscribed."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from live_price.buffer import Buffer
from live_price.errors import PriceError, SymbolError
from live_price.handlers import Handlers
from live_price.routes import ChainRequest, Options, Route, RouteState
from live_price.values import Candle, Conflated, History, Tick

T = TypeVar("T", covariant=True)
E = TypeVar("E")

logger = logging.getLogger("live_price")

_PRICES = (Tick, Candle)
_MAX_WARNINGS = 10  # of one subscription in the log


class Owner(Protocol):
    """The client, as far as its subscriptions are concerned."""

    def added(self, subscription: "Subscription[Any]", routes: Iterable[Route]) -> None: ...

    def removed(self, subscription: "Subscription[Any]", routes: Iterable[Route]) -> None: ...

    def buffer_changed(self, subscription: "Subscription[Any]") -> None:
        """Take note that a buffer is full, or is not any more."""


class Subscription(Generic[T]):
    """Some symbols on a client's connection; it survives every loss of the connection.

    A loop over it yields the past that was asked for, the latest prices and then every newer one:

        async for tick in subscription:
            print(tick.symbol, tick.price)

    Prices wait in a buffer of bounded size until the loop takes them. If the loop is too slow and
    the buffer is full, only the newest price of each symbol stays there, and a `Conflated` event
    says how many were left out. With `conflate=False` nothing is left out: the client stops reading
    its connection, for all of its subscriptions, until half of the buffer is free. A server whose
    frames are not read for 10 s closes the connection; the client then resumes.

    If the server refuses every symbol, the loop raises SymbolError. When the client is closed for
    good it raises the reason, and it ends if the subscription or the client was closed on purpose.
    """

    def __init__(
        self,
        owner: Owner,
        names: Iterable[str],
        options: Options,
        *,
        buffer: int,
        chain: ChainRequest | None = None,
    ) -> None:
        self._owner = owner
        self._options = options
        self._routes: dict[str, Route] = {}
        self._chain = chain
        self._buffer: Buffer[Any] = Buffer(buffer, conflates=options.conflate)
        self._handlers = Handlers()
        self._news = asyncio.Event()
        self._settled = asyncio.Event()
        self._readers = 0
        self._is_looped = False
        self._past: deque[Any] = deque()
        self._ended = False
        self._refusals = 0
        self._error: PriceError | None = None
        self.is_full = False
        if chain is not None:
            self._routes[chain.underlying] = Route(self, chain.underlying, options, chain=chain)
            owner.added(self, self._routes.values())
        else:
            self.add(names)

    def __repr__(self) -> str:
        return f"<Subscription {', '.join(self._routes)[:75]}>"

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, here or with its client."""
        return self._ended

    # -- what is subscribed -----------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """The names as they were subscribed; of an option chain the instrument keys."""
        if self._chain is not None:
            return sorted(one.key for route in self._routes.values() for one in route.streams)
        return list(self._routes)

    @property
    def rejected(self) -> dict[str, SymbolError]:
        """The names that the server refuses, and why. They are tried again on each connection."""
        return {name: one.error for name, one in self._routes.items() if one.error is not None}

    def add(self, names: str | Iterable[str]) -> None:
        """Subscribe to more names; those that it has already stay as they are."""
        if self._chain is not None:
            raise ValueError("names cannot be added to an option chain")
        if self._ended:
            raise RuntimeError("the subscription is closed")
        new = [one for one in names_of(names) if one not in self._routes]
        routes = {name: Route(self, name, self._options) for name in new}
        self._routes.update(routes)
        if routes:
            self._settled.clear()
            self._owner.added(self, routes.values())

    def remove(self, names: str | Iterable[str]) -> None:
        """Unsubscribe from names; those that it does not have are passed over."""
        if self._chain is not None:
            raise ValueError("names cannot be removed from an option chain")
        found = [self._routes.pop(one) for one in names_of(names) if one in self._routes]
        if found:
            self._owner.removed(self, found)
            self.settle()

    async def ready(self) -> None:
        """Return when the server has answered for every name.

        Raises:
            SymbolError: every name is refused; `rejected` has all reasons.
            PriceError: the client is closed for good.
        """
        await self._settled.wait()
        if self._error is not None:
            raise self._error
        if (error := self._refusal()) is not None:
            raise error

    def close(self) -> None:
        """Unsubscribe everything; loops end once they have what is in the buffer."""
        if not self._ended:
            self._end(None)
            self._owner.removed(self, self._routes.values())

    async def __aenter__(self) -> "Subscription[T]":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- events and prices ------------------------------------------------------------------------

    def on(self, kind: type[E], handler: Callable[[E], object]) -> Callable[[], None]:
        """Let a handler be called with each event of a type; return a function that ends this.

        Types are Tick, Candle, History, Subscribed, SymbolError, Recovered, ChainMoved and
        Conflated. Handlers are called in the client's event loop and must not block it. A
        subscription with a handler of prices keeps none for a loop, unless one runs.
        """
        return self._handlers.add(kind, handler)

    async def __aiter__(self) -> AsyncIterator[T]:
        # Kept here and not in the loop: after a `break`, the next loop goes on with the rest.
        while True:
            while self._past:
                yield self._past.popleft()
            try:
                event = await self._next()
            except StopAsyncIteration:
                return
            if isinstance(event, _PRICES):
                yield event  # type: ignore[misc]
            elif isinstance(event, History):
                self._past.extend((*event.ticks, *event.candles))

    async def events(self) -> AsyncIterator[Any]:
        """Yield prices and events in the order in which they came."""
        while True:
            try:
                event = await self._next()
            except StopAsyncIteration:
                return
            yield event

    async def _next(self) -> Any:
        """Wait for the next price or event, and take it; raise StopAsyncIteration at the end."""
        self._readers += 1
        self._is_looped = True
        try:
            while not len(self._buffer):
                if self._error is not None:
                    raise self._error
                if self._ended:
                    raise StopAsyncIteration
                if self._settled.is_set() and (error := self._refusal()) is not None:
                    raise error
                self._news.clear()
                await self._news.wait()
        finally:
            self._readers -= 1
        if skipped := self._buffer.take_skipped():
            return Conflated(skipped, by="client")
        event = self._buffer.take()
        if self.is_full:
            self._check_room()
        return event

    async def take(self, most: int = 1000) -> list[Any]:
        """Wait for prices and events; return those that are there, the oldest first.

        Args:
            most: the most to return.

        Raises:
            StopAsyncIteration: the subscription is closed, and everything was taken.
        """
        found = [await self._next()]
        while len(self._buffer) and len(found) < most:
            found.append(await self._next())
        return found

    def _refusal(self) -> SymbolError | None:
        """Return a reason if every name is refused."""
        routes = self._routes.values()
        if routes and all(one.state is RouteState.REJECTED for one in routes):
            return next(one.error for one in routes)
        return None

    # -- from the client --------------------------------------------------------------------------

    def put(self, label: object, event: Any) -> None:
        """Take an event of the connection."""
        if self._ended:
            return
        if isinstance(event, SymbolError):
            self._refusals += 1
            level = logging.WARNING if self._refusals <= _MAX_WARNINGS else logging.DEBUG
            logger.log(level, "%s", event)
        self._handlers.call(event)
        if self._is_looped or self._readers or not self._handlers.has(*_PRICES):
            before = self._buffer.skipped
            self._buffer.put(label, event)
            if self._buffer.skipped > before:
                self._handlers.call(Conflated(self._buffer.skipped - before, by="client"))
            self._news.set()
            self._check_room()

    def _check_room(self) -> None:
        is_full = self._buffer.is_full or (self.is_full and not self._buffer.has_room)
        if is_full is not self.is_full:
            self.is_full = is_full
            self._owner.buffer_changed(self)

    def settle(self) -> None:
        """Take note that the server has answered for some names."""
        waiting = (RouteState.NEW, RouteState.SENT)
        if not any(one.state in waiting for one in self._routes.values()):
            self._settled.set()
            self._news.set()

    def end(self, error: PriceError | None) -> None:
        """End with the client."""
        if not self._ended:
            self._end(error)

    def _end(self, error: PriceError | None) -> None:
        self._ended, self._error = True, error
        if self.is_full:
            self.is_full = False
            self._owner.buffer_changed(self)
        self._settled.set()
        self._news.set()


def names_of(names: str | Iterable[str]) -> list[str]:
    """Return one name or many as a list, each once; raise TypeError or ValueError."""
    found = [names] if isinstance(names, str) else list(names)
    for one in found:
        if not isinstance(one, str):
            raise TypeError(f"a symbol must be text, got {one!r:.75}")
        if not one or len(one) > 200:
            raise ValueError(f"a symbol must have 1 to 200 characters, got {one!r:.75}")
    return list(dict.fromkeys(found))
