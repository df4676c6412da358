"""Sharing: whether a client's prices go to its outbox one by one, or to the interval it shares.

A client shares its interval with others once its subscriptions have not changed for a moment; it
stands alone again before they change, and while it is slow. What an interval is: `intervals.py`.
"""

from collections.abc import Callable, KeysView
from math import inf
from typing import Any

from quotes.websocket.delivery.intervals import Interval

# So long subscriptions must not have changed: each beginning and end costs a step per instrument.
SETTLED_S = 1.0

Receiver = Callable[[dict[str, Any]], None]


class Sharing:
    """One client's part in an interval.

    Attributes:
        keys: of the instruments that the client is subscribed to.
        route: lets all their prices go to another receiver, where that is possible.
    """

    __slots__ = ("interval", "is_on", "keys", "route", "settled_at")

    def __init__(self) -> None:
        self.interval: Interval | None = None
        self.is_on = False
        self.keys: KeysView[str] = {}.keys()
        self.route: Callable[[Receiver], None] | None = None
        self.settled_at = inf

    def settle(self, now: float) -> None:
        """Say that no change of subscriptions is under way."""
        self.settled_at = now + SETTLED_S

    def begin(self) -> None:
        """Leave prices to the interval; only when it is over."""
        if self.route is not None and self.interval is not None:
            self.is_on = True
            self.route(self.interval.price)

    def end(self, price: Receiver) -> None:
        """Let `price` take prices until `settle`, at first those that the interval has gathered."""
        self.settled_at = inf
        if self.is_on and self.route is not None and self.interval is not None:
            self.is_on = False
            self.route(price)
            for message in self.interval.so_far(self.keys):
                price(message)
