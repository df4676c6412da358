"""One client's subscriptions to candles: past ones, then each as it forms and when it is final."""

import msgspec

from instruments.errors import InstrumentsError
from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.conf import conf
from quotes.errors import BadInterval, ProtocolError
from quotes.history.candles.intervals import Interval
from quotes.layer.lanes import Message
from quotes.store.group_names import candle_group
from quotes.websocket.client_access import ClientAccess
from quotes.websocket.delivery.outbox import Outbox
from quotes.websocket.delivery.price_message import CANDLE, PriceMessage
from quotes.websocket.feed.feed import Feed, Resolve
from quotes.websocket.protocol import ErrorCode, Subscribe, Unsubscribe, answer, frame, rejection
from quotes.websocket.subscriptions.admission import admit
from quotes.websocket.subscriptions.membership import GroupMembership
from quotes.websocket.subscriptions.naming import find_instruments, subscribed_as

# Weeks and months are made of days when they are read; they are not sent as they form.
_LIVE = tuple(interval for interval in Interval if interval <= Interval.DAY)


class CandleSubscriptions:
    """One client's subscriptions to candles.

    A candle is sent each time it changes and when it is final, in order; like prices it may be
    conflated when the client is slow.

    Args:
        membership: of the client in groups.
        access: what the client may see.

    Attributes:
        wanted: instrument key's text -> key, and the names of its intervals, each with the name and
            segment as the client wrote them.
    """

    def __init__(
        self,
        feed: Feed,
        outbox: Outbox,
        membership: GroupMembership,
        *,
        access: ClientAccess,
    ) -> None:
        self._feed = feed
        self._outbox = outbox
        self._membership = membership
        self._access = access
        self.wanted: dict[str, tuple[InstrumentKey, dict[str, tuple[str, str]]]] = {}
        # (instrument key, interval) -> candles that came while the past ones are being read
        self._held: dict[tuple[str, str], list[PriceMessage]] = {}

    def __len__(self) -> int:
        return sum(len(intervals) for _, intervals in self.wanted.values())

    def groups(self) -> list[str]:
        return [candle_group(key) for key, _ in self.wanted.values()]

    async def add(self, message: Subscribe) -> None:
        """Subscribe to candles: acknowledgement, past candles if asked for, then live ones."""
        interval = _live_interval(message.candles)
        count = _past_count(message)
        subscribed = _SubscribedInstruments(self, interval)
        request = await find_instruments(
            self._feed,
            message.names,
            message.segment,
            subscribed=subscribed,
            room=self._access.max_symbols - len(subscribed),
        )
        admission = admit(
            request,
            subscribed=subscribed,
            access=self._access,
            allow_delayed=False,
        )
        wanted, names, rejected, _ = await self._feed.slices.run(admission)
        for one in wanted:
            self._want(one.key, interval.label, (one.name, request.segment))
            self._held[one.field, interval.label] = []
        try:
            until = self._feed.requests.deadline()
            await self._membership.join([candle_group(one.key) for one in wanted], until=until)
        except ProtocolError:
            for one in wanted:
                self._held.pop((one.field, interval.label), None)
                self._intervals(one.key).pop(interval.label, None)
                if not self._intervals(one.key):
                    del self.wanted[one.field]
            raise
        pairs = zip(names, wanted, strict=True)
        keys = {name: one.field for name, one in pairs if name != one.field}
        self._outbox.control(
            answer(
                message,
                "subscribed",
                candles=interval.label,
                symbols=names,
                **({"keys": keys} if keys else {}),
                **request.answer(),
                rejected=rejected,
                subscriptions=len(self),
                feed=self._feed.state.value,
            )
        )
        try:
            for name, one in zip(names, wanted, strict=True):
                if count:
                    await self._send_past(message, name, one.key, interval, count)
                self._release(one.field, interval.label)
        finally:
            # Live candles come even if past ones cannot be read.
            for one in wanted:
                self._release(one.field, interval.label)

    def _release(self, field: str, label: str) -> None:
        """Send the candles that came while the past ones were being read."""
        for event in self._held.pop((field, label), []):
            self._outbox.price(event)

    def _want(self, key: InstrumentKey, label: str, requested: tuple[str, str]) -> None:
        self.wanted.setdefault(str(key), (key, {}))[1][label] = requested

    def _intervals(self, key: InstrumentKey) -> dict[str, tuple[str, str]]:
        """Return the intervals that the client is subscribed to of an instrument."""
        return self.wanted[str(key)][1] if str(key) in self.wanted else {}

    async def _send_past(
        self, message: Subscribe, name: str, key: InstrumentKey, interval: Interval, count: int
    ) -> None:
        candles = await self._feed.history.last_candles(key, interval, count)
        self._outbox.control(
            frame(
                "candles",
                id=message.id,
                symbol=name,
                key=str(key),
                interval=interval.label,
                candles=list(map(msgspec.Raw, candles)),
            )
        )

    async def remove(self, message: Unsubscribe) -> None:
        """Unsubscribe from candles, and acknowledge."""
        interval = _live_interval(message.candles)
        names, rejected = [], []
        segment = index.segment_code(message.segment)
        for name in message.names:
            try:
                meant = subscribed_as(self._feed.instruments, name, segment)
                key = next((o.key for o in meant if interval.label in self._intervals(o.key)), None)
                if key is None:
                    raise ProtocolError(ErrorCode.UNKNOWN_SYMBOL, "not subscribed")
            except (ProtocolError, InstrumentsError) as error:
                rejected.append(rejection(name, error.code, str(error)))
                continue
            await self._leave(key, interval.label)
            names.append(name)
        self._outbox.control(
            answer(
                message,
                "unsubscribed",
                candles=interval.label,
                symbols=names,
                rejected=rejected,
                subscriptions=len(self),
            )
        )

    async def _leave(self, key: InstrumentKey, label: str) -> None:
        intervals = self._intervals(key)
        intervals.pop(label, None)
        self._outbox.forget(_message_key(str(key), label))
        if not intervals:
            del self.wanted[str(key)]
            await self._membership.leave([candle_group(key)])

    async def follow_master(self, resolve: Resolve) -> list[str]:
        """Follow names that mean another instrument since the master changed.

        Returns:
            The keys of instruments whose candles the client may not see.
        """
        dropped = []
        for field, (former, intervals) in list(self.wanted.items()):
            for label, requested in list(intervals.items()):
                try:
                    key = resolve(requested[0], segment=requested[1])
                except InstrumentsError:
                    continue
                if str(key) == field:
                    continue
                if self._access.entitlements.delay_of(key) != 0:
                    dropped.append(str(key))
                elif label not in self._intervals(key):
                    self._want(key, label, requested)
                    until = self._feed.requests.deadline()
                    await self._membership.join([candle_group(key)], until=until)
                await self._leave(former, label)
        return dropped

    async def reconsider(self) -> list[str]:
        """Drop what the client may no longer see without delay; return the instrument keys."""
        dropped = []
        for field, (key, intervals) in list(self.wanted.items()):
            if self._access.entitlements.delay_of(key) != 0:
                for label in list(intervals):
                    await self._leave(key, label)
                dropped.append(field)
        return dropped

    def receive(self, event: Message) -> None:
        """Take a message of one of the candles' groups."""
        if (
            isinstance(event, PriceMessage)
            or event["type"] != "quote.candles"
            or event["key"] not in self.wanted
        ):
            return
        key = event["key"]
        for label in self.wanted[key][1]:
            if (text := event["candles"].get(label)) is None:
                continue
            candle = event.get(label)
            if candle is None:  # made once for all clients of the process
                candle = event[label] = _candle_message(key, label, text)
            held = self._held.get((key, label))
            if held is None:
                self._outbox.price(candle)
            else:
                held[:] = [*held[1 - conf.history_max_ticks :], candle]


