"""Intervals: prices gathered once for all clients that get them at the same interval.

A client whose subscriptions have not changed for a moment costs nothing per tick: its prices go to
the interval, and when that is over the client is sent those of its own instruments that changed.
While its subscriptions change, and while it is slow, its outbox takes its prices itself
(`outbox.py`). Everything here belongs to one event loop.
"""

from collections.abc import Callable, Iterable, KeysView
from math import inf
from typing import Any, Protocol

from quotes.layer.groups import Receiver
from quotes.layer.lanes import Message
from quotes.websocket.delivery.isolation import end_failed

# A client's prices go to the interval once its subscriptions have not changed for this long: each
# switch to and fro costs a step per instrument.
SETTLED_S = 1.0


class ScheduledOutbox(Protocol):
    """An outbox, as far as flushes and intervals are concerned. Nothing here blocks.

    An outbox whose call raises is ended by `fail`; the others get what is due to them.
    """

    def flush(self) -> None:
        """Write what is due."""

    def interval_over(self) -> None:
        """Write what the interval has gathered of the client's instruments."""

    def fail(self, error: Exception) -> None:
        """End the client because of an error; may be called twice."""


class _Products(dict[str, Any]):
    """The products of an interval's messages, made on first demand: instrument key -> product."""

    def __init__(self, changed: dict[str, Message], make: Callable[[Message], Any]) -> None:
        self._changed = changed
        self._make = make

    def __missing__(self, key: str) -> Any:
        product = self[key] = self._make(self._changed[key])
        return product


class PriceInterval:
    """The outboxes of one event loop with the same interval, and the newest prices since the last.

    At most once, newest wins: of each instrument only the last price of an interval is kept.

    Attributes:
        members: the outboxes that are called when it is over.
    """

    def __init__(self) -> None:
        self.members: set[ScheduledOutbox] = set()
        # instrument key -> newest message, in order of change
        self._changed: dict[str, Message] = {}
        self._order: dict[str, int] = {}  # the same keys -> index in that order
        self._products: dict[str, _Products] = {}  # shape -> what was made of the messages

    def price(self, message: Message) -> None:
        """Take a price for all members."""
        key = message["key"]
        self._changed.pop(key, None)
        self._changed[key] = message

    def over(self) -> None:
        """Call all members; then the next interval begins."""
        self._order = {key: index for index, key in enumerate(self._changed)}
        for outbox in tuple(self.members):
            try:
                outbox.interval_over()
            except Exception as error:
                self.members.discard(outbox)
                end_failed(outbox, error)
        self._changed = {}
        self._order = {}
        self._products = {}

    def due(self, keys: KeysView[str]) -> list[str]:
        """Return which of the keys changed, in order of change; only within `interval_over`."""
        return sorted(self._order.keys() & keys, key=self._order.__getitem__)

    def so_far(self, keys: KeysView[str]) -> Iterable[Message]:
        """Return the messages of the keys, in order of change; at any time."""
        return [message for key, message in self._changed.items() if key in keys]

    def products(self, shape: str, make: Callable[[Message], Any]) -> Callable[[str], Any]:
        """Return a function from a key to the product of its message, made once for each shape."""
        products = self._products.get(shape)
        if products is None:
            products = self._products[shape] = _Products(self._changed, make)
        return products.__getitem__


class IntervalMembership:
    """One client's part in an interval: whether its prices go to the interval or to its outbox.

    Attributes:
        interval: None for a client that gets each price at once.
        is_shared: whether prices go to the interval.
        keys: of the instruments that the client is subscribed to.
        route: makes all their prices go to another receiver, where the channel layer can do that.
        settled_at: the loop time from which on prices may go to the interval.
        changes: how many changes of subscriptions, or of the interval, are under way.
    """

    __slots__ = ("changes", "interval", "is_shared", "keys", "route", "settled_at")

    def __init__(self) -> None:
        self.interval: PriceInterval | None = None
        self.is_shared = False
        self.keys: KeysView[str] = {}.keys()
        self.route: Callable[[Receiver], None] | None = None
        self.settled_at = inf
        self.changes = 0

    def settle(self, now: float) -> None:
        """Begin to wait for SETTLED_S, unless a change of subscriptions is under way."""
        if not self.changes:
            self.settled_at = now + SETTLED_S

    def share(self) -> None:
        """Let prices go to the interval; only when it is over."""
        if self.route is not None and self.interval is not None:
            self.is_shared = True
            self.route(self.interval.price)

    def stand_alone(self, price: Receiver) -> None:
        """Let prices go to `price`, first those that the interval has gathered, until `settle`."""
        self.settled_at = inf
        if self.is_shared and self.route is not None and self.interval is not None:
            self.is_shared = False
            self.route(price)
            for message in self.interval.so_far(self.keys):
                price(message)
