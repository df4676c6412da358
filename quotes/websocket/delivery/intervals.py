"""Intervals: prices gathered once for all clients that get them at the same interval.

A client whose subscriptions have not changed for a moment costs nothing per tick: its prices go to
the interval, and when that is over the client is sent those of its own instruments that changed.
While its subscriptions change, and while it is slow, its outbox takes its prices itself
(`outbox.py`). Everything here belongs to one event loop.
"""

from collections.abc import Callable, Collection, Iterable, KeysView
from math import inf
from typing import Any, Protocol

from quotes.layer.groups import Receiver
from quotes.websocket.delivery.framing import Product
from quotes.websocket.delivery.isolation import end_failed
from quotes.websocket.delivery.price_message import PriceMessage

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


_Failed = tuple[ScheduledOutbox, Exception]


class _SharedProducts:
    """The clients of one interval that get the same product of each price: one shape."""

    def __init__(self, make: Product) -> None:
        self.make = make
        # instrument key -> outbox -> what appends to that client's list
        self.readers: dict[str, dict[ScheduledOutbox, Callable[[Any], None]]] = {}

    def add(self, outbox: ScheduledOutbox, keys: Iterable[str], products: list[Any]) -> None:
        readers, append = self.readers, products.append
        for key in keys:
            found = readers.get(key)
            if found is None:
                found = readers[key] = {}
            found[outbox] = append

    def remove(self, outbox: ScheduledOutbox, keys: Iterable[str]) -> None:
        readers = self.readers
        for key in keys:
            found = readers.get(key)
            if found is not None:
                found.pop(outbox, None)
                if not found:
                    del readers[key]

    def distribute(self, changed: dict[str, PriceMessage]) -> list[_Failed]:
        """Append the product of each price, made once, to the list of each client that reads it.

        Returns:
            The clients whose prices cannot be made into a product, and the error.
        """
        failed: list[_Failed] = []
        readers, make = self.readers, self.make
        for key, message in changed.items():
            found = readers.get(key)
            if found is not None:
                try:
                    product = make(message)
                except Exception as error:
                    failed += [(outbox, error) for outbox in found]
                    continue
                for append in found.values():
                    append(product)
        return failed


class PriceInterval:
    """The outboxes of one event loop with the same interval, and the newest prices since the last.

    At most once, newest wins: of each instrument only the last price of an interval is kept. When
    it is over, one walk over the changed instruments makes each product once and hands it to all
    clients that read the instrument in that shape.

    Attributes:
        members: the outboxes that are called when it is over.
    """

    def __init__(self) -> None:
        self.members: set[ScheduledOutbox] = set()
        # instrument key -> newest message, in order of change
        self._changed: dict[str, PriceMessage] = {}
        self._shapes: dict[str, _SharedProducts] = {}

    def price(self, message: PriceMessage) -> None:
        """Take a price for all members."""
        changed, key = self._changed, message.key
        if key in changed:
            del changed[key]
        changed[key] = message

    def over(self) -> None:
        """Hand over what changed and call all members; then the next interval begins."""
        for shape in tuple(self._shapes.values()):
            for outbox, error in shape.distribute(self._changed):
                self._end(outbox, error)
        for outbox in tuple(self.members):
            try:
                outbox.interval_over()
            except Exception as error:
                self._end(outbox, error)
        self._changed = {}

    def _end(self, outbox: ScheduledOutbox, error: Exception) -> None:
        if outbox in self.members:
            self.members.discard(outbox)
            end_failed(outbox, error)

    def so_far(self, keys: Collection[str]) -> Iterable[PriceMessage]:
        """Return the messages of the keys, in order of change; at any time."""
        return [message for key, message in self._changed.items() if key in keys]

    def add_reader(
        self,
        outbox: ScheduledOutbox,
        keys: Iterable[str],
        *,
        shape: str,
        make: Product,
        products: list[Any],
    ) -> None:
        """Have the products of these instruments appended to a list when the interval is over.

        Args:
            make: returns the product of a price; the same for all clients of the shape.
        """
        found = self._shapes.get(shape)
        if found is None:
            found = self._shapes[shape] = _SharedProducts(make)
        found.add(outbox, keys, products)

    def remove_reader(self, outbox: ScheduledOutbox, keys: Iterable[str], *, shape: str) -> None:
        """Append nothing more of these instruments to the outbox's list."""
        found = self._shapes.get(shape)
        if found is not None:
            found.remove(outbox, keys)
            if not found.readers:
                del self._shapes[shape]


class IntervalMembership:
    """One client's part in an interval: whether its prices go to the interval or to its outbox.

    Attributes:
        interval: None for a client that gets each price at once.
        is_shared: whether prices go to the interval.
        keys: of the instruments that the client is subscribed to and that need no comparison.
        route: makes all their prices go to another receiver, where the channel layer can do that.
        products: of the interval that is over, for the client, in order of change.
        settled_at: the loop time from which on prices may go to the interval.
        changes: how many changes of subscriptions, or of the interval, are under way.
    """

    __slots__ = (
        "_outbox",
        "_shape",
        "_shared_keys",
        "changes",
        "interval",
        "is_shared",
        "keys",
        "products",
        "route",
        "settled_at",
    )

    def __init__(self, outbox: ScheduledOutbox) -> None:
        self._outbox = outbox
        self.interval: PriceInterval | None = None
        self.is_shared = False
        self.keys: KeysView[str] = {}.keys()
        self.route: Callable[[Receiver], None] | None = None
        self.products: list[Any] = []
        self.settled_at = inf
        self.changes = 0
        self._shape = ""
        self._shared_keys: tuple[str, ...] = ()

    def settle(self, now: float) -> None:
        """Begin to wait for SETTLED_S, unless a change of subscriptions is under way."""
        if not self.changes:
            self.settled_at = now + SETTLED_S

    def share(self, shape: str, make: Product) -> None:
        """Let prices go to the interval, which makes them into this shape; when it is over."""
        interval = self.interval
        if self.route is not None and interval is not None:
            self.is_shared = True
            self.route(interval.price)
            self._shape, self._shared_keys = shape, tuple(self.keys)
            interval.add_reader(
                self._outbox, self._shared_keys, shape=shape, make=make, products=self.products
            )

    def stand_alone(self, price: Receiver) -> None:
        """Let prices go to `price`, first those that the interval has gathered, until `settle`."""
        self.settled_at = inf
        if self.is_shared and self.route is not None and self.interval is not None:
            self._stop_reading(self.interval)
            self.route(price)
            for message in self.interval.so_far(self.keys):
                price(message)

    def forget(self, key: str) -> None:
        """Get no more prices of an instrument from the interval."""
        if self.is_shared and self.interval is not None:
            self.interval.remove_reader(self._outbox, (key,), shape=self._shape)

    def leave(self) -> None:
        """Get no more prices of an interval; may be called twice."""
        if self.interval is not None:
            self._stop_reading(self.interval)
            self.interval.members.discard(self._outbox)
            self.interval = None

    def _stop_reading(self, interval: PriceInterval) -> None:
        if self.is_shared:
            self.is_shared = False
            interval.remove_reader(self._outbox, self._shared_keys, shape=self._shape)
            self._shared_keys = ()
            self.products.clear()
