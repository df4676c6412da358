"""Handlers of events, by the type of the event."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

E = TypeVar("E")

logger = logging.getLogger("live_price")


class Handlers:
    """Calls the handlers of each event. One that raises is logged, and the others are called."""

    def __init__(self) -> None:
        self._by_type: dict[type, dict[object, Callable[[Any], object]]] = {}

    def add(self, kind: type[E], handler: Callable[[E], object]) -> Callable[[], None]:
        """Let a handler be called with each event of a type; return what ends this."""
        if not callable(handler):
            raise TypeError(f"a handler must be a function, got {handler!r:.75}")
        mark = object()
        self._by_type.setdefault(kind, {})[mark] = handler

        def remove() -> None:
            self._by_type.get(kind, {}).pop(mark, None)

        return remove

    def has(self, *kinds: type) -> bool:
        """Return whether an event of one of these types has a handler."""
        return any(self._by_type.get(kind) for kind in kinds)

    def call(self, event: object) -> None:
        for handler in list(self._by_type.get(type(event), {}).values()):
            try:
                handler(event)
            except Exception:
                logger.exception("a handler of %s failed", type(event).__name__)
