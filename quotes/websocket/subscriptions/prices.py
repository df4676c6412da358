"""One client's subscriptions: which groups it is in, and how it gets from none to live prices.

Subscribing leaves no gap and no repeat: it joins the groups first and holds what arrives, sends
the acknowledgement and the latest prices, then what is newer than those.
"""

from collections.abc import Callable

from instruments.errors import InstrumentsError
from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.layer.groups import Receiver
from quotes.layer.lanes import Message as Event
from quotes.store.latest import LatestPrice, Wanted
from quotes.store.positions import StreamPosition
from quotes.websocket.client_access import SocketAccess
from quotes.websocket.delivery.outbox import Outbox
from quotes.websocket.feed.delayed import LateSubscriptions
from quotes.websocket.feed.feed import Feed, Resolve, latest_message
from quotes.websocket.feed.positions import position_of
from quotes.websocket.protocol import ErrorCode, Subscribe, Unsubscribe, frame, rejection
from quotes.websocket.subscriptions.admission import admit
from quotes.websocket.subscriptions.candles import CandleSubscriptions
from quotes.websocket.subscriptions.membership import Membership
from quotes.websocket.subscriptions.option_chains import chain
from quotes.websocket.subscriptions.resuming import CatchingUp

# While the latest price is being read, so many newer ticks of an instrument are held.
MAX_HELD = 1000


