"""One client's subscriptions: which groups it is in, and how it gets from none to live prices.

Subscribing leaves no gap and no repeat: it joins the groups first and holds what arrives, sends
the acknowledgement and the latest prices, then what is newer than those.
"""

from collections.abc import Callable, Iterable
from typing import Any

from instruments.errors import InstrumentsError
from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.access.sockets import SocketAccess
from quotes.admission import admit, rejection
from quotes.candle_subscriptions import CandleSubscriptions
from quotes.catching_up import CatchingUp
from quotes.chains import chain
from quotes.delivery import Outbox
from quotes.feed import Feed, Resolve, latest_message
from quotes.layer import QuotesChannelLayer
from quotes.members import Receiver
from quotes.past import Number
from quotes.protocol import ErrorCode, Subscribe, Unsubscribe, frame
from quotes.snapshots import Wanted
from quotes.store import LatestPrice

# While the latest price is being read, so many newer ticks of an instrument are held.
MAX_HELD = 1000

Event = dict[str, Any]


class Subscriptions:
    """What one client is subscribed to.

    Args:
        channel: the channel-layer channel of the connection.
        access: what the client may see.
    """

    def __init__(self, feed: Feed, outbox: Outbox, *, channel: str, access: SocketAccess) -> None:
        self.feed = feed
        self.access = access
        self.layer = feed.layer
        self.outbox = outbox
        self.channel = channel
        self.keys: dict[str, InstrumentKey] = {}  # instrument key's text -> key
        self.asked: dict[str, tuple[str, str]] = {}  # the same -> name and segment as asked for
        self.held: dict[str, list[Event]] = {}  # instrument key's text -> ticks while subscribing
        self.candles = CandleSubscriptions(feed, outbox, self.join, channel=channel)
        self.ended = False
        if isinstance(self.layer, QuotesChannelLayer):
            self.layer.attach(channel, self.receive)
            outbox.sharing.keys, outbox.sharing.route = self.keys.keys(), self.route

    async def add(self, message: Subscribe) -> None:
        """Subscribe to what a message asks for: acknowledgement, latest prices, live prices."""
        names = message.names
        if message.underlying is not None:
            names = [*names, *await chain(self.feed, message)]
        if message.candles is not None:
            await self.candles.add(message)
            return
        catching_up = CatchingUp(
            self.feed.past, self.outbox, message, held=self.held, is_over=lambda: self.ended
        )
        if message.seq:
            self.outbox.framing.number(True)
        wanted, taken, rejected = admit(
            names,
            message.segment,
            access=self.access,
            is_taken=self.is_subscribed,
            used=len(self.keys),
        )
        for one in wanted:
            self.outbox.want(str(one.key), mode=message.mode, every_tick=not message.conflate)
            self.asked[str(one.key)] = (one.name, message.segment)

        def acknowledge() -> None:
            # Frames bear the exchange's symbol and segment, so who asked by another name is told.
            keys = {one.name: str(one.key) for one in wanted if one.name != str(one.key)}
            self.outbox.control(
                frame(
                    "subscribed",
                    id=message.id,
                    symbols=taken,
                    **({"keys": keys} if keys else {}),
                    rejected=rejected,
                    subscriptions=len(self.keys),
                    feed=self.feed.state.value,
                )
            )

        await self.begin(wanted, acknowledge, catching_up)

    async def begin(
        self,
        wanted: list[Wanted],
        acknowledge: Callable[[], None],
        catching_up: CatchingUp | None = None,
    ) -> None:
        """Join the groups, acknowledge, send the latest prices and then what came meanwhile."""
        self.outbox.stand_alone()
        for one in wanted:
            self.keys[str(one.key)] = one.key
            self.held[str(one.key)] = []
        try:
            await self.join([one.key.group_name for one in wanted])
            unread = [one for one in wanted if self.last_event(one.key) is None]
            snapshot = await self.feed.snapshot(unread) if unread else None
            acknowledge()
            latest = snapshot.latest if snapshot else {}
            past = catching_up if catching_up is not None and catching_up.is_wanted else None
            newest = {one.key: self.newest(one.key, latest) for one in wanted} if past else {}
            if past is not None:
                await self.feed.past.refresh()  # now the log has what is the newest, and more
            for one in wanted:
                sent = await past.send(one.key, one.name, newest[one.key]) if past else None
                self.release(one.key, latest.get(str(one.key)), sent)
            self.redirect([one.key for one in wanted], self.outbox.price)
            self.outbox.settle()
        finally:
            for one in wanted:
                self.held.pop(str(one.key), None)
        if snapshot is not None and not snapshot.bridge_up:
            for one in wanted:
                if (ahead := snapshot.ahead.get(str(one.key))) is not None:
                    self.feed.show_provisionally(one.key, ahead)

    async def relearn(self, resolve: Resolve) -> None:
        """Follow names that mean another instrument since the master changed."""
        moved = []
        for field, (name, segment) in list(self.asked.items()):
            try:
                key = resolve(name, segment=segment)
            except InstrumentsError:
                continue
            if str(key) != field and str(key) not in self.keys:
                await self.leave(self.keys[field])
                if self.access.entitlements.delay_of(key) is None:
                    continue
                self.asked[str(key)] = (name, segment)
                moved.append(Wanted(key, name))
        if moved:
            await self.begin(moved, lambda: None)

    async def reconsider(self) -> list[str]:
        """Let go of what the client may no longer see; return the instrument keys."""
        dropped = []
        for field, key in list(self.keys.items()):
            if self.access.entitlements.delay_of(key) is None:
                await self.leave(key)
                dropped.append(field)
        return dropped

    async def leave(self, key: InstrumentKey) -> None:
        del self.keys[str(key)]
        self.asked.pop(str(key), None)
        self.outbox.forget(str(key))
        await self.layer.group_discard(key.group_name, self.channel)

    def is_subscribed(self, key: InstrumentKey) -> bool:
        return str(key) in self.keys

    async def join(self, groups: list[str]) -> None:
        if isinstance(self.layer, QuotesChannelLayer):
            await self.layer.group_add_many(groups, self.channel)
        else:
            for group in groups:
                await self.layer.group_add(group, self.channel)

    def route(self, receiver: Receiver) -> None:
        """Let another receiver take the prices of all groups."""
        self.redirect(self.keys.values(), receiver)

    def redirect(self, keys: Iterable[InstrumentKey], receiver: Receiver) -> None:
        if isinstance(self.layer, QuotesChannelLayer):
            self.layer.redirect(self.channel, [key.group_name for key in keys], receiver)

    def last_event(self, key: InstrumentKey) -> Event | None:
        """Return the newest message of the instrument in this process, if the layer keeps it."""
        if isinstance(self.layer, QuotesChannelLayer):
            return self.layer.last_message(key.group_name)
        return None

    def newest(self, key: InstrumentKey, latest: dict[str, LatestPrice]) -> Number | None:
        """Return the number of the newest tick that is known of an instrument."""
        last = self.last_event(key)
        if last is not None and last["type"] == "quote.tick" and "provisional" not in last:
            return number(last)
        return (found.epoch, found.seq) if (found := latest.get(str(key))) else None

    def release(
        self, key: InstrumentKey, latest: LatestPrice | None, sent: Number | None = None
    ) -> None:
        """Send the latest price of a key, then what arrived meanwhile and is newer.

        Args:
            sent: the number of the last tick that the client was sent of it already.
        """
        held = self.held.pop(str(key))
        first = latest_message(str(key), latest) if latest else None
        last = self.last_event(key)
        if not held and last is not None and last["type"] == "quote.tick":
            first = last
        elif last is None and first is not None and isinstance(self.layer, QuotesChannelLayer):
            self.layer.remember(key.group_name, first)
        if sent is None and first is not None:
            self.outbox.price(first)
            sent = number(first)
        for event in held:
            if sent is None or number(event) > sent or "provisional" in event:
                self.outbox.price(event)

    async def remove(self, message: Unsubscribe) -> None:
        if message.candles is not None:
            await self.candles.remove(message)
            return
        names, rejected = [], []
        for name in message.names:
            try:
                key = index.resolve(name, segment=message.segment)
            except InstrumentsError as error:
                rejected.append(rejection(name, error.code, str(error)))
                continue
            if str(key) not in self.keys:
                rejected.append(rejection(name, ErrorCode.UNKNOWN_SYMBOL, "not subscribed"))
                continue
            await self.leave(key)
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

    def receive(self, event: Event) -> None:
        """Take a message of one of the groups."""
        if event["type"] != "quote.tick":
            self.candles.receive(event)
            return
        held = self.held.get(event["key"])
        if held is None:
            self.outbox.price(event)
            return
        if len(held) >= MAX_HELD:
            held.clear()
            self.outbox.skipped += MAX_HELD
        held.append(event)

    def end(self) -> None:
        """Leave all groups at once, where the layer can."""
        self.ended = True
        if isinstance(self.layer, QuotesChannelLayer):
            self.layer.detach(self.channel)

    async def leave_groups(self) -> None:
        """Leave the groups of a layer that has to be told one by one."""
        if not isinstance(self.layer, QuotesChannelLayer):
            groups = [key.group_name for key in self.keys.values()]
            for group in (*groups, *self.candles.groups()):
                await self.layer.group_discard(group, self.channel)


def number(event: Event) -> Number:
    return event["epoch"], event["seq"]