class _SubscribedInstruments:
    """The keys of instruments whose candles of one interval a client has; its length counts all."""

    def __init__(self, candles: CandleSubscriptions, interval: Interval) -> None:
        self._candles = candles
        self._label = interval.label

    def __contains__(self, key: object) -> bool:
        return key in self._candles.wanted and self._label in self._candles.wanted[str(key)][1]

    def __len__(self) -> int:
        return len(self._candles)


def _candle_message(key: str, label: str, text: str) -> PriceMessage:
    """Return the message of one candle, from the JSON object of it."""
    head = frame("candle", key=key, interval=label).encode()
    body = b"%b,%b" % (head[:-1], text.encode()[1:])
    return PriceMessage(_message_key(key, label), 0, 0, 0, body, kind=CANDLE)


def _message_key(key: str, label: str) -> str:
    """Return the key of a candle's message, where a price has its instrument key."""
    return f"candles.{label}.{key}"


def _past_count(message: Subscribe) -> int:
    """Return how many past candles a request wants; raise ProtocolError if it is not valid."""
    history = message.history
    if history is None:
        return 0
    count = history.candles.count if history.candles else history.ticks or 0
    if history.ticks or (history.candles and history.candles.interval != message.candles):
        raise ProtocolError(
            ErrorCode.BAD_REQUEST,
            "history must be candles of the interval subscribed to: "
            '{"candles":{"interval":"5m","count":200}}',
        )
    if count > conf.history_max_ticks:
        raise ProtocolError(
            ErrorCode.BAD_REQUEST,
            f"history can have at most {conf.history_max_ticks} candles, got {count}",
        )
    return count


def _live_interval(text: str | None) -> Interval:
    """Return the interval of a name; raise ProtocolError if its candles are not sent live."""
    try:
        interval = Interval.parse(text or "")
    except BadInterval as error:
        raise ProtocolError(ErrorCode.BAD_REQUEST, str(error)) from error
    if interval not in _LIVE:
        raise ProtocolError(
            ErrorCode.BAD_REQUEST,
            "live candles must have an interval of "
            f"{', '.join(one.label for one in _LIVE)}, got {interval.label}",
        )
    return interval
