"""The quick way into an outbox: a price that a client gets at once, as a frame of its own."""

from typing import Any, Protocol

from quotes.runtime.speedups import accelerated
from quotes.websocket.delivery.framing import Framing
from quotes.websocket.delivery.price_message import PriceMessage


class Schedule(Protocol):
    """A flush scheduler, as far as an outbox calls it."""

    def schedule(self) -> None:
        """Have the outboxes that are due flushed."""


@accelerated
class OutboxState:
    """What changes in an outbox with each price. The package `quotes-speedups` has it as well.

    Attributes:
        framing: how the client gets its prices.
        frames: due, in the transport's form.
        size: bytes that are due.
        high_water: bytes above which they are written at once.
        interval_ms: above 0, prices are gathered.
        batch: whether prices are gathered into arrays.
        conflating: whether prices are gathered because the client is slow.
        is_due: whether the outbox is among those that are due.
        due: the scheduler's outboxes that are due.
        scheduler: called when the outbox is the first of them.
    """

    __slots__ = (
        "batch",
        "conflating",
        "due",
        "frames",
        "framing",
        "high_water",
        "interval_ms",
        "is_due",
        "scheduler",
        "size",
    )

    framing: Framing
    frames: list[Any]
    size: int
    high_water: int
    interval_ms: int
    batch: bool
    conflating: bool
    is_due: bool
    due: list[Any]
    scheduler: Schedule

    def price(self, message: PriceMessage) -> None:
        """Take a price: delivered in order; if the client is slow, the newest of its instrument."""
        if self.conflating or self.interval_ms or self.batch:
            self.gather_price(message)
            return
        products = message.products
        framed = products.get(self.framing.slot) if products else None
        if framed is None:
            framed = self.framing.frame(message)
        self.frames.append(framed)
        self.size += len(framed)
        if not self.is_due:
            self.is_due = True
            self.due.append(self)
            if len(self.due) == 1:
                self.scheduler.schedule()
        if self.size > self.high_water:
            self.flush()  # a client is slow only if it does not take what was written

    def gather_price(self, message: PriceMessage) -> None:
        """Take a price that is not due at once as a frame of its own."""
        raise NotImplementedError

    def flush(self) -> None:
        """Hand what is due to the transport."""
        raise NotImplementedError