class Subscriptions:
    """What one client is subscribed to.

    Args:
        channel: the channel-layer channel of the connection.
        access: what the client may see.
    """

    def __init__(self, feed: Feed, outbox: Outbox, *, channel: str, access: SocketAccess) -> None:
        self.feed = feed
        self.access = access
        self.groups = Membership(feed.layer, channel, self.receive)
        self.outbox = outbox
        self.keys: dict[str, InstrumentKey] = {}  # instrument key's text -> key
        self.asked: dict[str, tuple[str, str]] = {}  # the same -> name and segment as asked for
        self.held = self.groups.positions.held
        self.candles = CandleSubscriptions(feed, outbox, self.groups, access=access)
        self.ended = False
        self.late = LateSubscriptions(feed.late, outbox.price)
        if feed.layer.is_direct:
            outbox.interval_membership.keys, outbox.interval_membership.route = (
                self.groups.direct.keys(),
                self.route,
            )

    async def add(self, message: Subscribe) -> None:
        """Subscribe to what a message asks for: acknowledgement, latest prices, live prices."""
        if message.candles is not None:
            await self.candles.add(message)
            return
        names = message.names
        if message.underlying is not None:
            names = [*names, *await chain(self.feed, message, self.access.entitlements)]
        catching_up = CatchingUp(
            self.feed.past, self.outbox, message, held=self.held, is_over=lambda: self.ended
        )
        if message.seq:
            self.outbox.framing.set_numbered(True)
        wanted, taken, rejected = admit(names, message.segment, held=self.asked, access=self.access)
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
                    subscriptions=len(self.asked),
                    feed=self.feed.state.value,
                )
            )

        await self.begin(wanted, acknowledge, catching_up)

    async def begin(
        self,
        asked: list[Wanted],
        acknowledge: Callable[[], None],
        catching_up: CatchingUp | None = None,
    ) -> None:
        """Begin with what the client may see now, or late, in which case the log has it."""
        delays = {one: self.access.delay_of(one.key) for one in asked}
        await self.begin_live([one for one in asked if not delays[one]], acknowledge, catching_up)
        for one in filter(delays.__getitem__, asked):
            if catching_up is not None:
                catching_up.send_late(one.key, one.name, delays[one])
            self.late.join(one.key, delays[one])

    async def begin_live(
        self, wanted: list[Wanted], acknowledge: Callable[[], None], past: CatchingUp | None
    ) -> None:
        """Join the groups, acknowledge, send the latest prices and then what came meanwhile."""
        self.outbox.stand_alone()
        for one in wanted:
            self.keys[str(one.key)] = one.key
            self.held[str(one.key)] = []
        try:
            await self.groups.join([one.key.group_name for one in wanted])
            unread = [one for one in wanted if self.groups.newest_message(one.key) is None]
            snapshot = await self.feed.snapshot(unread) if unread else None
            acknowledge()
            latest = snapshot.latest if snapshot else {}
            past = past if past is not None and past.is_wanted else None
            newest = {one.key: self.groups.newest(one.key, latest) for one in wanted}
            if past is not None:
                await self.feed.past.refresh()  # now the log has what is the newest, and more
            for one in wanted:
                sent = await past.send(one.key, one.name, newest[one.key]) if past else None
                self.release(one.key, latest.get(str(one.key)), sent)
            self.groups.redirect([one.key for one in wanted], self.outbox.price)
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
            if str(key) != field and str(key) not in self.asked:
                await self.leave(field)
                if self.access.entitlements.delay_of(key) is None:
                    continue
                self.asked[str(key)] = (name, segment)
                moved.append(Wanted(key, name))
        if moved:
            await self.begin(moved, lambda: None)

    async def reconsider(self) -> list[str]:
        """Let go of what the client may no longer see, or not as soon; return what it may not."""
        dropped, moved = [], []
        for field, asked in list(self.asked.items()):
            key = self.keys.get(field) or self.late.keys[field]
            delay = self.access.entitlements.delay_of(key)
            if delay != self.late.minutes.get(field, 0):
                await self.leave(field)
                if delay is None:
                    dropped.append(field)
                else:
                    self.asked[field] = asked
                    moved.append(Wanted(key, asked[0]))
        if moved:
            await self.begin(moved, lambda: None)
        return dropped + await self.candles.reconsider()

    async def leave(self, field: str) -> None:
        self.asked.pop(field, None)
        self.outbox.forget(field)
        if field in self.late.keys:
            self.late.leave(field)
        else:
            self.groups.forget(field)
            await self.groups.leave(self.keys.pop(field).group_name)

    def route(self, receiver: Receiver) -> None:
        """Let another receiver take the prices that need no second look."""
        self.groups.redirect(self.keys.values(), receiver)

    def release(
        self, key: InstrumentKey, latest: LatestPrice | None, sent: StreamPosition | None = None
    ) -> None:
        """Send the latest price of a key, then what arrived meanwhile and is newer.

        Args:
            sent: the position of the last tick that the client was given of it.
        """
        held = self.held.pop(str(key))
        first = latest_message(str(key), latest) if latest else None
        last = self.groups.newest_message(key)
        if not held and last is not None and last["type"] == "quote.tick":
            first = last
        elif last is None and first is not None:
            self.groups.remember(key, first)
        if sent is None and first is not None:
            self.outbox.price(first)
            sent = position_of(first)
        self.groups.begin(key, sent)
        for event in held:
            if self.groups.positions.is_news(event, sent):
                self.outbox.price(event)

    async def remove(self, message: Unsubscribe) -> None:
        if message.candles is not None:
            return await self.candles.remove(message)
        names, rejected = [], []
        for name in message.names:
            try:
                key = index.resolve(name, segment=message.segment)
            except InstrumentsError as error:
                rejected.append(rejection(name, error.code, str(error)))
                continue
            if str(key) not in self.asked:
                rejected.append(rejection(name, ErrorCode.UNKNOWN_SYMBOL, "not subscribed"))
                continue
            await self.leave(str(key))
            names.append(name)
        answer = {"symbols": names, "rejected": rejected, "subscriptions": len(self.asked)}
        self.outbox.control(frame("unsubscribed", id=message.id, **answer))

    def receive(self, event: Event) -> None:
        """Take a message of one of the groups."""
        if event["type"] != "quote.tick":
            self.candles.receive(event)
            return
        if (key := self.keys.get(event["key"])) is None:
            return  # another layer's message that was under way
        held = self.held.get(event["key"])
        if held is None:
            if not self.groups.positions.is_repeat(event):
                self.outbox.price(event)
                if not self.outbox.interval_membership.is_shared:
                    self.groups.redirect([key], self.outbox.price)
            return
        if len(held) >= MAX_HELD:
            held.clear()
            self.outbox.skipped += MAX_HELD
        held.append(event)

    def end(self) -> None:
        """Leave all groups at once, where the layer can."""
        self.ended = True
        self.late.end()
        self.groups.end()

    async def leave_groups(self) -> None:
        """Leave the groups of a layer that has to be told one by one."""
        groups = [key.group_name for key in self.keys.values()]
        await self.groups.leave_all([*groups, *self.candles.groups()])
