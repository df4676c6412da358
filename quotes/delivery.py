"""Delivery: what is due to one client, in order, in bounded memory, without waiting for it.

An `Outbox` holds what is due; a `FrameTransport` takes frames without ever blocking and knows how
many of their bytes are unsent. Above the high-water mark a client is conflated: of each instrument
only the newest price is kept, in order of change, until the client has caught up. A client that
asked for prices at intervals is served the same way, by choice.
"""

from collections.abc import Callable
from typing import Any

from quotes.conf import conf
from quotes.frame_transport import FrameTransport
from quotes.pacing import Pacers
from quotes.protocol import frame
from quotes.shapes import payload, payload_array

# Frames that are no prices are never dropped; a client that lets so many bytes pile up is closed.
MAX_HELD_BYTES = 262_144
MAX_ARRAY = 500

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
        "encoding",
        "frames",
        "high_water",
        "interval_ms",
        "is_due",
        "items",
        "lossless",
        "mode",
        "modes",
        "newest",
        "on_gap",
        "on_overflow",
        "pacers",
        "sent_at",
        "size",
        "skipped",
        "slot",
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
        self.encoding = encoding
        self.high_water = conf.high_water_bytes
        self.modes: dict[str, str] = {}  # instrument key -> mode, where it is not the client's
        self.lossless: set[str] = set()  # instrument keys of which every tick is wanted
        self.batch = False
        self.interval_ms = 0
        self.frames: list[Any] = []  # due, in the transport's form
        self.items: list[Message] = []  # due in the next array
        self.size = 0
        self.is_due = False
        self.sent_at = pacers.loop.time()
        self.conflating = False
        self.newest: dict[str, Message] = {}  # instrument key -> message, in order of change
        self.skipped = 0
        self.set_mode("full")
        transport.on_drain = self.drained

    def set_mode(self, mode: str) -> None:
        """Give the client these fields of each price from now on, unless asked otherwise."""
        self.mode = mode
        self.slot = f"{self.transport.form}.{self.encoding}.{mode}"

    def configure(self, *, batch: bool, interval_ms: int) -> None:
        """Gather prices into arrays, or at intervals, from now on; what is due leaves first."""
        self.flush()
        if self.newest and not self.conflating:
            self.send_newest()
        self.pacers.leave(self, self.interval_ms)
        self.batch, self.interval_ms = batch, interval_ms
        self.pacers.join(self, interval_ms)

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
            framed = message.get(self.slot)
            if framed is None or self.modes:
                framed = self.framed(message)
            self.frames.append(framed)
            self.size += len(framed)
        if not self.is_due:
            self.is_due = True
            self.pacers.gather(self)
        if self.size > self.high_water:
            self.flush()  # a burst makes nobody slow who has not been given it yet

    def framed(self, message: Message) -> Any:
        """Return a price's frame in the transport's form, made once for all clients alike."""
        mode = self.modes.get(message["key"], self.mode)
        slot = f"{self.transport.form}.{self.encoding}.{mode}"
        found = message.get(slot)
        if found is None:
            found = message[slot] = self.transport.frame(payload(message, self.encoding, mode))
        return found

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
            self.frames += self.arrays(self.items)
            self.items = []

    def arrays(self, messages: list[Message]) -> list[Any]:
        if self.modes:
            items = [
                payload(one, self.encoding, self.modes.get(one["key"], self.mode))
                for one in messages
            ]
        else:
            slot = f"{self.encoding}.{self.mode}"
            items = [one.get(slot) or payload(one, self.encoding, self.mode) for one in messages]
        return [
            self.transport.frame(payload_array(items[at : at + MAX_ARRAY], self.encoding))
            for at in range(0, len(items), MAX_ARRAY)
        ]

    def flush(self) -> None:
        """Hand what is due to the transport, unless it has more than enough already."""
        self.is_due = False
        if self.transport.unsent() > self.high_water:
            self.conflating = True
            return  # `drained` will flush
        if self.frames or self.items:
            self.seal()
            frames, self.frames = self.frames, []
            self.size = 0
            self.write(frames)
        if self.conflating and self.transport.unsent() <= self.high_water:
            self.conflating = False
            self.send_newest()

    def drained(self) -> None:
        if self.conflating or self.frames:
            self.flush()

    def interval_over(self) -> None:
        """Send the newest prices of an interval; a client that is slow gets them when it can."""
        if self.newest and not self.conflating:
            self.flush()
            if not self.conflating:
                self.send_newest()

    def send_newest(self) -> None:
        """Send the newest prices, and say how many a slow client missed."""
        messages = list(self.newest.values())
        self.newest.clear()
        if self.batch:
            frames = self.arrays(messages)
        else:
            frames = [self.framed(message) for message in messages]
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

    def forget(self, key: str) -> None:
        """Drop what is due of an instrument that the client no longer wants."""
        self.newest.pop(key, None)
        self.modes.pop(key, None)
        self.lossless.discard(key)

    def close(self) -> None:
        """Send what can be sent at once, and take part in nothing any more."""
        self.flush()
        self.pacers.leave(self, self.interval_ms)

    def is_stalled(self, now: float) -> bool:
        """Say whether the client has taken no byte for longer than it may."""
        return (
            self.transport.unsent() > 0
            and now - self.transport.progress_at() > conf.write_timeout_s
        )
