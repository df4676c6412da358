"""One client's subscriptions: what its requests, the master and its entitlements make of them.

Long work is done in time slices, so that other clients' prices go on meanwhile.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from instruments.errors import InstrumentsError
from instruments.index import index
from quotes.errors import ProtocolError
from quotes.layer.groups import Receiver
from quotes.layer.lanes import Message
from quotes.runtime.time_slices import Steps, chunks
from quotes.websocket.client_access import ClientAccess
from quotes.websocket.delivery.outbox import Outbox
from quotes.websocket.delivery.price_message import PriceMessage
from quotes.websocket.feed.delayed import DelayedSubscriptions
from quotes.websocket.feed.feed import Feed, Resolve
from quotes.websocket.feed.first_prices import FirstPrices
from quotes.websocket.feed.missed_candles import WantedCandles
from quotes.websocket.feed.named_instruments import NamedInstrument
from quotes.websocket.protocol import (
    ErrorCode,
    Resubscribe,
    Subscribe,
    Unsubscribe,
    UnsubscribeModes,
    answer,
    frame,
    rejection,
)
from quotes.websocket.subscriptions.admission import Admission, admit
from quotes.websocket.subscriptions.backfill import Backfill
from quotes.websocket.subscriptions.candles import CandleSubscriptions
from quotes.websocket.subscriptions.live_prices import LivePrices
from quotes.websocket.subscriptions.membership import GroupMembership
from quotes.websocket.subscriptions.naming import NamedRequest, find_instruments, subscribed_as
from quotes.websocket.subscriptions.option_chains import ChainSubscription, Move, OptionChains
from quotes.websocket.subscriptions.segments import SegmentSubscriptions

# A request for more instruments than this waits for others of its kind (`Feed.large_requests`).
_LARGE_REQUEST = 200
# Instruments that one step takes: well under a millisecond.
_STEP = 50


class PriceSubscriptions:
    """One client's subscriptions: prices, delayed prices and candles.

    Its methods that wait are called one at a time (`ClientSession`). One that is cancelled may
    leave the client in groups; `end` leaves them.

    Args:
        channel: the channel-layer channel of the connection.
        access: what the client may see.

    Attributes:
        requested: instrument key's text -> the instrument as the client named it, of those with
            delay as well.
        chains: the option chains around the money.
        resumed: how many requests resumed from a position.
    """

    def __init__(self, feed: Feed, outbox: Outbox, *, channel: str, access: ClientAccess) -> None:
        self._feed = feed
        self._access = access
        self._groups = GroupMembership(feed.layer, feed.slices, channel, self.receive)
        self._outbox = outbox
        self.requested: dict[str, NamedInstrument] = {}
        self.chains = OptionChains()
        self.resumed = 0
        self._live = LivePrices(feed, outbox, self._groups, forget=self._forget)
        self._candles = CandleSubscriptions(feed, outbox, self._groups, access=access)
        self._ended = False
        self._delayed = DelayedSubscriptions(feed.delayed, outbox.price)
        self._segments = SegmentSubscriptions(
            feed,
            outbox,
            access,
            requested=self.requested,
            begin=lambda wanted: self._begin(wanted, lambda: None),
            leave=self._leave,
            is_over=lambda: self._ended,
        )
        if feed.layer.is_direct:
            outbox.interval_membership.keys = self._groups.direct.keys()
            outbox.interval_membership.route = self._route

    def count(self) -> int:
        """Return how many instruments count for the client's limit of symbols."""
        return len(self.requested) - len(self._segments)

    def has(self, field: str) -> bool:
        """Return whether the client gets prices or candles of an instrument, by its key's text."""
        return field in self.requested or field in self._candles.wanted

    def total(self) -> int:
        """Return how many instruments' prices and candles the client gets."""
        return len(self.requested) + len(self._candles)

    def listed(self) -> dict[str, Any]:
        """Return what the answer to `list` says."""
        has = self._segments.has if len(self._segments) else lambda field: False
        symbols = [field for field in self.requested if not has(field)]
        return {"symbols": symbols, **self._segments.listed(), "subscriptions": len(symbols)}

    async def add(self, message: Subscribe) -> None:
        """Subscribe to what a message asks for: acknowledgement, latest prices, live prices."""
        if message.candles is not None:
            await self._candles.add(message)
            return
        if message.is_whole_segment:
            await self._segments.add(message, count=self.count)
            return
        if message.since is not None:
            self.resumed += 1
        names, chain = message.names, None
        if message.underlying is not None:
            chain = await self.chains.find(self._feed, message, self._access.entitlements)
            names = list(dict.fromkeys([*names, *chain.window]))
        backfill = Backfill(
            self._feed.history,
            self._outbox,
            message,
            names,
            held=self._live.held,
            is_over=lambda: self._ended,
        )
        if message.seq:
            self._outbox.set_framing(numbered=True)
        # One with past ticks waits for its own client, so it must not hold up others.
        async with self._place(0 if backfill.is_wanted else len(names)):
            await self._add(names, message, backfill, chain)

    def _place(self, instruments: int) -> AbstractAsyncContextManager[Any]:
        """Return what to hold while a request for so many instruments is carried out."""
        return self._feed.large_requests if instruments > _LARGE_REQUEST else nullcontext()

    async def _add(
        self,
        names: Sequence[str],
        message: Subscribe,
        backfill: Backfill,
        chain: ChainSubscription | None,
    ) -> None:
        request = await find_instruments(
            self._feed,
            names,
            message.segment,
            subscribed=self.requested,
            room=self._access.max_symbols - self.count(),
            known_only=isinstance(message, Resubscribe) and message.known_only,
        )
        if self._ended:
            return
        admission = await self._feed.slices.run(self._admit(request, message))
        wanted, taken, repeated = admission.wanted, admission.names, admission.repeated
        if self._outbox.framing.waits_for_days and message.mode != "ltp":
            await self._feed.read_days([one.field for one in (*wanted, *repeated.values())])
        if chain is not None or self.chains.subscribed:
            self._note_chain(chain, request, message, {one.field for one in wanted})
        # Frames have the exchange's symbol and segment; clients map other names to them.
        keys = {
            name: one.field
            for name, one in (*zip(taken, wanted, strict=True), *repeated.items())
            if name != one.field
        }
        backfill.names = {key: name for name, key in keys.items()}

        def acknowledge() -> None:
            self._outbox.control(
                answer(
                    message,
                    "subscribed",
                    symbols=[*taken, *repeated],
                    **({"keys": keys} if keys else {}),
                    **request.answer(),
                    **({"chain": chain.values()} if chain else {}),
                    rejected=admission.rejected,
                    subscriptions=self.count(),
                    feed=self._feed.state.value,
                )
            )

        await self._begin(wanted, acknowledge, backfill)
        if repeated:
            await self._repeat(list(repeated.values()), message.mode)

    async def _repeat(self, instruments: list[NamedInstrument], mode: str | None) -> None:
        """Set the mode of instruments that the client has, and send their newest prices again."""
        live = [one for one in instruments if one.field not in self._delayed.keys]
        newest = self._groups.newest_messages(live)
        unread = [one for one, last in zip(live, newest, strict=True) if last is None]
        until = self._feed.requests.deadline()
        prices = await self._feed.latest.first.read(unread, until=until)
        await self._feed.slices.run(self._repeat_steps(instruments, mode, prices))

    def _repeat_steps(
        self, instruments: list[NamedInstrument], mode: str | None, prices: FirstPrices
    ) -> Steps[None]:
        outbox = self._outbox
        for chunk in chunks(instruments, _STEP):
            if self._ended:
                return
            for one, last in zip(chunk, self._groups.newest_messages(chunk), strict=True):
                field = one.field
                if field not in self.requested:
                    continue
                outbox.want(field, mode=mode, every_tick=False)
                if field in self._delayed.keys:
                    self._delayed.repeat(field)
                    continue
                first = last or prices.messages.get(field)
                if field not in outbox.lossless and isinstance(first, PriceMessage):
                    outbox.price(first)
            yield

    def _note_chain(
        self,
        chain: ChainSubscription | None,
        request: NamedRequest,
        message: Subscribe,
        admitted: set[str],
    ) -> None:
        """Note which options the client has by a chain alone, and which it named itself."""
        if chain is not None and message.strikes_around is None:
            explicit = set(request.names)
        else:
            explicit = set(message.names)
        for name, one in zip(request.names, request.found, strict=True):
            if name in explicit and isinstance(one, NamedInstrument):
                self.chains.requested(one.field)
                admitted.discard(one.field)
        if chain is not None and message.strikes_around is not None:
            self.chains.keep(chain, admitted)

    def _admit(self, request: NamedRequest, message: Subscribe) -> Steps[Admission]:
        admission = yield from admit(
            request,
            subscribed=self.requested,
            access=self._access,
            uncounted=len(self._segments),
            allow_repeated=isinstance(message, Resubscribe),
        )
        self.requested.update([(one.field, one) for one in admission.wanted])
        if message.mode is not None or not message.conflate:
            for one in admission.wanted:
                self._outbox.want(one.field, mode=message.mode, every_tick=not message.conflate)
        return admission

    async def _begin(
        self,
        wanted: list[NamedInstrument],
        acknowledge: Callable[[], None],
        backfill: Backfill | None = None,
    ) -> None:
        """Begin with live prices, or with delayed ones where the client may see no others."""
        delay_of = self._access.entitlements.delay_of
        delays = {one.key.segment: delay_of(one.key) for one in wanted}
        live = [one for one in wanted if delays[one.key.segment] == 0]
        await self._live.begin(live, acknowledge, backfill)
        if len(live) == len(wanted):
            return
        for one in wanted:
            if (delay := delays[one.key.segment]) and not self._ended:
                if backfill is not None:
                    backfill.send_delayed(one.key, delay)
                self._delayed.join(one.key, delay)

    def _route(self, receiver: Receiver) -> None:
        """Let a receiver take the prices of all instruments that need no comparison."""
        delayed = self._delayed.keys
        live = [one for field, one in self.requested.items() if field not in delayed]
        self._groups.redirect(live, receiver)

    # -- changes --------------------------------------------------------------------------------

    async def follow_master(self, resolve: Resolve) -> list[str]:
        """Follow names that mean another instrument since the master changed.

        Returns:
            The keys of instruments that the client may not see.
        """
        self.chains.refresh()
        renamed = await self._feed.slices.run(self._renamed(resolve))
        async with self._place(len(renamed)):
            dropped = await self._follow(renamed)
        await self._segments.follow_master()
        return dropped + await self._candles.follow_master(resolve)

    def _renamed(self, resolve: Resolve) -> Steps[list[tuple[str, NamedInstrument]]]:
        """Return which instruments have another one in their place, and that one."""
        renamed = []
        instruments = self._feed.instruments
        for chunk in chunks(list(self.requested.items()), _STEP):
            for field, one in chunk:
                try:
                    key = resolve(one.name, segment=one.segment)
                except InstrumentsError:
                    continue
                if key != one.key:
                    renamed.append((field, instruments.named(key, one.name, one.segment)))
            yield
        return renamed

    async def _follow(self, renamed: list[tuple[str, NamedInstrument]]) -> list[str]:
        dropped, moved = [], []
        for field, one in renamed:
            delay = self._access.entitlements.delay_of(one.key)
            if one.field in self.requested:
                await self._leave([field])
            elif delay is None:
                await self._leave([field])
                dropped.append(one.field)
            else:
                minutes = self._delayed.minutes.get(field)
                former = self.requested[field].key
                await self._move(field, one)
                moved.append(one)
                if minutes and delay and not former.segment:
                    # Its ticks from before the change are in the log under the bare name.
                    self._delayed.finish(field, minutes, successor=one.field)
        if moved:
            await self._begin(moved, lambda: None)
        return dropped

    async def follow_chains(self) -> None:
        """Report the option chains whose money moved, and move those that follow it."""
        for one in self.chains.behind():
            if one.request.follow:
                await self._move_chain(one)
            else:
                self._send_chain(one, Move([], []), [])

    async def _move_chain(self, one: ChainSubscription) -> None:
        move = one.move(self.requested)
        await self._leave(move.removed)
        find = self._feed.instruments.find
        found = [find(name, "", strict=False) for name in move.added]
        request = NamedRequest(move.added, found, "", [])
        admission = await self._feed.slices.run(self._admit(request, one.request))
        wanted, taken, rejected = admission.wanted, admission.names, admission.rejected
        one.owned.update([each.field for each in wanted])
        move = Move(taken, move.removed)
        try:
            await self._begin(wanted, lambda: self._send_chain(one, move, rejected))
        except ProtocolError:
            # Redis does not answer: what was left is reported, the rest follows.
            one.is_behind = True
            one.window = [key for key in one.window if key in self.requested]
            self._send_chain(one, Move([], move.removed), rejected)

    def _send_chain(self, one: ChainSubscription, move: Move, rejected: list[Any]) -> None:
        values = {**one.values(), "added": move.added, "removed": move.removed}
        if rejected:
            values["rejected"] = rejected
        self._outbox.control(frame("chain", **values, subscriptions=self.count()))

    async def reconsider(self) -> list[str]:
        """Apply changed entitlements; return the instrument keys of what was dropped."""
        dropped_segments = await self._segments.reconsider()
        dropped, moved = [], []
        is_of_segment = self._segments.has if len(self._segments) else lambda field: False
        for field, one in list(self.requested.items()):
            if is_of_segment(field):
                continue
            delay = self._access.entitlements.delay_of(one.key)
            if delay == self._delayed.minutes.get(field, 0):
                continue
            if delay is None:
                dropped.append(field)
            else:
                moved.append(one)
        await self._leave(dropped)
        for one in moved:
            await self._move(one.field, one)
        if moved:
            await self._begin(moved, lambda: None)
        return [*dropped_segments, *dropped, *await self._candles.reconsider()]

    async def _move(self, field: str, one: NamedInstrument) -> None:
        """Leave an instrument for what is to begin in its place, in the same mode."""
        mode = self._outbox.framing.modes.get(field)
        every_tick = field in self._outbox.lossless
        await self._leave([field])
        self._outbox.want(one.field, mode=mode, every_tick=every_tick)
        self.requested[one.field] = one

    async def _leave(self, fields: Sequence[str]) -> None:
        await self._groups.leave(self._forget(fields))

    def _forget(self, fields: Sequence[str]) -> list[str]:
        """Forget subscriptions; return the groups to leave."""
        groups = []
        if self.chains.subscribed:
            self.chains.left(fields)
        if self._segments.owned:
            self._segments.forget(fields)
        for field in fields:
            one = self.requested.pop(field)
            self._outbox.forget(field)
            if field in self._delayed.keys:
                self._delayed.leave(field)
            else:
                self._groups.forget(field)
                groups.append(one.group)
        return groups

    async def remove(self, message: Unsubscribe) -> None:
        """Unsubscribe from what a message names, and acknowledge."""
        if message.candles is not None:
            return await self._candles.remove(message)
        if message.is_whole_segment:
            return await self._segments.remove(message, count=self.count)
        names, rejected, groups = await self._feed.slices.run(self._remove(message))
        await self._groups.leave(groups)
        self._outbox.control(
            answer(
                message,
                "unsubscribed",
                symbols=names,
                rejected=rejected,
                subscriptions=self.count(),
            )
        )

    def _remove(self, message: Unsubscribe) -> Steps[tuple[list[str], list[Any], list[str]]]:
        """Return the names that were removed, the items of `rejected`, and groups to leave."""
        names, rejected, groups = [], [], []
        segment = index.segment_code(message.segment)
        requested = message.names
        modes = message.modes if isinstance(message, UnsubscribeModes) else {}
        if message.underlying is not None:
            chains = self.chains.named(message)
            for one in chains:
                requested = [*requested, *(key for key in one.window if key in one.owned)]
                del self.chains.subscribed[one.id]
        for chunk in chunks(requested, _STEP):
            fields: list[str] = []
            for name in chunk:
                try:
                    meant = subscribed_as(self._feed.instruments, name, segment)
                    field = next((one.field for one in meant if one.field in self.requested), "")
                except InstrumentsError as error:
                    rejected.append(rejection(name, error.code, str(error)))
                    continue
                if not field or field in fields:
                    rejected.append(rejection(name, ErrorCode.UNKNOWN_SYMBOL, "not subscribed"))
                    continue
                names.append(name)
                if not (modes and self._outbox.framing.drop_modes(field, modes.get(name, ()))):
                    fields.append(field)
            groups += self._groups.leave_at_once(self._forget(fields))
            yield
        return names, rejected, groups

    # -- messages of the groups -----------------------------------------------------------------

    def receive(self, event: Message) -> None:
        """Take a message of one of the groups."""
        if not isinstance(event, PriceMessage):
            self._candles.receive(event)
            return
        field = event.key
        one = self.requested.get(field)
        if one is None or field in self._delayed.keys:
            return  # another layer's message that was on its way
        self._live.take(one, event)

    def receive_numbered(self, event: PriceMessage) -> None:
        """Take a tick that others are not sent, since its price was shown before it had a number.

        A client that wants every tick was not shown that price.
        """
        if event.key in self._outbox.lossless:
            self.receive(event)

    def wanted_candles(self) -> WantedCandles:
        """Return the candles that the client is subscribed to."""
        return {field: (key, set(labels)) for field, (key, labels) in self._candles.wanted.items()}

    def fail(self, error: Exception) -> None:
        """Let the client be ended because of an error."""
        self._outbox.fail(error)

    def end(self) -> None:
        """Leave all groups at once, where the layer can."""
        self._ended = self._live.ended = True
        self._delayed.end()
        self._groups.end()
        if self._feed.layer.is_direct:
            self.requested.clear()

    async def leave_groups(self) -> None:
        """Leave the groups of a layer that cannot leave all at once."""
        groups = [one.group for one in self.requested.values()]
        await self._groups.leave_all([*groups, *self._candles.groups()])
