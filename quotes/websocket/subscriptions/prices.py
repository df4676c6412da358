"""One client's subscriptions to prices: how it gets from none to live ones.

Subscribing leaves no gap and no repeat: it joins the groups first and holds the ticks that arrive,
sends the acknowledgement and the latest prices, then the held ticks that are newer.
"""

from collections.abc import Callable

from instruments.errors import InstrumentsError
from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.errors import ProtocolError
from quotes.layer.groups import Receiver
from quotes.layer.lanes import Message
from quotes.store.group_names import price_group
from quotes.store.latest import LatestPrice, Wanted
from quotes.store.positions import StreamPosition
from quotes.websocket.client_access import ClientAccess
from quotes.websocket.delivery.outbox import Outbox
from quotes.websocket.feed.delayed import DelayedSubscriptions
from quotes.websocket.feed.delivered import position_of
from quotes.websocket.feed.feed import Feed, Resolve, latest_message
from quotes.websocket.feed.missed_candles import WantedCandles
from quotes.websocket.protocol import ErrorCode, Subscribe, Unsubscribe, frame, rejection
from quotes.websocket.subscriptions.admission import admit
from quotes.websocket.subscriptions.backfill import Backfill
from quotes.websocket.subscriptions.candles import CandleSubscriptions
from quotes.websocket.subscriptions.membership import GroupMembership
from quotes.websocket.subscriptions.option_chains import chain_keys

# At most this many newer ticks of an instrument are held while its latest price is being read.
_MAX_HELD_TICKS = 1000


