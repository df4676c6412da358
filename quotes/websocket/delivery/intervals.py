"""Intervals: what changed since the last one, gathered once for all the clients that share it.

A client in its stride costs nothing per tick: when the interval is over, its prices are those of
the instruments that changed and are its own. Who needs more care takes them itself (`delivery.py`).
"""

from collections.abc import Callable, Iterable, KeysView
from typing import Any, Protocol

Message = dict[str, Any]


class Paced(Protocol):
    """An outbox, as far as pacing is concerned."""

    def flush(self) -> None: ...
    def interval_over(self) -> None: ...


class Made(dict[str, Any]):
    """What was made of an interval's messages, on first demand: instrument key -> the product."""

    def __init__(self, changed: dict[str, Message], make: Callable[[Message], Any]) -> None:
        self.changed = changed
        self.make = make

    def __missing__(self, key: str) -> Any:
        made = self[key] = self.make(self.changed[key])
        return made


class Interval:
    """The outboxes of one event loop with the same interval, and the newest prices since the last.

    Attributes:
        members: those that are told when it is over.
    """

    def __init__(self) -> None:
        self.members: set[Paced] = set()
        self.changed: dict[
            str, Message
        ] = {}  # instrument key -> newest message, by order of change
        self.order: dict[str, int] = {}  # the same keys -> place in that order
        self.made: dict[str, Made] = {}  # shape -> what was made of the messages

    def price(self, message: Message) -> None:
        """Take a price for all who share the interval."""
        key = message["key"]
        self.changed.pop(key, None)
        self.changed[key] = message

    def over(self) -> None:
        """Tell all members; then the next one begins."""
        self.order = {key: place for place, key in enumerate(self.changed)}
        for outbox in tuple(self.members):
            outbox.interval_over()
        self.changed = {}
        self.order = {}
        self.made = {}

    def due(self, keys: KeysView[str]) -> list[str]:
        """Return which of the keys changed, by order of change; only while it is being over."""
        return sorted(self.order.keys() & keys, key=self.order.__getitem__)

    def so_far(self, keys: KeysView[str]) -> Iterable[Message]:
        """Return the messages of the keys, by order of change; at any time."""
        return [message for key, message in self.changed.items() if key in keys]

    def making(self, shape: str, make: Callable[[Message], Any]) -> Callable[[str], Any]:
        """Return what gives the product of a key's message, made once for all of one shape."""
        made = self.made.get(shape)
        if made is None:
            made = self.made[shape] = Made(self.changed, make)
        return made.__getitem__
