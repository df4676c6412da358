"""The market as a bridge sees it: every stream, by the names under which its ticks come.

Pure: no I/O. Decided ticks are pending, in order, until the bridge takes them out in batches and
writes these to Redis.
"""

import logging
import time
from binascii import crc32
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from types import MappingProxyType

import msgspec

from instruments.errors import InstrumentsError
from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.bridge.counters import TickCounters
from quotes.bridge.intake import take_usual
from quotes.bridge.pending import PendingTicks
from quotes.bridge.silent_names import SilentNames
from quotes.bridge.tick_order import Stream, Verdict
from quotes.bridge.untimed_keys import UntimedKey
from quotes.conf import conf
from quotes.errors import BadTick, quoted
from quotes.runtime.clock import DAY_MS, india_time
from quotes.runtime.redis_link import PublishedMessages
from quotes.runtime.warnings import RateLimitedWarnings
from quotes.store.inbox import InboxEntry
from quotes.store.latest import LatestPrice
from quotes.store.listings import UNNAMED, check_price, published_key
from quotes.store.redis_clock import redis_clock
from quotes.ticks import Tick, parse_tick, segment_text, usual_frame, usual_head

logger = logging.getLogger(__name__)

# Each stream costs about 1 KiB.
MAX_STREAMS = 500_000
# Above this share of them, old values of publishers' keys begin no streams.
CROWDED_SHARE = 0.9
# A search for streams to let go looks at all of them, so it has to wait if it found few.
SEARCH_EVERY_S = 10.0

Warn = Callable[[str, str], None]  # kind, text


def shard_of(symbol: str, shards: int) -> int:
    """Return the shard of all instruments with a symbol, from 1."""
    return crc32(symbol.encode()) % shards + 1 if symbol else 1


