"""One client's subscriptions to candles: those there were, then each as it forms and when final."""

from typing import Any

from instruments.errors import InstrumentsError
from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.conf import conf
from quotes.errors import BadInterval, ProtocolError
from quotes.history.candles.intervals import Interval
from quotes.history.recording.announcements import candle_group
from quotes.websocket.client_access import SocketAccess
from quotes.websocket.delivery.outbox import Outbox
from quotes.websocket.feed.feed import Feed
from quotes.websocket.protocol import ErrorCode, Subscribe, Unsubscribe, frame, rejection
from quotes.websocket.subscriptions.admission import admit
from quotes.websocket.subscriptions.membership import Membership

Event = dict[str, Any]

# Weeks and months are made of days when they are asked for; they are not sent as they form.
LIVE = tuple(interval for interval in Interval if interval <= Interval.DAY)


class CandleSubscriptions:
    """What candles one client is subscribed to.

    Args:
        membership: of the client in groups.
        access: what the client may see.
    """

    def __init__(
        self,
        feed: Feed,
        outbox: Outbox,
        membership: Membership,
        *,
        access: SocketAccess,
    ) -> None:
        self.feed = feed
        self.outbox = outbox
        self.membership = membership
        self.access = access
        # instrument key's text -> key, and the names of its intervals
        self.wanted: dict[str, tuple[InstrumentKey, set[str]]] = {}
        self.held: dict[tuple[str, str], list[Event]] = {}  # while the past is being read

    def __len__(self) -> int:
        return sum(len(intervals) for _, intervals in self.wanted.values())

    def groups(self) -> list[str]:
        return [candle_group(key) for key, _ in self.wanted.values()]

    async def add(self, message: Subscribe) -> None:
        """Subscribe to candles: acknowledgement, those there were if asked for, then live ones."""
        interval = live_interval(message.candles)
        count = wanted_count(message)
        wanted, names, rejected = admit(
            message.names,
            message.segment,
            held=HeldCandles(self, interval),
            access=self.access,
            late=False,
        )
        for key, _ in wanted:
            self.wanted.setdefault(str(key), (key, set()))[1].add(interval.label)
            self.held[str(key), interval.label] = []
        await self.membership.join([candle_group(key) for key, _ in wanted])
        self.outbox.control(
            frame(
                "subscribed",
                id=message.id,
                candles=interval.label,
                symbols=names,
                rejected=rejected,
                subscriptions=len(self),
                feed=self.feed.state.value,
            )
        )
        for key, name in wanted:
            if count:
                await self.send_past(message, name, key, interval, count)
            for event in self.held.pop((str(key), interval.label), []):
                self.outbox.price(event)

    def intervals(self, key: InstrumentKey) -> set[str]:
        """Return the names of the intervals that the client is subscribed to of an instrument."""
        return self.wanted[str(key)][1] if str(key) in self.wanted else set()

    async def send_past(
        self, message: Subscribe, name: str, key: InstrumentKey, interval: Interval, count: int
    ) -> None:
        candles = await self.feed.past.candles(key, interval, count)
        head = frame("candles", id=message.id, symbol=name, key=str(key), interval=interval.label)
        self.outbox.control(b'%b,"candles":[%b]}' % (head[:-1], b",".join(candles)))

    async def remove(self, message: Unsubscribe) -> None:
        interval = live_interval(message.candles)
        names, rejected = [], []
        for name in message.names:
            try:
                key = index.resolve(name, segment=message.segment)
                intervals = self.intervals(key)
                if interval.label not in intervals:
                    raise ProtocolError(ErrorCode.UNKNOWN_SYMBOL, "not subscribed")
            except (ProtocolError, InstrumentsError) as error:
                rejected.append(rejection(name, error.code, str(error)))
                continue
            await self.leave(key, interval.label)
            names.append(name)
        self.outbox.control(
            frame(
                "unsubscribed",
                id=message.id,
                candles=interval.label,
                symbols=names,
                rejected=rejected,
                subscriptions=len(self),
            )
        )

    async def leave(self, key: InstrumentKey, label: str) -> None:
        intervals = self.intervals(key)
        intervals.discard(label)
        self.outbox.forget(message_key(str(key), label))
        if not intervals:
            del self.wanted[str(key)]
            await self.membership.leave(candle_group(key))

    async def reconsider(self) -> list[str]:
        """Let go of what the client may no longer see in time; return the instrument keys."""
        dropped = []
        for field, (key, intervals) in list(self.wanted.items()):
            if self.access.entitlements.delay_of(key) != 0:
                for label in list(intervals):
                    await self.leave(key, label)
                dropped.append(field)
        return dropped

    def receive(self, event: Event) -> None:
        """Take a message of one of the candles' groups."""
        if event["type"] != "quote.candles" or event["key"] not in self.wanted:
            return
        key = event["key"]
        for label in self.wanted[key][1]:
            if (text := event["candles"].get(label)) is None:
                continue
            candle = event.get(label)
            if candle is None:  # made once for all clients of the process
                candle = event[label] = candle_message(key, label, text)
            held = self.held.get((key, label))
            if held is None:
                self.outbox.price(candle)
            else:
                held[:] = [*held[1 - conf.history_max_ticks :], candle]


class HeldCandles:
    """The instrument keys that a client has candles of, of one interval; how many it has of any."""

    def __init__(self, candles: CandleSubscriptions, interval: Interval) -> None:
        self.candles = candles
        self.label = interval.label

    def __contains__(self, key: object) -> bool:
        return key in self.candles.wanted and self.label in self.candles.wanted[str(key)][1]

    def __len__(self) -> int:
        return len(self.candles)


def candle_message(key: str, label: str, text: str) -> Event:
    """Return the message of one candle, from the JSON object of it."""
    head = frame("candle", key=key, interval=label).decode()
    return {
        "type": "quote.candle",
        "key": message_key(key, label),
        "frame": f"{head[:-1]},{text[1:]}",
    }


def message_key(key: str, label: str) -> str:
    """Return what stands for a candle's stream where a price has its instrument key."""
    return f"candles.{label}.{key}"


def wanted_count(message: Subscribe) -> int:
    """Return how many past candles a subscription asks for; raise ProtocolError if wrongly."""
    history = message.history
    if history is None:
        return 0
    count = history.candles.count if history.candles else history.ticks or 0
    if history.ticks or (history.candles and history.candles.interval != message.candles):
        raise ProtocolError(
            ErrorCode.BAD_REQUEST,
            "history of candles is of the interval subscribed to: "
            '{"candles":{"interval":"5m","count":200}}',
        )
    if count > conf.history_max_ticks:
        raise ProtocolError(
            ErrorCode.BAD_REQUEST,
            f"history has at most {conf.history_max_ticks} candles, was {count}",
        )
    return count


def live_interval(text: str | None) -> Interval:
    """Return the interval of a name; raise ProtocolError if none is sent as it forms."""
    try:
        interval = Interval.parse(text or "")
    except BadInterval as error:
        raise ProtocolError(ErrorCode.BAD_REQUEST, str(error)) from error
    if interval not in LIVE:
        raise ProtocolError(
            ErrorCode.BAD_REQUEST,
            f"live candles are of {', '.join(one.label for one in LIVE)}, was {interval.label}",
        )
    return interval
