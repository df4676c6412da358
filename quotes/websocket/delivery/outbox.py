"""Delivery: what is due to one client, in order, in bounded memory, without waiting for it.

An `Outbox` holds what is due; a `FrameTransport` takes frames without ever blocking and knows how
many of their bytes are unsent. Above the high-water mark a client is conflated: of each instrument
only the newest price is kept, in order of change, until the client has caught up. A client that
asked for prices at intervals is served the same way, by choice.
"""

from collections.abc import Callable
from typing import Any

from quotes.conf import conf
from quotes.websocket.delivery.framing import Framing
from quotes.websocket.delivery.intervals import Interval
from quotes.websocket.delivery.pacing import Pacers
from quotes.websocket.delivery.sharing import Sharing
from quotes.websocket.protocol import frame
from quotes.websocket.transports.base import FrameTransport

# Frames that are no prices are never dropped; a client that lets so many bytes pile up is closed.
MAX_HELD_BYTES = 262_144

Message = dict[str, Any]


class Outbox:
    """What is due to one client.

    Args:
        encoding: "json" for text frames, "msgpack" for binary ones.
        on_overflow: called when the client does not take what may not be dropped.
        on_gap: called when a price had to be dropped of which the client wants every tick.
    """

    __slots__ = (
        "batch",
        "conflating",
        "frames",
        "framing",
        "high_water",
        "interval_ms",
        "is_due",
        "items",
        "lossless",
        "newest",
        "on_gap",
        "on_overflow",
        "pacers",
        "sent_at",
        "sharing",
        "size",
        "skipped",
        "transport",
    )

    def __init__(
        self,
        transport: FrameTransport,
        pacers: Pacers,
        *,
        on_overflow: Callable[[], None],
        on_gap: Callable[[], None],
        encoding: str = "json",
    ) -> None:
        self.transport = transport
        self.pacers = pacers
        self.on_overflow = on_overflow
        self.on_gap = on_gap
        self.framing = Framing(transport, encoding)
        self.high_water = conf.high_water_bytes
        self.lossless: set[str] = set()  # instrument keys of which every tick is wanted
        self.batch = False
        self.interval_ms = 0
        self.sharing = Sharing()
        self.frames: list[Any] = []  # due, in the transport's form
        self.items: list[Message] = []  # due in the next array
        self.size = 0
        self.is_due = False
        self.sent_at = pacers.loop.time()
        self.conflating = False
        self.newest: dict[str, Message] = {}  # instrument key -> message, in order of change
        self.skipped = 0
        transport.on_drain = self.drained

    # -- what the client asks for ---------------------------------------------------------------

    def want(self, key: str, *, mode: str | None, every_tick: bool) -> None:
        """Take down what the client wants of one instrument; a mode of None is the client's."""
        if mode is not None:
            self.framing.set_mode(mode, key)
        if every_tick:
            self.lossless.add(key)

    def forget(self, key: str) -> None:
        """Drop what is due of an instrument that the client no longer wants."""
        self.newest.pop(key, None)
        self.lossless.discard(key)
        self.framing.forget(key)

    def configure(self, *, batch: bool, interval_ms: int) -> None:
        """Gather prices into arrays, or at intervals, from now on; what is due leaves first."""
        self.stand_alone()
        self.flush()
        if self.newest and not self.conflating:
            self.send_newest()
        self.leave_interval()
        self.batch, self.interval_ms = batch, interval_ms
        if interval_ms:
            self.sharing.interval = self.pacers.join(self, interval_ms)
        self.settle()

    def price(self, message: Message) -> None:
        """Take a price: delivered in order; if the client is slow, the newest of its instrument."""
        if self.conflating or self.interval_ms:
            key = message["key"]
            if self.newest.pop(key, None) is not None and self.conflating:
                self.skipped += 1
                if key in self.lossless:
                    self.on_gap()
                    return
            self.newest[key] = message
            return
        if self.batch:
            self.items.append(message)
            self.size += len(message["frame"])
        else:
            framed = message.get(self.framing.slot)
            if framed is None:
                framed = self.framing.frame(message)
            self.frames.append(framed)
            self.size += len(framed)
        if not self.is_due:
            self.is_due = True
            self.pacers.gather(self)
        if self.size > self.high_water:
            self.flush()  # a burst makes nobody slow who has not been given it yet

    def control(self, text: bytes) -> None:
        """Take a frame that is no price: JSON, never dropped, delivered in order."""
        self.seal()
        framed = self.transport.frame(text.decode())
        self.frames.append(framed)
        self.size += len(framed)
        if self.size > MAX_HELD_BYTES + self.high_water:
            self.on_overflow()
        elif not self.is_due:
            self.is_due = True
            self.pacers.gather(self)

    def seal(self) -> None:
        """Make a frame of the array that was begun."""
        if self.items:
            self.frames += self.made(self.items)
            self.items = []

    def made(self, messages: list[Message]) -> list[Any]:
        """Return the frames of these prices."""
        framing = self.framing
        if self.batch:
            return framing.arrays(list(map(framing.payload, messages)))
        return list(map(framing.frame, messages))

    def flush(self) -> None:
        """Hand what is due to the transport, unless it has more than enough already."""
        self.is_due = False
        if self.transport.unsent() > self.high_water:
            self.conflating = True
            return  # `drained` will flush
        if self.items:
            self.seal()
        if self.frames:
            frames, self.frames = self.frames, []
            self.size = 0
            self.write(frames)
        if self.conflating and self.transport.unsent() <= self.high_water:
            self.conflating = False
            self.send_newest()

    def drained(self) -> None:
        if self.conflating or self.frames:
            self.flush()

    def send_newest(self) -> None:
        """Send the newest prices, and say how many a slow client missed."""
        frames = self.made(list(self.newest.values()))
        self.newest.clear()
        if self.skipped:
            text = frame("conflated", skipped=self.skipped).decode()
            frames.append(self.transport.frame(text))
            self.skipped = 0
        if frames:
            self.write(frames)

    def write(self, frames: list[Any]) -> None:
        self.sent_at = self.pacers.now
        self.transport.write(frames)
        if self.transport.unsent() > self.high_water:
            self.conflating = True

    def interval_over(self) -> None:
        """Send the newest prices of an interval; a client that is slow gets them when it can."""
        self.flush()
        sharing = self.sharing
        if self.conflating:
            if sharing.is_on:
                self.stand_alone()
                self.settle()
            return
        if self.newest:
            self.send_newest()
        if sharing.is_on and sharing.interval is not None:
            self.send_shared(sharing.interval)
        elif self.pacers.now >= sharing.settled_at and not (self.framing.modes or self.lossless):
            sharing.begin()

    def send_shared(self, interval: Interval) -> None:
        """Send what the interval has gathered of the client's instruments."""
        due = interval.due(self.sharing.keys)
        if not due:
            return
        framing = self.framing
        if self.batch:
            made = interval.making(framing.shape, framing.payload)
            self.write(framing.arrays(list(map(made, due))))
        else:
            self.write(list(map(interval.making(framing.slot, framing.frame), due)))

    def stand_alone(self) -> None:
        """Take prices one by one until `settle`."""
        self.sharing.end(self.price)

    def settle(self) -> None:
        """Say that no change of subscriptions is under way."""
        self.sharing.settle(self.pacers.loop.time())

    def leave_interval(self) -> None:
        if self.sharing.interval is not None:
            self.sharing.interval.members.discard(self)
            self.sharing.interval = None

    def close(self) -> None:
        """Send what can be sent at once, and take part in nothing any more."""
        self.flush()
        self.leave_interval()

    @property
    def is_behind(self) -> bool:
        """Whether the client has yet to take more than is put before it at once."""
        return self.conflating or max(self.size, self.transport.unsent()) > self.high_water
