"""Delivery: what is due to one client, in order, in bounded memory, without waiting for it.

An `Outbox` holds what is due; a `FrameTransport` takes frames without ever blocking and knows how
many of their bytes are unsent. Above the high-water mark a client is conflated: of each instrument
only the newest price is kept, in order of change, until the client has caught up.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from quotes.conf import conf
from quotes.protocol import frame

# Frames that become due within this time of the last flush leave together, in one write.
GATHER_S = 0.002
# Frames that are no prices are never dropped; a client that lets so many bytes pile up is closed.
MAX_HELD_BYTES = 262_144

Message = dict[str, Any]


class FrameTransport(Protocol):
    """Where a client's frames go. Nothing here blocks or raises."""

    slot: str  # the key of a group message under which the frame in this transport's form is kept
    on_drain: Callable[[], None]  # called when `unsent` falls below the low-water mark

    def encode(self, text: str) -> Any:
        """Return a frame in the form that `write` takes; made once for all clients."""

    def write(self, frames: list[Any]) -> None:
        """Take frames, to be sent in this order."""

    def unsent(self) -> int:
        """Return how many bytes were written and not yet taken by the operating system."""

    def progress_at(self) -> float:
        """Return the loop time at which the client last took a byte, or had nothing to take."""

    def close(self, code: int, reason: str) -> None:
        """Close the connection behind what was written."""

    def abort(self) -> None:
        """End the connection at once."""


class Gatherer:
    """Flushes the outboxes of one event loop that have something due, all in one go."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.due: list[Outbox] = []
        self.flushed_at = 0.0
        self.scheduled = False

    def add(self, outbox: "Outbox") -> None:
        self.due.append(outbox)
        if not self.scheduled:
            self.scheduled = True
            wait = self.flushed_at + GATHER_S - self.loop.time()
            if wait <= 0:
                self.loop.call_soon(self.flush)
            else:
                self.loop.call_later(wait, self.flush)

    def flush(self) -> None:
        self.scheduled = False
        due, self.due = self.due, []
        for outbox in due:
            outbox.flush()
        self.flushed_at = self.loop.time()


class Outbox:
    """What is due to one client."""

    __slots__ = (
        "conflating",
        "frames",
        "gatherer",
        "high_water",
        "is_due",
        "newest",
        "on_overflow",
        "sent_at",
        "size",
        "skipped",
        "slot",
        "transport",
    )

    def __init__(
        self, transport: FrameTransport, gatherer: Gatherer, *, on_overflow: Callable[[], None]
    ) -> None:
        self.transport = transport
        self.gatherer = gatherer
        self.on_overflow = on_overflow
        self.slot = transport.slot
        self.high_water = conf.high_water_bytes
        self.frames: list[Any] = []
        self.size = 0
        self.is_due = False
        self.sent_at = gatherer.loop.time()
        self.conflating = False
        self.newest: dict[str, Any] = {}  # instrument key -> frame, in order of change
        self.skipped = 0
        transport.on_drain = self.drained

    def price(self, message: Message) -> None:
        """Take a price: delivered in order; if the client is slow, the newest of its instrument."""
        frame = message.get(self.slot)
        if frame is None:
            frame = message[self.slot] = self.transport.encode(message["frame"])
        if self.conflating:
            key = message["key"]
            if self.newest.pop(key, None) is not None:
                self.skipped += 1
            self.newest[key] = frame
            return
        self.frames.append(frame)
        self.size += len(frame)
        if not self.is_due:
            self.is_due = True
            self.gatherer.add(self)
        if self.size > self.high_water:
            self.conflating = True

    def control(self, frame: bytes) -> None:
        """Take a frame that is no price: never dropped, delivered in order."""
        encoded = self.transport.encode(frame.decode())
        self.frames.append(encoded)
        self.size += len(encoded)
        if self.size > MAX_HELD_BYTES + self.high_water:
            self.on_overflow()
        elif not self.is_due:
            self.is_due = True
            self.gatherer.add(self)

    def flush(self) -> None:
        """Hand what is due to the transport, unless it has more than enough already."""
        self.is_due = False
        if self.transport.unsent() > self.high_water:
            self.conflating = True
            return  # `drained` will flush
        if self.frames:
            frames, self.frames = self.frames, []
            self.size = 0
            self.sent_at = self.gatherer.loop.time()
            self.transport.write(frames)
        if self.transport.unsent() > self.high_water:
            self.conflating = True
        elif self.conflating:
            self.catch_up()

    def drained(self) -> None:
        if self.conflating or self.frames:
            self.flush()

    def catch_up(self) -> None:
        """The client has taken all before: send it the newest prices and say what it missed."""
        self.conflating = False
        frames = list(self.newest.values())
        if self.skipped:
            text = frame("conflated", skipped=self.skipped).decode()
            frames.append(self.transport.encode(text))
        self.newest.clear()
        self.skipped = 0
        if frames:
            self.transport.write(frames)
            if self.transport.unsent() > self.high_water:
                self.conflating = True

    def is_stalled(self, now: float) -> bool:
        """Say whether the client has taken no byte for longer than it may."""
        return (
            self.transport.unsent() > 0
            and now - self.transport.progress_at() > conf.write_timeout_s
        )