class Market:
    """Decides on published messages; all its methods run in the bridge's event loop.

    Args:
        prefix: of publishers' channels; the symbol follows.
        warn: called with "bad", "stale" or "ahead" and a sentence for each such message.
        shard: which part of the market to decide on, and how many parts there are.
        max_streams: how many streams there may be; above it old ones are let go.

    Attributes:
        streams: instrument key -> stream.
        pending: decided ticks that wait to be written.
        let_go: how many streams were let go since the start.
        refused: channels of which every tick is refused.
        late: instrument keys whose ticks are all older than the last one shown.
    """

    def __init__(
        self,
        *,
        prefix: str,
        warn: Warn,
        shard: tuple[int, int] = (1, 1),
        max_streams: int = MAX_STREAMS,
    ) -> None:
        self.prefix = prefix
        self._warn = warn
        self._warn_of_failure = RateLimitedWarnings(logger)
        self.shard, self.shards = shard
        self.max_streams = max_streams
        self.let_go = 0
        self._least_epoch = 0  # above those of all streams that were let go
        self._search_at = float("-inf")
        self.counters = TickCounters()
        self.pending = PendingTicks()
        self.streams: dict[str, Stream] = {}
        self.refused: SilentNames[bytes] = SilentNames(self._number_of_channel)
        self.late: SilentNames[str] = SilentNames(self._number_of)
        self._ours: dict[bytes, bool] = {}  # channel -> whether its instrument is of this shard
        self._names: dict[tuple[bytes, str, str], Stream] = {}  # channel, symbol, segment -> stream
        # channel -> stream, and the texts by which its messages in the usual layout are read
        self._usual: dict[bytes, tuple[Stream, bytes, bytes]] = {}

    def take_inbox(self, entry: InboxEntry) -> None:
        """Carry out an entry of the inbox: decide on its ticks, or let streams start over."""
        first = self.pending.next_number
        if entry.forget:
            self.forget(msgspec.json.decode(entry.forget, type=list[str] | None))
        else:
            self.take(entry.messages, live=entry.live)
        if entry.position:
            self.pending.mark_entry(first, entry.position)

    def take(self, messages: PublishedMessages, *, live: bool = True) -> None:
        """Decide on messages of publishers.

        Args:
            messages: pairs of a publisher's channel and a payload.
            live: False for history: ticks that are logged and not shown.
        """
        if self.shards > 1:
            messages = [message for message in messages if self.is_ours(message[0])]
        now, ahead = redis_clock.now_ms(), redis_clock.max_ahead_ms()
        counters, ticks = self.counters, self.pending.ticks
        bad_before, all_passed = counters.bad, 0
        at, end = 0, len(messages)
        while True:
            at, passed, appended, repeated = take_usual(
                messages, at, self._usual, now + ahead, now, live, ticks
            )
            all_passed += passed
            if live:
                counters.shown += appended
            else:
                counters.history += appended
            counters.repeated += repeated
            if at == end:
                break
            self._take_one(*messages[at], live, now, ahead)
            at += 1
        counters.received += end - all_passed
        if live and counters.bad - bad_before + all_passed < end:
            counters.last_tick = now

    def _take_one(self, channel: bytes, payload: bytes, live: bool, now: int, ahead: int) -> None:
        """Decide on a message that `take_usual` leaves."""
        counters, pending = self.counters, self.pending.ticks
        layout = self._usual.get(channel)
        found = usual_frame(payload, *layout[1:], latest_ms=now + ahead) if layout else None
        if layout is not None and found is not None:
            stream = layout[0]
            timestamp, frame = found
        else:
            try:
                stream, timestamp, frame = self._read(channel, payload, now, ahead)
            except (BadTick, InstrumentsError, UnicodeDecodeError) as error:
                counters.bad += 1
                self.refused.note(channel, str(error))
                self._warn("bad", f"{quoted(channel)}: {error}")
                return
        verdict = stream.take(timestamp, frame) if live else Verdict.HISTORY
        if verdict is Verdict.STALE and stream.timestamp > now + ahead:
            self._start_over(stream, now)
            verdict = stream.take(timestamp, frame)
        if verdict is Verdict.SHOWN:
            counters.shown += 1
            pending.append((stream, stream.row(now)))
        elif verdict is Verdict.STALE:
            counters.stale += 1
            pending.append((stream, stream.late_row(timestamp, frame, now)))
            self.late.note(stream.field, f"older than {stream.timestamp}")
            self._warn("stale", _stale_text(stream, timestamp))
        elif verdict is Verdict.HISTORY:
            counters.history += 1
            pending.append((stream, stream.late_row(timestamp, frame, now)))
        else:
            counters.repeated += 1

    def take_keys(
        self,
        values: Iterable[tuple[bytes, bytes | None]],
        *,
        untimed: Mapping[UntimedKey, int] = MappingProxyType({}),
    ) -> None:
        """Show the values of publishers' keys that are newer than what was shown.

        Args:
            values: pairs of a publisher's key and its value.
            untimed: those that `untimed_keys` found, and when each was first seen. Others
                without a timestamp are passed over: they were shown. So are those of which a
                message came meanwhile, since it may be newer.
        """
        times = {one.key: (one, at) for one, at in untimed.items()}
        now, ahead = redis_clock.now_ms(), redis_clock.max_ahead_ms()
        is_crowded = len(self.streams) >= CROWDED_SHARE * self.max_streams
        for key, payload in values:
            if payload is None or not self.is_ours(key):
                continue
            try:
                if is_crowded and self._is_left_over(key, payload, now, ahead):
                    continue
                one, at = times.get(key, (None, 0))
                stream, timestamp, frame = self._read(key, payload, now, ahead, seen_at=at)
            except (BadTick, InstrumentsError, UnicodeDecodeError):
                continue  # a key may hold anything; only messages are counted
            if not timestamp or (one is not None and one.number != stream.number):
                continue
            if stream.timestamp > now + ahead:
                self._start_over(stream, now)
            if stream.take_key(timestamp, frame) is Verdict.SHOWN:
                self.counters.shown += 1
                self.pending.ticks.append((stream, stream.row(now)))

    def _start_over(self, stream: Stream, now: int) -> None:
        """Let a stream whose last time is too far ahead take right times, in a new epoch."""
        self._warn(
            "ahead",
            f"{stream.field}: the last price is of {stream.timestamp}, ahead of the clock at "
            f"{now}; its numbers start over with the next tick",
        )
        stream.start_over(now)

    def _read(
        self, channel: bytes, payload: bytes, now: int, ahead: int, *, seen_at: int | None = None
    ) -> tuple[Stream, int, bytes]:
        """Return the stream of a message, its timestamp and its price frame.

        Args:
            seen_at: for the value of a key: its time if it has none; None for a message.

        Raises:
            BadTick, InstrumentsError, UnicodeDecodeError: it is not a valid tick of this channel.
        """
        try:
            tick = parse_tick(payload, now_ms=now, ahead_ms=ahead, symbol=UNNAMED)
            if tick.unknown:
                self.counters.unknown += len(tick.unknown)
                self._warn("unknown", f"{quoted(channel)}: no value in {', '.join(tick.unknown)}")
            stream = self._names.get((channel, tick.symbol, tick.segment)) or self._find(
                channel, tick
            )
            check_price(stream.key, tick)
            if not tick.segment and tick.symbol == stream.key.symbol:
                head = usual_head(tick.symbol)
                self._usual[channel] = (stream, head, segment_text(stream.key.segment))
            if not tick.has_time:
                # A message comes after all that came before, whatever their clocks said.
                last = stream.timestamp if stream.timestamp <= now + ahead else 0
                at = max(now, last) if seen_at is None else seen_at
                return stream, at, stream.frame_at(tick, at)
            return stream, tick.timestamp, stream.frame_of(tick)
        except (BadTick, InstrumentsError, UnicodeDecodeError):
            raise
        except Exception as error:  # whatever one message holds, the others are taken
            self._warn_of_failure("a message", f"of {quoted(channel)} failed", error=error)
            raise BadTick(f"the server cannot read it ({type(error).__name__})") from error

    def _number_of(self, field: str) -> tuple[int, int] | None:
        stream = self.streams.get(field)
        return (stream.epoch, stream.seq) if stream else None

    def _number_of_channel(self, channel: bytes) -> tuple[int, int] | None:
        usual = self._usual.get(channel)
        if usual is not None:
            return usual[0].epoch, usual[0].seq
        try:
            name = channel[len(self.prefix.encode()) :].decode()
            return self._number_of(str(index.resolve(name)))
        except (InstrumentsError, UnicodeDecodeError):
            return None

    def is_ours(self, channel: bytes) -> bool:
        """Return whether a channel's instrument is of this shard, under whichever of its names."""
        if self.shards == 1:
            return True
        found = self._ours.get(channel)
        if found is None:
            try:
                symbol = index.resolve(channel[len(self.prefix.encode()) :].decode()).symbol
            except (InstrumentsError, UnicodeDecodeError):
                symbol = ""  # shard 1 counts the messages of invalid names
            found = shard_of(symbol, self.shards) == self.shard
            if len(self._ours) < 4 * self.max_streams:
                self._ours[channel] = found
        return found

    def _find(self, channel: bytes, tick: Tick) -> Stream:
        """Return the stream of a tick that came on a channel.

        Raises:
            BadTick: the tick is not one of the channel's, or there are too many streams.
            InstrumentsError: no instrument can have this name.
        """
        name = channel[len(self.prefix.encode()) :].decode()
        key = published_key(name, tick)
        stream = self._stream(key)
        self._names[channel, tick.symbol, tick.segment] = stream
        return stream

    def rebind_names(self) -> None:
        """Resolve names again from now on: the instrument master has changed."""
        self._names.clear()
        self._usual.clear()
        self._ours.clear()

    def _stream(self, key: InstrumentKey) -> Stream:
        stream = self.streams.get(str(key))
        if stream is None:
            if len(self.streams) >= self.max_streams:
                self._make_room()
            if len(self.streams) >= self.max_streams:
                raise BadTick(f"instruments are at most {self.max_streams}, got {quoted(str(key))}")
            stream = self._begin(key)
            for earlier in sorted(self._earlier_streams(key), key=lambda one: one.timestamp):
                stream.continue_from(earlier)
        return stream

    def _begin(self, key: InstrumentKey) -> Stream:
        if len(self._names) >= 4 * self.max_streams:
            self._names.clear()  # names are looked up again
            self._usual.clear()
        epoch = max(redis_clock.now_ms(), self._least_epoch)
        stream = self.streams[str(key)] = Stream(key, epoch=epoch)
        return stream

    def _earlier_streams(self, key: InstrumentKey) -> list[Stream]:
        """Return the streams of names that mean an instrument only now."""
        names = index.other_names(key) if key.segment else ()
        return [
            self.streams[name]
            for name in names
            if name in self.streams and index.current_key(name) == key
        ]

    def _make_room(self) -> None:
        """Let go of silent streams, and of those of expired or inactive instruments.

        Their latest prices are deleted from Redis with the next writes. What publishers keep there
        is not touched.
        """
        if time.monotonic() < self._search_at:
            return
        now = redis_clock.earliest_ms()
        oldest, today = _oldest_ms(now), india_time(now).date()
        gone = [
            field
            for field, stream in self.streams.items()
            if stream.timestamp < oldest or _is_expired(stream.key, today)
        ]
        if len(gone) <= self.max_streams // 100:
            self._search_at = time.monotonic() + SEARCH_EVERY_S
        if not gone:
            return
        self.let_go += len(gone)
        self._warn("streams", f"let go of {len(gone)} silent or expired names to make room")
        self.forget(gone)

    def _is_left_over(self, key: bytes, payload: bytes, now: int, ahead: int) -> bool:
        """Return whether a publisher's key holds an old tick of a name without a stream.

        One without a timestamp may be of any age.

        Raises:
            BadTick, InstrumentsError, UnicodeDecodeError: it is not a valid tick of this key.
        """
        tick = parse_tick(payload, now_ms=now, ahead_ms=ahead, symbol=UNNAMED)
        name = key[len(self.prefix.encode()) :].decode()
        field = str(published_key(name, tick))
        is_old = not tick.has_time or tick.timestamp < _oldest_ms(redis_clock.earliest_ms())
        return is_old and field not in self.streams

    def restore(self, records: Iterable[tuple[str, LatestPrice]]) -> None:
        """Continue the numbering in Redis; drop streams that Redis does not have."""
        self.streams.clear()
        self._names.clear()
        self._usual.clear()
        self.pending.clear()
        for field_name, latest in records:
            key = InstrumentKey.parse(field_name)
            if shard_of(key.symbol, self.shards) == self.shard:
                self._begin(key).restore(latest)
                self._least_epoch = max(self._least_epoch, latest.epoch + 1)
        if len(self.streams) > self.max_streams:
            self._make_room()

    def restart(self, records: Iterable[tuple[str, LatestPrice]]) -> None:
        """Begin all streams in a new epoch: those of Redis, and those known here.

        The newer price of the two stays, under the number 0.
        """
        latest = {field: one.latest for field, one in self.streams.items()}
        for field, record in records:
            if field not in latest or latest[field].timestamp < record.timestamp:
                latest[field] = record
        newest = max((one.epoch for one in latest.values()), default=0)
        epoch = max(redis_clock.now_ms(), self._least_epoch, newest + 1)
        self.restore(
            (field, LatestPrice(epoch, 0, one.timestamp, one.frame))
            for field, one in latest.items()
            if one.frame
        )

    def forget(self, fields: list[str] | None) -> None:
        """Let streams start over in a new epoch; None stands for all of them."""
        for field_name in list(self.streams) if fields is None else self._with_earlier(fields):
            stream = self.streams.pop(field_name, None)
            if stream is not None:
                # No number is given twice, however soon the name comes back.
                self._least_epoch = max(self._least_epoch, stream.epoch + 1)
                self.pending.ticks.append((stream, None))
        self._names.clear()
        self._usual.clear()

    def _with_earlier(self, fields: list[str]) -> list[str]:
        keys = [InstrumentKey.parse(field) for field in fields]
        return [
            *fields,
            *(stream.field for key in keys for stream in self._earlier_streams(key)),
        ]

    def mark_unheard(self) -> None:
        """Note that messages may be missed from now on."""
        for stream in self.streams.values():
            stream.heard = False


def _oldest_ms(now: int) -> int:
    """Return the time before which a last tick makes a name silent."""
    return now - round(conf.forget_after_days * DAY_MS)


def _is_expired(key: InstrumentKey, today: date) -> bool:
    """Return whether an instrument of the master has expired or is inactive."""
    if not key.segment or not len(index):
        return False
    entry = index.describe(key)
    return entry is None or (entry.expiry is not None and entry.expiry < today)


def _stale_text(stream: Stream, timestamp: int) -> str:
    return (
        f"{stream.field}: a tick of {timestamp} is older than the last one, of "
        f"{stream.timestamp}, and is not shown; if you publish older prices on purpose, run "
        f"`manage.py forget_price '{stream.field}'`"
    )
