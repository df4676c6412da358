"""One client's session: what it is subscribed to, and what its messages do.

Subscribing leaves no gap and no repeat: the session joins the groups first and holds what arrives,
sends the acknowledgement and the latest prices, then what is newer than those.
"""

import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from instruments.errors import InstrumentsError
from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.conf import conf
from quotes.delivery import FrameTransport, Outbox
from quotes.errors import ProtocolError
from quotes.feed import Feed, tick_message
from quotes.layer import QuotesChannelLayer
from quotes.market import now_ms
from quotes.protocol import (
    CloseCode,
    ErrorCode,
    ListSubscriptions,
    Message,
    Ping,
    Subscribe,
    Unsubscribe,
    error_frame,
    frame,
    parse_message,
)
from quotes.rates import TokenBucket
from quotes.snapshots import Wanted
from quotes.store import LatestPrice

logger = logging.getLogger(__name__)

# While the latest price is being read, so many newer ticks of an instrument are held.
MAX_HELD = 1000
BURST_S = 4
FLOOD = 200

Event = dict[str, Any]


class ClientSession:
    """What one connected client has asked for.

    Args:
        channel: the channel-layer channel of the connection.
        transport: where its frames go.
    """

    def __init__(self, feed: Feed, *, channel: str, transport: FrameTransport) -> None:
        self.feed = feed
        self.layer = feed.layer
        self.channel = channel
        self.transport = transport
        self.outbox = Outbox(transport, feed.gatherer, on_overflow=self.too_slow)
        self.keys: dict[str, InstrumentKey] = {}  # instrument key's text -> key
        self.held: dict[str, list[Event]] = {}  # instrument key's text -> ticks while subscribing
        rate = conf.max_messages_per_s
        self.bucket = TokenBucket(rate, burst=rate * BURST_S)
        self.refused = 0
        self.ended = False
        self.actions: dict[type[Message], Callable[[Any], Awaitable[None]]] = {
            Subscribe: self.subscribe,
            Unsubscribe: self.unsubscribe,
            ListSubscriptions: self.list_subscriptions,
            Ping: self.ping,
        }
        if isinstance(self.layer, QuotesChannelLayer):
            self.layer.attach(channel, self.receive)
        feed.listeners.add(self)

    # -- from the client ------------------------------------------------------------------------

    async def handle(self, text: str | None) -> None:
        """Carry out a client's message; whatever it holds, the answer is a frame."""
        try:
            if not self.bucket.take(time.monotonic()):
                self.refused += 1
                if self.refused > FLOOD:
                    self.close(CloseCode.FLOOD, "too many messages")
                    return
                raise ProtocolError(ErrorCode.RATE_LIMIT, "too many messages, slow down")
            self.refused = 0
            if text is None:
                raise ProtocolError(ErrorCode.BAD_REQUEST, "messages are text frames of JSON")
            if len(text) > conf.max_message_bytes:
                limit = conf.max_message_bytes
                raise ProtocolError(
                    ErrorCode.BAD_REQUEST, f"a message has at most {limit} bytes, was {len(text)}"
                )
            message = parse_message(text)
            try:
                await self.actions[type(message)](message)
            except ProtocolError as error:
                error.id = message.id
                raise
        except ProtocolError as error:
            self.outbox.control(error_frame(error))
        except Exception:
            incident = uuid.uuid4().hex[:12]
            logger.exception("incident %s: a client's message failed", incident)
            self.outbox.control(
                frame(
                    "error",
                    code=ErrorCode.INTERNAL,
                    message=f"the server failed to carry this out, incident {incident}",
                    incident=incident,
                )
            )

    async def subscribe(self, message: Subscribe) -> None:
        wanted, names, rejected = self.admit(message)
        groups = []
        for one in wanted:
            self.keys[str(one.key)] = one.key
            self.held[str(one.key)] = []
            groups.append(one.key.group_name)
        try:
            await self.join(groups)
            unread = [one for one in wanted if self.last_event(one.key) is None]
            snapshot = await self.feed.snapshot(unread) if unread else None
            self.outbox.control(
                frame(
                    "subscribed",
                    id=message.id,
                    symbols=names,
                    rejected=rejected,
                    subscriptions=len(self.keys),
                    feed=self.feed.state.value,
                )
            )
            for one in wanted:
                latest = snapshot.latest.get(str(one.key)) if snapshot else None
                self.release(one.key, latest)
        finally:
            for one in wanted:
                self.held.pop(str(one.key), None)
        if snapshot is not None and not snapshot.bridge_up:
            for one in wanted:
                if (ahead := snapshot.ahead.get(str(one.key))) is not None:
                    self.feed.show_provisionally(one.key, ahead)

    def admit(self, message: Subscribe) -> tuple[list[Wanted], list[str], list[Event]]:
        """Return what to subscribe to, the names of it as asked, and what is refused and why."""
        wanted: dict[str, Wanted] = {}
        names, rejected = [], []
        for name in message.names:
            try:
                key = self.resolve(name, message.segment)
                if str(key) in self.keys or str(key) in wanted:
                    raise ProtocolError(ErrorCode.ALREADY_SUBSCRIBED, "already subscribed")
                if len(self.keys) + len(wanted) >= conf.max_symbols:
                    limit = conf.max_symbols
                    raise ProtocolError(
                        ErrorCode.SYMBOL_LIMIT, f"a connection has at most {limit} symbols"
                    )
            except (ProtocolError, InstrumentsError) as error:
                rejected.append(rejection(name, error.code, str(error)))
                continue
            wanted[str(key)] = Wanted(key, name)
            names.append(name)
        return list(wanted.values()), names, rejected

    def resolve(self, name: str, segment: str) -> InstrumentKey:
        return index.resolve(name, segment=segment)

    async def join(self, groups: list[str]) -> None:
        if isinstance(self.layer, QuotesChannelLayer):
            await self.layer.group_add_many(groups, self.channel)
        else:
            for group in groups:
                await self.layer.group_add(group, self.channel)

    def last_event(self, key: InstrumentKey) -> Event | None:
        """Return the newest message of the instrument in this process, if the layer keeps it."""
        if isinstance(self.layer, QuotesChannelLayer):
            return self.layer.last_message(key.group_name)
        return None

    def release(self, key: InstrumentKey, latest: LatestPrice | None) -> None:
        """Send the latest price of a key, then what arrived meanwhile and is newer."""
        held = self.held.pop(str(key))
        first = tick_message(str(key), latest) if latest else None
        last = self.last_event(key)
        if not held and last is not None and last["type"] == "quote.tick":
            first = last
        elif last is None and first is not None and isinstance(self.layer, QuotesChannelLayer):
            self.layer.remember(key.group_name, first)
        if first is not None:
            self.outbox.price(first)
        for event in held:
            if first is None or number(event) > number(first):
                self.outbox.price(event)

    async def unsubscribe(self, message: Unsubscribe) -> None:
        names, rejected = [], []
        for name in message.names:
            try:
                key = self.resolve(name, message.segment)
            except InstrumentsError as error:
                rejected.append(rejection(name, error.code, str(error)))
                continue
            if self.keys.pop(str(key), None) is None:
                rejected.append(rejection(name, ErrorCode.UNKNOWN_SYMBOL, "not subscribed"))
                continue
            await self.layer.group_discard(key.group_name, self.channel)
            names.append(name)
        self.outbox.control(
            frame(
                "unsubscribed",
                id=message.id,
                symbols=names,
                rejected=rejected,
                subscriptions=len(self.keys),
            )
        )

    async def list_subscriptions(self, message: ListSubscriptions) -> None:
        symbols = list(self.keys)
        self.outbox.control(
            frame("subscriptions", id=message.id, symbols=symbols, subscriptions=len(symbols))
        )

    async def ping(self, message: Ping) -> None:
        self.outbox.control(
            frame("pong", id=message.id, timestamp=now_ms(), feed=self.feed.state.value)
        )

    # -- from the layer -------------------------------------------------------------------------

    def receive(self, event: Event) -> None:
        """Take a message of one of the groups."""
        if event["type"] != "quote.tick":
            return
        if self.feed.provisional and self.feed.is_repeat(event):
            return
        if self.held:
            held = self.held.get(event["key"])
            if held is not None:
                if len(held) >= MAX_HELD:
                    held.clear()
                    self.outbox.skipped += MAX_HELD
                held.append(event)
                return
        self.outbox.price(event)

    # -- from the feed --------------------------------------------------------------------------

    def feed_changed(self) -> None:
        self.outbox.control(self.feed.heartbeat())

    def look_after(self, now: float) -> None:
        """Send a heartbeat after a long silence; cut off a client that takes nothing."""
        if self.outbox.is_stalled(now):
            self.too_slow()
        elif now - self.outbox.sent_at >= conf.heartbeat_s and not self.transport.unsent():
            self.outbox.control(self.feed.heartbeat())

    # -- the end --------------------------------------------------------------------------------

    def too_slow(self) -> None:
        if not self.ended:
            logger.info("a client that takes nothing is cut off")
            self.close(CloseCode.SLOW_READER, "too slow")
            self.transport.abort()

    def close(self, code: CloseCode, reason: str) -> None:
        self.end()
        self.outbox.flush()
        self.transport.close(code, reason)

    def end(self) -> None:
        """Leave all groups; called on every way out, and may be called twice."""
        if self.ended:
            return
        self.ended = True
        self.feed.listeners.discard(self)
        if isinstance(self.layer, QuotesChannelLayer):
            self.layer.detach(self.channel)

    async def leave_groups(self) -> None:
        """Leave the groups of a layer that has to be told one by one."""
        if not isinstance(self.layer, QuotesChannelLayer):
            for key in self.keys.values():
                await self.layer.group_discard(key.group_name, self.channel)


def rejection(symbol: str, code: int, message: str) -> Event:
    return {"symbol": symbol, "code": int(code), "message": message}


def number(event: Event) -> tuple[int, int]:
    return event["epoch"], event["seq"]
