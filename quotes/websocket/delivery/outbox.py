"""The outbox of one client: frames that are due, in order and in bounded memory.

An `Outbox` holds what is due; a `FrameTransport` takes frames without ever blocking and knows how
many of their bytes are unsent. Above the high-water mark a client is conflated: of each instrument
only the newest price is kept, in order of change, until the client has caught up. A client that
asked for prices at intervals gets them the same way, by choice.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from quotes.conf import conf
from quotes.layer.groups import Receiver
from quotes.store.positions import StreamPosition
from quotes.websocket.counters import counters
from quotes.websocket.delivery.flush_scheduler import FlushScheduler
from quotes.websocket.delivery.framing import Framing
from quotes.websocket.delivery.intervals import IntervalMembership
from quotes.websocket.delivery.isolation import end_failed
from quotes.websocket.delivery.outbox_state import OutboxState
from quotes.websocket.delivery.price_message import PROVISIONAL, PriceMessage
from quotes.websocket.protocol import ControlFrame, frame
from quotes.websocket.transports.base import FrameTransport

# Frames that are no prices are never dropped; a client that lets more bytes pile up is closed. A
# request is carried out only when most of the last answers were taken, so a client that reads is
# never closed for asking much at once, and one answer may be longer.
_MAX_HELD_BYTES = 262_144


class _NothingMore(dict[str, PriceMessage]):
    """The newest prices of a closed outbox, which takes none."""

    def __setitem__(self, key: str, message: PriceMessage) -> None:
        pass


class Outbox(OutboxState):
    """Frames that are due to one client.

    Prices are delivered at most once and in order, each instrument's newest last; a client that is
    slow, or asked for intervals, is not sent those in between. Frames that are no prices are
    delivered in order and never dropped. Nothing here waits, and all calls come from the client's
    event loop. What a call raises for many clients is handed to `fail`, which ends this one alone.

    Args:
        framing: how the client gets its frames; None: as JSON.
        on_overflow: called when the client does not take frames that may not be dropped.
        on_gap: called when a tick is missing of an instrument whose every tick the client wants.
        on_failure: called with an error because of which the client cannot be served.

    Attributes:
        skipped: prices that a slow client was not sent and has yet to report.
        conflated: those that were reported.
        sent_at: the loop time of the last write.
    """

    __slots__ = (
        "_every_tick",
        "_every_tick_size",
        "_items",
        "_last",
        "_on_failure",
        "_on_gap",
        "_on_overflow",
        "_room",
        "_transport",
        "conflated",
        "interval_membership",
        "lossless",
        "newest",
        "sent_at",
        "skipped",
    )

    def __init__(
        self,
        transport: FrameTransport,
        scheduler: FlushScheduler,
        *,
        on_overflow: Callable[[], None],
        on_gap: Callable[[], None],
        on_failure: Callable[[Exception], None] | None = None,
        framing: Framing | None = None,
    ) -> None:
        self._transport = transport
        self.scheduler: FlushScheduler = scheduler
        self.due = scheduler.due
        self._on_overflow = on_overflow
        self._on_gap = on_gap
        self._on_failure = on_failure
        self.framing = framing or Framing(transport)
        self.high_water = conf.high_water_bytes
        self.lossless: set[str] = set()  # instrument keys of which every tick is wanted
        self._last: dict[str, StreamPosition] = {}  # of these, the last tick that was taken
        # of these, what an interval or a slow client gathers
        self._every_tick: list[PriceMessage] = []
        self._every_tick_size = 0
        self.batch = False
        self.interval_ms = 0
        self.interval_membership = IntervalMembership(self)
        self.frames: list[Any] = []  # due, in the transport's form
        self._items: list[PriceMessage] = []  # due in the next array
        self.size = 0
        self._room: asyncio.Event | None = None
        self.is_due = False
        self.sent_at = scheduler.loop.time()
        self.conflating = False
        self.newest: dict[str, PriceMessage] = {}  # instrument key -> message, in order of change
        self.skipped = self.conflated = 0
        transport.on_drain = self._drained

    # -- what the client wants ------------------------------------------------------------------

    def want(self, key: str, *, mode: str | None, every_tick: bool) -> None:
        """Set how the client gets one instrument; a mode of None is the client's."""
        if mode is not None:
            self.begin_change()
            self.framing.set_mode(mode, key)
            self.end_change()
        if every_tick:
            self.lossless.add(key)

    def forget(self, key: str) -> None:
        """Drop what is due of an instrument that the client no longer wants."""
        self.newest.pop(key, None)
        self.interval_membership.forget(key)
        if key in self.lossless:
            self.lossless.discard(key)
            self._last.pop(key, None)
            self._every_tick = [one for one in self._every_tick if one.key != key]
            self._every_tick_size = sum(len(one.frame) for one in self._every_tick)
        self.framing.forget(key)

    def set_framing(self, *, mode: str | None = None, numbered: bool | None = None) -> None:
        """Set the client's mode, and whether prices are numbered, from now on; None: as it is."""
        self.begin_change()
        if mode is not None:
            self.framing.set_mode(mode)
        if numbered is not None:
            self.framing.set_numbered(numbered)
        self.end_change()

    def configure(self, *, batch: bool, interval_ms: int) -> None:
        """Gather prices into arrays, or at intervals in ms, from now on; what is due goes first."""
        self.begin_change()
        self.flush()
        if not self.conflating:
            self._send_newest()
        self.interval_membership.leave()
        self.batch, self.interval_ms = batch, interval_ms
        if interval_ms:
            self.interval_membership.interval = self.scheduler.join(self, interval_ms)
        self.end_change()

    def receiver(self, key: str) -> Receiver:
        """Return what takes the prices of an instrument that the client wants."""
        return self.next_tick if key in self.lossless else self.price

    def begin(self, key: str, sent: StreamPosition) -> None:
        """Note up to which tick of an instrument the client has them."""
        if key in self.lossless:
            self._last[key] = sent

    def next_tick(self, message: PriceMessage) -> None:
        """Take a tick of an instrument whose every tick is wanted, if it follows the last one.

        A tick that was taken already is left out, and so is a price that no bridge has numbered: it
        comes again under a number. After any other tick but the next one `on_gap` is called.
        """
        if message.kind == PROVISIONAL:
            return
        key, epoch, seq = message.key, message.epoch, message.seq
        last = self._last.get(key)
        if last is not None:
            if last.covers(epoch, seq):
                return
            if epoch != last.epoch or seq != last.seq + 1:
                self._on_gap()
                return
        self._last[key] = StreamPosition(epoch, seq)
        self.price(message)

    def gather_price(self, message: PriceMessage) -> None:
        """Take a price of an interval, for an array, or for a slow client."""
        if self.conflating or self.interval_ms:
            key = message.key
            if key in self.lossless:
                self._gather(message)
                return
            if self.newest.pop(key, None) is not None and self.conflating:
                self.skipped += 1
            self.newest[key] = message
            return
        self._items.append(message)
        self.size += len(message.frame)
        self._be_due()
        if self.size > self.high_water:
            self.flush()

    def _be_due(self) -> None:
        if not self.is_due:
            self.is_due = True
            self.scheduler.gather(self)

    def _gather(self, message: PriceMessage) -> None:
        """Keep one of every tick until the interval is over, or a slow client has caught up.

        What an interval gathers beyond the high-water mark is sent before it is over; a client that
        is so far behind does not keep up.
        """
        self._every_tick.append(message)
        self._every_tick_size += len(message.frame)
        if self._every_tick_size > self.high_water:
            self.flush()
            if not self.conflating:
                self._send_newest()
            elif self._every_tick_size > self.high_water:
                self._on_gap()

    def control(self, control: ControlFrame) -> None:
        """Take a frame that is no price: never dropped, delivered in order."""
        self._seal()
        if self.size > _MAX_HELD_BYTES + self.high_water:
            self._on_overflow()
            return
        framed = self.framing.control(control)
        if framed is None:
            return
        self.frames.append(framed)
        self.size += len(framed)
        counters.controls += 1
        self._be_due()

    def _seal(self) -> None:
        """Make frames of the prices that wait for an array."""
        if self._items:
            self.frames += self._frames_of(self._items)
            self._items = []

    def _frames_of(self, messages: list[PriceMessage]) -> list[Any]:
        """Return the frames of these prices."""
        framing = self.framing
        if self.batch:
            arrays = framing.arrays(list(map(framing.payload, messages)))
            counters.gathered += len(messages) - len(arrays)
            return arrays
        return list(map(framing.frame, messages))

    def flush(self) -> None:
        """Hand what is due to the transport, unless it has more than enough already."""
        self.is_due = False
        if self.conflating and self._transport.unsent() > self.high_water:
            return  # `_drained` will flush
        if self._items:
            self._seal()
        if self.frames:
            frames, self.frames = self.frames, []
            self.size = 0
            self._write(frames)
        if self.conflating and self._transport.unsent() <= self.high_water:
            self.conflating = False
            self._send_newest()

    def _drained(self) -> None:
        """Go on after the transport was full."""
        if self.conflating or self.frames:
            self._try_flush()
        self.check_room()

    async def room(self) -> None:
        """Return when the client has taken enough of what is due for the next answer."""
        if self.size > self.high_water:
            self._try_flush()
        while self.size > self.high_water:
            if self._room is None:
                self._room = asyncio.Event()
            await self._room.wait()

    def check_room(self, *, ended: bool = False) -> None:
        """Let `room` return if there is some, or if the client is gone."""
        if self._room is None:
            return
        if self._transport.unsent() <= self.high_water:
            self._try_flush()  # a transport that was lost reports no drain
        if ended:
            self.size = 0
        if self.size <= self.high_water and self._room is not None:
            self._room.set()
            self._room = None

    def _try_flush(self) -> None:
        """Flush; end the client if that fails."""
        try:
            self.flush()
        except Exception as error:
            end_failed(self, error)

    def fail(self, error: Exception) -> None:
        """Drop the prices that are due, and let the client be ended because of an error."""
        self._items = []
        self._every_tick = []
        self.newest.clear()
        self.interval_membership.leave()
        if self._on_failure is None:
            raise error
        self._on_failure(error)

    def _send_newest(self) -> None:
        """Send what was gathered, and report how many prices a slow client missed."""
        frames = self._frames_of([*self._every_tick, *self.newest.values()])
        self.newest.clear()
        self._every_tick, self._every_tick_size = [], 0
        if self.skipped:
            framed = self.framing.control(frame("conflated", skipped=self.skipped))
            if framed is not None:
                frames.append(framed)
                counters.controls += 1
            self.conflated += self.skipped
            counters.conflated += self.skipped
            self.skipped = 0
        if frames:
            self._write(frames)

    def _write(self, frames: list[Any]) -> None:
        self.sent_at = self.scheduler.now
        counters.frames += len(frames)
        self._transport.write(frames)
        if self._transport.unsent() > self.high_water:
            self.conflating = True

    def interval_over(self) -> None:
        """Send the newest prices of an interval; a client that is slow gets them when it can."""
        self.flush()
        membership = self.interval_membership
        if self.conflating:
            if membership.is_shared:
                self.begin_change()
                self.end_change()
            return
        if self.newest or self._every_tick:
            self._send_newest()
        if membership.is_shared:
            if membership.products:
                self._send_products(membership.products)
        elif self.scheduler.now >= membership.settled_at and not (
            self.framing.modes or self.lossless
        ):
            membership.share(*self.framing.shared(batch=self.batch))

    def _send_products(self, products: list[Any]) -> None:
        """Send the products that the interval has made of the client's instruments."""
        due = products[:]
        products.clear()
        if self.batch:
            frames = self.framing.arrays(due)
            counters.gathered += len(due) - len(frames)
            due = frames
        self._write(due)

    def begin_change(self) -> None:
        """Take prices here, not through the interval, until `end_change`; changes may overlap."""
        self.interval_membership.changes += 1
        self.interval_membership.stand_alone(self.price)

    def end_change(self) -> None:
        """Note that a change of subscriptions, or of the interval, is over."""
        self.interval_membership.changes -= 1
        self.interval_membership.settle(self.scheduler.loop.time())

    def send_gathered(self) -> None:
        """Send what an interval has gathered, before its end; a slow client gets it when it can."""
        self.begin_change()
        self.flush()
        if not self.conflating:
            self._send_newest()
        self.end_change()

    def close(self) -> None:
        """Write what the client takes at once, leave the interval, and keep nothing from now on.

        The client is in its groups until all are left, and more prices may come.
        """
        self._try_flush()
        self.interval_membership.leave()
        self.newest = _NothingMore()

    @property
    def unsent(self) -> int:
        """How many bytes are due, or written and not yet taken by the operating system."""
        return self.size + self._transport.unsent()

    @property
    def is_behind(self) -> bool:
        """Whether the client has yet to take more than the high-water mark."""
        return self.conflating or max(self.size, self._transport.unsent()) > self.high_water
