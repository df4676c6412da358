"""The market as the bridge knows it: every stream by the names under which its ticks come.

Pure: no I/O. What was decided is collected, in order, until the bridge takes it out in batches
that it writes to Redis.
"""

from binascii import crc32
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from instruments.errors import BadSegment, InstrumentsError
from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.bridge.pending import Outcomes
from quotes.bridge.streams import Stream, Verdict
from quotes.errors import BadTick, quoted
from quotes.runtime.clock import now_ms
from quotes.runtime.redis_link import Messages
from quotes.store.inbox import MARK, InboxEntry
from quotes.store.latest import LatestPrice
from quotes.ticks import Tick, parse_tick, segment_text, usual_frame, usual_head

# Each stream costs about 1 KiB; more than this many is a publisher gone wild.
MAX_STREAMS = 500_000


@dataclass
class Counters:
    """What became of the messages since the start."""

    received: int = 0
    shown: int = 0
    stale: int = 0
    bad: int = 0
    repeated: int = 0
    history: int = 0


# Stands for the symbol of a tick that names none.
UNNAMED = "unnamed tick, of its channel's symbol"

Complaint = Callable[[str, str], None]  # kind, text


def shard_of(symbol: str, shards: int) -> int:
    """Return the shard of all instruments that bear a symbol, from 1."""
    return crc32(symbol.encode()) % shards + 1 if symbol else 1


