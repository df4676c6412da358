"""One client's live prices: how it gets from none to live ones.

Beginning leaves no gap and no repeat: it joins the groups first and holds the ticks that arrive,
sends the acknowledgement and the latest prices, then the held ticks that are newer.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from quotes.errors import ProtocolError
from quotes.runtime.time_slices import Steps, chunks
from quotes.store.positions import StreamPosition
from quotes.websocket.delivery.outbox import Outbox
from quotes.websocket.delivery.price_message import PriceMessage
from quotes.websocket.feed.delivered import is_tick, position_of
from quotes.websocket.feed.feed import Feed
from quotes.websocket.feed.first_prices import FirstPrices
from quotes.websocket.feed.named_instruments import NamedInstrument
from quotes.websocket.subscriptions.backfill import Backfill
from quotes.websocket.subscriptions.membership import GroupMembership

# At most this many newer ticks of an instrument are held while its latest price is being read.
_MAX_HELD_TICKS = 1000
# Instruments that one step takes: well under a millisecond.
_STEP = 50


class LivePrices:
    """Lets one client begin with live prices, and takes those that need a comparison.

    Args:
        membership: of the client in groups.
        forget: forgets subscriptions that could not begin, by their keys' texts; returns the groups
            to leave.

    Attributes:
        held: instrument key's text -> the ticks that came while its subscription is under way.
        ended: whether the client has ended; what is under way then sends nothing more.
    """

    def __init__(
        self,
        feed: Feed,
        outbox: Outbox,
        membership: GroupMembership,
        *,
        forget: Callable[[Sequence[str]], list[str]],
    ) -> None:
        self._feed = feed
        self._outbox = outbox
        self._groups = membership
        self._forget = forget
        self.held = membership.positions.held
        self.ended = False

    async def begin(
        self,
        wanted: list[NamedInstrument],
        acknowledge: Callable[[], None],
        backfill: Backfill | None,
    ) -> None:
        """Join the groups, acknowledge, send the latest prices and then the held ticks.

        A client that wants every tick holds them all from before the acknowledgement on.
        """
        self._outbox.begin_change()
        past = backfill is not None and backfill.is_wanted
        known = [] if past or self._outbox.lossless else self._groups.known(wanted)
        new = wanted
        if known:
            fields = {one.field for one in known}
            new = [one for one in wanted if one.field not in fields]
        self.held.update(dict.fromkeys([one.field for one in new]))
        is_acknowledged = False
        try:
            until = self._feed.requests.deadline()
            await self._groups.join([one.group for one in new], until=until)
            newest = self._groups.newest_messages(new)
            unread = [one for one, last in zip(new, newest, strict=True) if last is None]
            prices = await self._feed.latest.first.read(unread, until=until)
            acknowledge()
            is_acknowledged = True
            lost = await self._feed.slices.run(self._begin_known(known))
            if backfill is not None and past:
                await self._send_past(new, prices, backfill)
            else:
                await self._feed.slices.run(self._send_steps(new, prices))
        except Exception as error:
            if not self.ended and (not is_acknowledged or isinstance(error, ProtocolError)):
                await self._groups.leave(self._forget([one.field for one in wanted]))
            raise
        finally:
            self._outbox.end_change()
            for one in new:
                self.held.pop(one.field, None)
        if lost and not self.ended:
            await self.begin(lost, lambda: None, None)

    def _begin_known(self, known: list[NamedInstrument]) -> Steps[list[NamedInstrument]]:
        """Begin with instruments whose newest price is known here: nothing has to be held.

        Returns:
            Those whose price is no longer known, since all others have left their groups.
        """
        price = self._outbox.price
        lost = []
        for chunk in chunks(known, _STEP):
            if self.ended:
                break
            for one, message in zip(chunk, self._groups.join_known(chunk, price), strict=True):
                if message is None:
                    lost.append(one)
                elif isinstance(message, PriceMessage):
                    price(message)
            yield
        return lost

    def _send_steps(self, wanted: list[NamedInstrument], prices: FirstPrices) -> Steps[None]:
        for chunk in chunks(wanted, _STEP):
            if self.ended:
                return
            self._send_first(chunk, prices)
            yield

    async def _send_past(
        self, wanted: list[NamedInstrument], prices: FirstPrices, backfill: Backfill
    ) -> None:
        """Send past ticks of each instrument before its first price."""
        newest = []
        for one in wanted:
            numbered = filter(is_tick, self.held[one.field] or ())
            read = next(numbered, prices.messages.get(one.field))
            newest.append(self._groups.newest(one, read))
        await backfill.prepare(has_latest=prices.is_complete)
        for one, position in zip(wanted, newest, strict=True):
            sent = await backfill.send(one.key, position)
            self._send_first([one], prices, sent)
            await asyncio.sleep(0)  # what it sends may be in memory, and much

    def _send_first(
        self,
        wanted: Sequence[NamedInstrument],
        prices: FirstPrices,
        sent: StreamPosition | None = None,
    ) -> None:
        """Send the latest price of instruments, then the held ticks that are newer.

        Args:
            sent: the position of the last tick that the client was sent of the only instrument; its
                latest price is then not sent.
        """
        lossless = self._outbox.lossless
        price, next_tick = self._outbox.price, self._outbox.next_tick
        newest = self._groups.newest_messages(wanted)
        delivered = self._groups.delivered_messages(wanted)
        for one, last, given in zip(wanted, newest, delivered, strict=True):
            field = one.field
            take = next_tick if field in lossless else price
            held = self.held.pop(field)
            first = None
            if sent is not None:
                self._outbox.begin(field, sent)
            else:
                first = prices.messages.get(field)
                if not held and isinstance(last, PriceMessage):
                    first = last
                if first is not None:
                    take(first)
            if first is None or held or first is not given:
                position = position_of(first) if first is not None else sent
                self._groups.begin(field, position, given)
                for event in held or ():
                    if self._groups.positions.is_newer(event, position):
                        take(event)
        self._redirect(wanted)

    def _redirect(self, instruments: Iterable[NamedInstrument]) -> None:
        """Let the outbox take the prices of the instruments that need no comparison."""
        outbox = self._outbox
        if not outbox.lossless:
            self._groups.redirect(instruments, outbox.price)
            return
        for one in instruments:
            self._groups.redirect([one], outbox.receiver(one.field))

    def take(self, one: NamedInstrument, event: PriceMessage) -> None:
        """Take a tick of an instrument that the client is subscribed to, or is about to be."""
        field = one.field
        if field not in self.held:
            if not self._groups.positions.is_repeat(event):
                take = self._outbox.receiver(field)
                take(event)
                if not self._outbox.interval_membership.is_shared:
                    self._groups.redirect([one], take)
            return
        held = self.held[field]
        if held is None:
            self.held[field] = [event]
            return
        if len(held) >= _MAX_HELD_TICKS:
            held.clear()
            self._outbox.skipped += _MAX_HELD_TICKS
        held.append(event)