class PriceSubscriptions:
    """One client's subscriptions: prices, delayed prices and candles.

    Its methods that wait are called one at a time (`ClientSession`). One that is cancelled may
    leave the client in groups; `end` leaves them.

    Args:
        channel: the channel-layer channel of the connection.
        access: what the client may see.

    Attributes:
        keys: instrument key's text -> key, of instruments without delay.
        requested: the same, with those with delay -> name and segment as the client wrote them.
    """

    def __init__(self, feed: Feed, outbox: Outbox, *, channel: str, access: ClientAccess) -> None:
        self._feed = feed
        self._access = access
        self._groups = GroupMembership(feed.layer, channel, self.receive)
        self._outbox = outbox
        self.keys: dict[str, InstrumentKey] = {}
        self.requested: dict[str, tuple[str, str]] = {}
        self._held = self._groups.positions.held
        self._candles = CandleSubscriptions(feed, outbox, self._groups, access=access)
        self._ended = False
        self._delayed = DelayedSubscriptions(feed.delayed, outbox.price)
        if feed.layer.is_direct:
            outbox.interval_membership.keys = self._groups.direct.keys()
            outbox.interval_membership.route = self._route

    async def add(self, message: Subscribe) -> None:
        """Subscribe to what a message asks for: acknowledgement, latest prices, live prices."""
        if message.candles is not None:
            await self._candles.add(message)
            return
        names = message.names
        if message.underlying is not None:
            names = [*names, *await chain_keys(self._feed, message, self._access.entitlements)]
        backfill = Backfill(
            self._feed.history, self._outbox, message, held=self._held, is_over=lambda: self._ended
        )
        if message.seq:
            self._outbox.framing.set_numbered(True)
        wanted, taken, rejected = admit(
            names, message.segment, subscribed=self.requested, access=self._access
        )
        for one in wanted:
            self._outbox.want(str(one.key), mode=message.mode, every_tick=not message.conflate)
            self.requested[str(one.key)] = (one.name, message.segment)

        def acknowledge() -> None:
            # Frames have the exchange's symbol and segment; clients map other names to them.
            keys = {one.name: str(one.key) for one in wanted if one.name != str(one.key)}
            self._outbox.control(
                frame(
                    "subscribed",
                    id=message.id,
                    symbols=taken,
                    **({"keys": keys} if keys else {}),
                    rejected=rejected,
                    subscriptions=len(self.requested),
                    feed=self._feed.state.value,
                )
            )

        await self._begin(wanted, acknowledge, backfill)

    async def _begin(
        self,
        wanted: list[Wanted],
        acknowledge: Callable[[], None],
        backfill: Backfill | None = None,
    ) -> None:
        """Begin with live prices, or with delayed ones where the client may see no others."""
        delays = {one: self._access.delay_of(one.key) for one in wanted}
        await self._begin_live([one for one in wanted if not delays[one]], acknowledge, backfill)
        for one in filter(delays.__getitem__, wanted):
            if backfill is not None:
                backfill.send_delayed(one.key, one.name, delays[one])
            self._delayed.join(one.key, delays[one])

    async def _begin_live(
        self, wanted: list[Wanted], acknowledge: Callable[[], None], backfill: Backfill | None
    ) -> None:
        """Join the groups, acknowledge, send the latest prices and then the held ticks."""
        self._outbox.begin_change()
        for one in wanted:
            self.keys[str(one.key)] = one.key
            self._held[str(one.key)] = []
        try:
            until = self._feed.requests.deadline()
            await self._groups.join([price_group(one.key) for one in wanted], until=until)
            unread = [one for one in wanted if self._groups.newest_message(one.key) is None]
            snapshot = await self._feed.snapshot(unread, until) if unread else None
            acknowledge()
            latest = snapshot.latest if snapshot else {}
            backfill = backfill if backfill is not None and backfill.is_wanted else None
            newest = {one.key: self._groups.newest(one.key, latest) for one in wanted}
            if backfill is not None:
                await backfill.prepare(has_latest=snapshot is not None or not unread)
            for one in wanted:
                sent = await backfill.send(one.key, one.name, newest[one.key]) if backfill else None
                self._send_latest(one.key, latest.get(str(one.key)), sent)
            for one in wanted:
                self._groups.redirect([one.key], self._outbox.receiver(str(one.key)))
        except ProtocolError:
            await self._forget(wanted)
            raise
        finally:
            self._outbox.end_change()
            for one in wanted:
                self._held.pop(str(one.key), None)
        if snapshot is not None and not snapshot.bridge_up:
            for one in wanted:
                if (ahead := snapshot.ahead.get(str(one.key))) is not None:
                    self._feed.show_provisionally(one.key, ahead)

    async def _forget(self, wanted: list[Wanted]) -> None:
        """Forget instruments whose groups could not be joined."""
        for one in wanted:
            field = str(one.key)
            self.requested.pop(field, None)
            self.keys.pop(field, None)
            self._outbox.forget(field)
            self._groups.forget(field)
        await self._groups.leave_all([price_group(one.key) for one in wanted])

    async def follow_master(self, resolve: Resolve) -> list[str]:
        """Follow names that mean another instrument since the master changed.

        Returns:
            The keys of instruments that the client may not see.
        """
        dropped, moved = [], []
        for field, (name, segment) in list(self.requested.items()):
            try:
                key = resolve(name, segment=segment)
            except InstrumentsError:
                continue
            if str(key) == field:
                continue
            delay = self._access.entitlements.delay_of(key)
            if str(key) in self.requested:
                await self._leave(field)
            elif delay is None:
                await self._leave(field)
                dropped.append(str(key))
            else:
                minutes = self._delayed.minutes.get(field)
                await self._move(field, Wanted(key, name), segment)
                moved.append(Wanted(key, name))
                if minutes and delay and not InstrumentKey.parse(field).segment:
                    # Its ticks from before the change are in the log under the bare name.
                    self._delayed.finish(field, minutes, successor=str(key))
        if moved:
            await self._begin(moved, lambda: None)
        return dropped + await self._candles.follow_master(resolve)

    async def reconsider(self) -> list[str]:
        """Apply changed entitlements; return the instrument keys of what was dropped."""
        dropped, moved = [], []
        for field, (name, segment) in list(self.requested.items()):
            key = self.keys.get(field) or self._delayed.keys[field]
            delay = self._access.entitlements.delay_of(key)
            if delay == self._delayed.minutes.get(field, 0):
                continue
            if delay is None:
                await self._leave(field)
                dropped.append(field)
            else:
                await self._move(field, Wanted(key, name), segment)
                moved.append(Wanted(key, name))
        if moved:
            await self._begin(moved, lambda: None)
        return dropped + await self._candles.reconsider()

    async def _move(self, field: str, wanted: Wanted, segment: str) -> None:
        """Leave an instrument for what is to begin in its place, in the same mode."""
        mode = self._outbox.framing.modes.get(field)
        every_tick = field in self._outbox.lossless
        await self._leave(field)
        self._outbox.want(str(wanted.key), mode=mode, every_tick=every_tick)
        self.requested[str(wanted.key)] = (wanted.name, segment)

    async def _leave(self, field: str) -> None:
        self.requested.pop(field, None)
        self._outbox.forget(field)
        if field in self._delayed.keys:
            self._delayed.leave(field)
        else:
            self._groups.forget(field)
            await self._groups.leave(price_group(self.keys.pop(field)))

    def _route(self, receiver: Receiver) -> None:
        """Let a receiver take the prices of all instruments that need no comparison."""
        self._groups.redirect(self.keys.values(), receiver)

    def _send_latest(
        self, key: InstrumentKey, latest: LatestPrice | None, sent: StreamPosition | None = None
    ) -> None:
        """Send the latest price of an instrument, then the held ticks that are newer.

        Args:
            sent: the position of the last tick of it that the client was sent.
        """
        held = self._held.pop(str(key))
        first = latest_message(str(key), latest) if latest else None
        last = self._groups.newest_message(key)
        if not held and last is not None and last["type"] == "quote.tick":
            first = last
        elif last is None and first is not None:
            self._groups.remember(key, first)
        take = self._outbox.receiver(str(key))
        if sent is not None:
            self._outbox.begin(str(key), sent)
        elif first is not None:
            take(first)
            sent = position_of(first)
        self._groups.begin(key, sent)
        for event in held:
            if self._groups.positions.is_newer(event, sent):
                take(event)

    async def remove(self, message: Unsubscribe) -> None:
        """Unsubscribe from what a message names, and acknowledge."""
        if message.candles is not None:
            return await self._candles.remove(message)
        names, rejected = [], []
        for name in message.names:
            try:
                key = index.resolve(name, segment=message.segment)
            except InstrumentsError as error:
                rejected.append(rejection(name, error.code, str(error)))
                continue
            if str(key) not in self.requested:
                rejected.append(rejection(name, ErrorCode.UNKNOWN_SYMBOL, "not subscribed"))
                continue
            await self._leave(str(key))
            names.append(name)
        answer = {"symbols": names, "rejected": rejected, "subscriptions": len(self.requested)}
        self._outbox.control(frame("unsubscribed", id=message.id, **answer))

    def receive(self, event: Message) -> None:
        """Take a message of one of the groups."""
        if event["type"] != "quote.tick":
            self._candles.receive(event)
            return
        if (key := self.keys.get(event["key"])) is None:
            return  # another layer's message that was on its way
        held = self._held.get(event["key"])
        if held is None:
            if not self._groups.positions.is_repeat(event):
                take = self._outbox.receiver(event["key"])
                take(event)
                if not self._outbox.interval_membership.is_shared:
                    self._groups.redirect([key], take)
            return
        if len(held) >= _MAX_HELD_TICKS:
            held.clear()
            self._outbox.skipped += _MAX_HELD_TICKS
        held.append(event)

    def receive_numbered(self, event: Message) -> None:
        """Take a tick that others are not sent, since its price was shown before it had a number.

        A client that wants every tick was not shown that price.
        """
        if event["key"] in self._outbox.lossless:
            self.receive(event)

    def wanted_candles(self) -> WantedCandles:
        """Return the candles that the client is subscribed to."""
        return {field: (key, set(labels)) for field, (key, labels) in self._candles.wanted.items()}

    def fail(self, error: Exception) -> None:
        """Let the client be ended because of an error."""
        self._outbox.fail(error)

    def end(self) -> None:
        """Leave all groups at once, where the layer can."""
        self._ended = True
        self._delayed.end()
        self._groups.end()

    async def leave_groups(self) -> None:
        """Leave the groups of a layer that cannot leave all at once."""
        groups = [price_group(key) for key in self.keys.values()]
        await self._groups.leave_all([*groups, *self._candles.groups()])