class Market:
    """Decides on published messages.

    Args:
        prefix: what precedes the symbol in publishers' channels.
        complain: called with "bad" or "stale" and a sentence for each such message.
        shard: which part of the market to decide on, and how many parts there are.
    """

    def __init__(
        self, *, prefix: str, complain: Complaint, shard: tuple[int, int] = (1, 1)
    ) -> None:
        self.prefix = prefix
        self.complain = complain
        self.shard, self.shards = shard
        self.counters = Counters()
        self.outcomes = Outcomes()
        self.mine: dict[bytes, bool] = {}  # channel -> whether its instrument is of this shard
        self.streams: dict[str, Stream] = {}  # instrument key -> stream
        self.names: dict[tuple[bytes, str, str], Stream] = {}  # channel, symbol, segment -> stream
        # channel -> stream, and the texts by which its usual messages are read
        self.heads: dict[bytes, tuple[Stream, bytes, bytes]] = {}
        self.last_tick: int | None = None  # time of arrival of the last good message

    def take_inbox(self, entry: InboxEntry) -> None:
        """Carry out an entry of the inbox: decide on its ticks, or let streams start over."""
        first = self.outcomes.number
        if entry.forget:
            self.forget(msgspec.json.decode(entry.forget, type=list[str] | None))
        else:
            self.take(entry.messages, live=entry.live)
        self.outcomes.mark(first, entry.position)

    def take(self, messages: Messages, *, live: bool = True) -> None:
        """Decide on messages of publishers.

        Args:
            messages: pairs of a publisher's channel and what was published there.
            live: False for history: ticks that are logged and not shown.
        """
        if self.shards > 1:
            messages = [message for message in messages if self.is_mine(message[0])]
        now = now_ms()
        counters, heads, outcomes = self.counters, self.heads, self.outcomes.pending
        counters.received += len(messages)
        bad_before, passed = counters.bad, 0
        for channel, payload in messages:
            if payload[-3:] == MARK:
                passed += 1  # it comes, or came, by the inbox
                continue
            known = heads.get(channel)
            usual = usual_frame(payload, known[1], known[2], now_ms=now) if known else None
            if known is not None and usual is not None:
                stream = known[0]
                timestamp, frame = usual
            else:
                try:
                    stream, timestamp, frame = self.read(channel, payload, now)
                except (BadTick, InstrumentsError, UnicodeDecodeError) as error:
                    counters.bad += 1
                    self.complain("bad", f"{quoted(channel)}: {error}")
                    continue
            verdict = stream.take(timestamp, frame) if live else Verdict.HISTORY
            if verdict is Verdict.SHOWN:
                counters.shown += 1
                outcomes.append((stream, stream.row(now)))
            elif verdict is Verdict.STALE:
                counters.stale += 1
                outcomes.append((stream, stream.late_row(timestamp, frame, now)))
                self.complain("stale", stale_text(stream, timestamp))
            elif verdict is Verdict.HISTORY:
                counters.history += 1
                outcomes.append((stream, stream.late_row(timestamp, frame, now)))
            else:
                counters.repeated += 1
        counters.received -= passed
        if live and counters.bad - bad_before + passed < len(messages):
            self.last_tick = now

    def adopt(self, values: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Show what publishers' keys hold where it is news.

        Args:
            values: pairs of a publisher's key and its value.
        """
        now = now_ms()
        for key, payload in values:
            if payload is None or not self.is_mine(key):
                continue
            try:
                stream, timestamp, frame = self.read(key, payload, now)
            except (BadTick, InstrumentsError, UnicodeDecodeError):
                continue  # a key may hold anything; its messages are what is counted
            if stream.adopt(timestamp, frame) is Verdict.SHOWN:
                self.counters.shown += 1
                self.outcomes.pending.append((stream, stream.row(now)))

    def read(self, channel: bytes, payload: bytes, now: int) -> tuple[Stream, int, bytes]:
        """Return the stream of a message, its timestamp and its price frame.

        Raises:
            BadTick, InstrumentsError, UnicodeDecodeError: it is no tick of this channel.
        """
        tick = parse_tick(payload, now_ms=now, symbol=UNNAMED)
        stream = self.names.get((channel, tick.symbol, tick.segment)) or self.find(channel, tick)
        if not tick.segment and tick.symbol == stream.key.symbol:
            head = usual_head(tick.symbol)
            self.heads[channel] = (stream, head, segment_text(stream.key.segment))
        return stream, tick.timestamp, stream.frame_of(tick)

    def is_mine(self, channel: bytes) -> bool:
        """Say whether a channel's instrument is of this shard, whichever of its names it bears."""
        if self.shards == 1:
            return True
        found = self.mine.get(channel)
        if found is None:
            try:
                symbol = index.resolve(channel[len(self.prefix.encode()) :].decode()).symbol
            except (InstrumentsError, UnicodeDecodeError):
                symbol = ""  # shard 1 counts what is no symbol
            found = shard_of(symbol, self.shards) == self.shard
            if len(self.mine) < 4 * MAX_STREAMS:
                self.mine[channel] = found
        return found

    def find(self, channel: bytes, tick: Tick) -> Stream:
        """Return the stream of a tick that came on a channel.

        Raises:
            BadTick: the tick's symbol is not the channel's, or there are too many streams.
            InstrumentsError: no instrument can have this name.
        """
        name = channel[len(self.prefix.encode()) :].decode()
        key = self.key_of(name, "" if ":" in name else tick.segment)
        if tick.symbol not in (UNNAMED, name, key.symbol):
            other = self.key_of(tick.symbol, key.segment)
            if other != key:
                raise BadTick(f"symbol must be the channel's, was {quoted(tick.symbol)}")
        stream = self.stream(key)
        self.names[channel, tick.symbol, tick.segment] = stream
        return stream

    def key_of(self, name: str, segment: str) -> InstrumentKey:
        try:
            return index.resolve(name, segment=segment)
        except BadSegment:
            return index.resolve(name)  # a key of the publisher's own that happens to be called so

    def relearn(self) -> None:
        """Ask the master anew which instruments the names mean; it has changed."""
        self.names.clear()
        self.heads.clear()
        self.mine.clear()

    def stream(self, key: InstrumentKey) -> Stream:
        stream = self.streams.get(str(key))
        if stream is None:
            if len(self.streams) >= MAX_STREAMS or len(self.names) >= 4 * MAX_STREAMS:
                raise BadTick(f"more than {MAX_STREAMS} instruments, was {quoted(str(key))}")
            stream = self.streams[str(key)] = Stream(key, epoch=now_ms())
        return stream

    def restore(self, records: Iterable[tuple[str, LatestPrice]]) -> None:
        """Take over the numbering that Redis has; streams that it does not have are dropped."""
        self.streams.clear()
        self.names.clear()
        self.heads.clear()
        self.outcomes.clear()
        for field_name, latest in records:
            key = InstrumentKey.parse(field_name)
            if shard_of(key.symbol, self.shards) == self.shard:
                self.stream(key).restore(latest)

    def forget(self, fields: list[str] | None) -> None:
        """Let streams start over in a new epoch; None stands for all of them."""
        for field_name in list(self.streams) if fields is None else fields:
            stream = self.streams.pop(field_name, None)
            if stream is not None:
                self.outcomes.pending.append((stream, None))
        self.names.clear()
        self.heads.clear()

    def deaf(self) -> None:
        """Note that messages may be missed from now on."""
        for stream in self.streams.values():
            stream.live = False


def stale_text(stream: Stream, timestamp: int) -> str:
    return (
        f"{stream.field}: a tick of {timestamp} came after one of {stream.timestamp} and is "
        f"not shown; if publishing started over, run `manage.py forget_price '{stream.field}'`"
    )
