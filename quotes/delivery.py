"""Delivery: what is due to one client, in order, in bounded memory, without waiting for it.

An `Outbox` holds what is due; a `FrameTransport` takes frames without ever blocking and knows how
many of their bytes are unsent. Above the high-water mark a client is conflated: of each instrument
only the newest price is kept, in order of change, until the client has caught up. A client that
asked for prices at intervals is served the same way, by choice.
"""

from collections.abc import Callable, KeysView
from math import inf
from typing import Any

from quotes.conf import conf
from quotes.frame_transport import FrameTransport
from quotes.framing import Framing
from quotes.intervals import Interval
from quotes.pacing import Pacers
from quotes.protocol import frame

# Frames that are no prices are never dropped; a client that lets so many bytes pile up is closed.
MAX_HELD_BYTES = 262_144
# A client whose subscriptions have not changed for so long shares its interval with others.
SETTLED_S = 1.0

Message = dict[str, Any]
Receiver = Callable[[Message], None]


class Outbox:
    """What is due to one client.

    Args:
        encoding: "json" for text frames, "msgpack" for binary ones.
        on_overflow: called when the client does not take what may not be dropped.
        on_gap: called when a price had to be dropped of which the client wants every tick.

    Attributes:
        keys: of the instruments that the client is subscribed to.
        route: lets all their prices go to another receiver than `price`, where that is possible.
    """

    __slots__ = (
        "batch",
        "conflating",
        "frames",
        "framing",
        "high_water",
        "interval",
        "interval_ms",
        "is_due",
        "items",
        "keys",
        "lossless",
        "newest",
        "on_gap",
        "on_overflow",
        "pacers",
        "route",
        "sent_at",
        "settled_at",
        "shares",
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
        self.framing = Framing(transport, encoding)
        self.high_water = conf.high_water_bytes
        self.lossless: set[str] = set()  # instrument keys of which every tick is wanted
        self.batch = False
        self.interval_ms = 0
        self.interval: Interval | None = None
        self.shares = False  # whether prices go to the interval instead of to `price`
        self.settled_at = inf
        self.keys: KeysView[str] = {}.keys()
        self.route: Callable[[Receiver], None] | None = None
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

    # -- what the client asks for ---------------------------------------------------------------

    def set_mode(self, mode: str) -> None:
        """Give the client these fields of each price from now on, unless asked otherwise."""
        self.framing.set_mode(mode)
        self.find_slot()

    def want(self, key: str, *, mode: str | None, every_tick: bool) -> None:
        """Take down what the client wants of one instrument; a mode of None is the client's."""
        if mode is not None:
            self.framing.modes[key] = mode
            self.find_slot()
        if every_tick:
            self.lossless.add(key)

    def forget(self, key: str) -> None:
        """Drop what is due of an instrument that the client no longer wants."""
        self.newest.pop(key, None)
        self.lossless.discard(key)
        if self.framing.modes.pop(key, None) is not None:
            self.find_slot()

    def find_slot(self) -> None:
        # Where messages keep the client's frame, unless its frames differ by instrument.
        self.slot = "" if self.framing.modes else self.framing.slot

    def configure(self, *, batch: bool, interval_ms: int) -> None:
        """Gather prices into arrays, or at intervals, from now on; what is due leaves first."""
        self.stand_alone()
        self.flush()
        if self.newest and not self.conflating:
            self.send_newest()
        self.leave_interval()
        self.batch, self.interval_ms = batch, interval_ms
        if interval_ms:
            self.interval = self.pacers.join(self, interval_ms)
        self.settle()

    # -- what comes -----------------------------------------------------------------------------

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

    # -- what leaves ----------------------------------------------------------------------------

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

    # -- intervals ------------------------------------------------------------------------------

    def interval_over(self) -> None:
        """Send the newest prices of an interval; a client that is slow gets them when it can."""
        self.flush()
        if self.conflating:
            if self.shares:
                self.stand_alone()
                self.settle()
            return
        if self.newest:
            self.send_newest()
        if self.shares and self.interval is not None:
            self.send_shared(self.interval)
        elif self.pacers.now >= self.settled_at and not self.conflating:
            self.share()

    def send_shared(self, interval: Interval) -> None:
        """Send what the interval has gathered of the client's instruments."""
        due = interval.due(self.keys)
        if not due:
            return
        framing = self.framing
        if self.batch:
            made = interval.making(framing.shape, framing.payload)
            self.write(framing.arrays(list(map(made, due))))
        else:
            self.write(list(map(interval.making(framing.slot, framing.frame), due)))

    def share(self) -> None:
        """Leave prices to the interval, if the client wants nothing that others do not."""
        plain = not (self.framing.modes or self.lossless)
        if plain and self.route is not None and self.interval is not None:
            self.shares = True
            self.route(self.interval.price)

    def stand_alone(self) -> None:
        """Take prices one by one until `settle`, at first those that the interval has gathered."""
        self.settled_at = inf
        if self.shares and self.route is not None and self.interval is not None:
            self.shares = False
            self.route(self.price)
            for message in self.interval.so_far(self.keys):
                self.price(message)

    def settle(self) -> None:
        """Say that no change of subscriptions is under way."""
        self.settled_at = self.pacers.loop.time() + SETTLED_S

    def leave_interval(self) -> None:
        if self.interval is not None:
            self.interval.members.discard(self)
            self.interval = None

    # -- the end --------------------------------------------------------------------------------

    def close(self) -> None:
        """Send what can be sent at once, and take part in nothing any more."""
        self.flush()
        self.leave_interval()

    def is_stalled(self, now: float) -> bool:
        """Say whether the client has taken no byte for longer than it may."""
        return (
            self.transport.unsent() > 0
            and now - self.transport.progress_at() > conf.write_timeout_s
        )
