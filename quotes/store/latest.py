"""Latest prices: their record in Redis, and reading them in bulk, by name, or all of them.

The bridge writes a record of each instrument's latest price. Publishers' own keys may hold newer
prices: a bridge is about to show these, or none works.
"""

import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec
import redis
import redis.asyncio

from instruments.errors import BadSymbol, InstrumentsError
from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.errors import BadTick, quoted
from quotes.runtime.redis_link import RedisLink
from quotes.runtime.warnings import RateLimitedWarnings
from quotes.store.first_seen import afirst_seen, first_seen
from quotes.store.listings import UNNAMED, published_key
from quotes.store.names import lease_key, own_key, stock_key
from quotes.store.redis_clock import redis_clock
from quotes.store.request_clients import request_client
from quotes.ticks import Tick, encode_tick, parse_tick, read_frame

_warn = RateLimitedWarnings(logging.getLogger(__name__))

# Epoch, seq, timestamp and frame. A format, not a function: a flush fills it in for each
# instrument from the values of a log row.
RECORD_FORMAT: Final = b"%d %d %d %b"

_TOO_LARGE = 2**63

SCAN_COUNT: Final = 1000  # keys or records that are read, or written, in one command
# Records that are looked through in one command for those of a segment: a request waits for it.
_SEGMENT_COUNT: Final = 5000


class LatestPrice(msgspec.Struct, frozen=True, gc=False):
    """The newest tick of an instrument that was shown.

    Attributes:
        epoch: Unix milliseconds at which the stream's numbering began; 0: not yet numbered.
        seq: the tick's number within the epoch, from 1.
        timestamp: the tick's own, Unix milliseconds.
        frame: the price frame as clients get it.
    """

    epoch: int
    seq: int
    timestamp: int
    frame: bytes

    @property
    def price(self) -> Decimal:
        """In rupees, with the digits that were published."""
        return read_frame(self.frame).price

    @property
    def volume(self) -> int | None:
        """The volume of the day; None if the tick has none."""
        text = read_frame(self.frame).fields.get("volume")
        return None if text is None else int(Decimal(text.decode()))


def encode_latest(latest: LatestPrice) -> bytes:
    """Return the record of a latest price."""
    return RECORD_FORMAT % (latest.epoch, latest.seq, latest.timestamp, latest.frame)


def decode_latest(record: bytes) -> LatestPrice:
    """Return the latest price of a record; raise ValueError if it is not one."""
    epoch, seq, timestamp, frame = record.split(b" ", 3)
    latest = LatestPrice(int(epoch), int(seq), int(timestamp), frame)
    if not (0 <= latest.epoch < _TOO_LARGE and 0 <= latest.seq < _TOO_LARGE and frame[:1] == b"{"):
        raise ValueError(f"not the record of a price, got {quoted(record)}")
    return latest


def find_latest(field: str, record: bytes | None) -> LatestPrice | None:
    """Return the latest price of a record; None if there is none that can be read.

    Others than the bridge can write to Redis, and one odd record takes nobody else's prices away:
    it is logged, and replaced by the next tick.
    """
    if record is None:
        return None
    try:
        return decode_latest(record)
    except ValueError as error:
        _warn("latest", f"passed over the latest price of {quoted(field)}: {error}")
        return None


def latest_prices(keys: Iterable[InstrumentKey]) -> dict[InstrumentKey, LatestPrice]:
    """Return the latest price of each instrument that has one; raise redis.RedisError.

    Only what the bridge wrote: see `read_snapshot` for what publishers' keys hold beyond it.
    """
    wanted = list(keys)
    if not wanted:
        return {}
    with request_client() as client:
        records: list[Any] = client.hmget(own_key("latest"), [str(key) for key in wanted])
    return {
        key: latest
        for key, record in zip(wanted, records, strict=True)
        if (latest := find_latest(str(key), record)) is not None
    }


def latest_of_segment(
    segment: str, *, limit: int, after: str = ""
) -> dict[InstrumentKey, LatestPrice]:
    """Return the latest prices of a segment by symbol: of more than `limit`, the first.

    Only what the bridge wrote. No more than twice as many are held at a time. Each step has the
    deadline of a request: all of a large market may take longer than one.

    Args:
        segment: its code.
        after: only those whose symbols come after this one.

    Raises:
        redis.RedisError: Redis does not answer in time.
    """
    # UTF-8 sorts as its characters do, so that names are compared as they come.
    first = f"{segment}:{after}".encode() if after else b""
    last: bytes | None = None  # names after it are not among the first
    found: dict[bytes, bytes] = {}
    cursor: Any = 0
    while True:
        page: Any
        with request_client() as client:
            cursor, page = client.hscan(
                own_key("latest"), cursor, match=f"{segment}:*", count=_SEGMENT_COUNT
            )
        found |= {
            name: record
            for name, record in page.items()
            if name > first and (last is None or name < last)
        }
        if len(found) > 2 * limit or not cursor:
            found = dict(sorted(found.items())[:limit])
            if len(found) == limit:
                last = next(reversed(found))
        if not cursor:
            break
    prices = {}
    for raw, record in found.items():
        field = raw.decode(errors="replace")
        with contextlib.suppress(BadSymbol):  # another than the bridge wrote it
            if (latest := find_latest(field, record)) is not None:
                prices[InstrumentKey.parse(field)] = latest
    return prices


# -- snapshots: what the bridge wrote, and what publishers' keys hold beyond it --------------------


class Wanted(NamedTuple):
    """An instrument, and the name by which a caller requested it.

    Publishers' keys are read under this name, and under the instrument's bare symbol where that
    means it: most publishers write `stock:RELIANCE`, however a client names the share.
    """

    key: InstrumentKey
    name: str


def _named(wanted: Sequence[Wanted]) -> list[Wanted]:
    """Return what is wanted under each name of a publisher's key that is read of it."""
    named = list(wanted)
    for one in wanted:
        symbol = one.key.symbol
        if one.name != symbol and one.key.segment:
            with contextlib.suppress(InstrumentsError):
                if index.resolve(symbol) == one.key:
                    named.append(Wanted(one.key, symbol))
    return named


class PriceSnapshot(NamedTuple):
    """The latest prices at one moment.

    Attributes:
        bridge_up: whether a bridge works, that of the first shard if there are several.
        latest: instrument key -> the price that the bridge showed last.
        ahead: instrument key -> the newer price in a publisher's key. While a bridge works it is
            about to be shown, or was never published as a message.
        names: the names whose publishers' keys are ahead.
    """

    bridge_up: bool
    latest: dict[str, LatestPrice]
    ahead: dict[str, LatestPrice]
    names: list[str]

    def newest(self, key: InstrumentKey) -> LatestPrice | None:
        """Return an instrument's newest price, from the bridge or a publisher's key."""
        return self.ahead.get(str(key)) or self.latest.get(str(key))


def read_snapshot(wanted: Sequence[Wanted], *, client: redis.Redis) -> PriceSnapshot:
    """Read the latest prices in one round trip; raise redis.RedisError if Redis is away.

    Publishers' keys without a timestamp that are ahead, which are rare, take one more.
    """
    pipeline = client.pipeline(transaction=True)
    wanted = _named(wanted)
    _queue_reads(pipeline, wanted)
    snapshot, untimed = _snapshot(wanted, pipeline.execute())
    _add_untimed(snapshot, untimed, first_seen(_values_of(untimed), client=client))
    return snapshot


async def aread_snapshot(wanted: Sequence[Wanted], *, client: redis.asyncio.Redis) -> PriceSnapshot:
    """As `read_snapshot`, for an event loop."""
    pipeline = client.pipeline(transaction=True)
    wanted = _named(wanted)
    _queue_reads(pipeline, wanted)
    snapshot, untimed = _snapshot(wanted, await pipeline.execute())
    _add_untimed(snapshot, untimed, await afirst_seen(_values_of(untimed), client=client))
    return snapshot


def _queue_reads(pipeline: Any, wanted: Sequence[Wanted]) -> None:
    pipeline.exists(lease_key(1))
    if wanted:
        pipeline.hmget(own_key("latest"), [str(one.key) for one in wanted])
        pipeline.mget([stock_key(one.name) for one in wanted])


def queue_published(pipeline: Any, wanted: Sequence[Wanted]) -> None:
    """Queue the commands whose replies `published_keys` takes."""
    pipeline.hmget(own_key("latest"), [str(one.key) for one in wanted])
    pipeline.mget([stock_key(one.name) for one in wanted])


def published_keys(wanted: Sequence[Wanted], replies: list[Any]) -> set[InstrumentKey]:
    """Return the instruments of which a price was shown, or is in the publisher's key."""
    now, ahead = redis_clock.now_ms(), redis_clock.max_ahead_ms()
    return {
        one.key
        for one, record, value in zip(wanted, replies[0], replies[1], strict=True)
        if record is not None
        or (value is not None and _published_tick(value, *one, now, ahead) is not None)
    }


class _UntimedKey(NamedTuple):
    """A publisher's key without a timestamp whose price is not the latest."""

    wanted: Wanted
    value: bytes
    tick: Tick


def _values_of(untimed: Sequence[_UntimedKey]) -> list[tuple[str, bytes]]:
    return [(one.wanted.name, one.value) for one in untimed]


def _snapshot(
    wanted: Sequence[Wanted], replies: list[Any]
) -> tuple[PriceSnapshot, list[_UntimedKey]]:
    """Return the latest prices, and the keys whose times are yet to be looked up."""
    snapshot = PriceSnapshot(bool(replies[0]), {}, {}, [])
    untimed: list[_UntimedKey] = []
    if not wanted:
        return snapshot, untimed
    now, ahead = redis_clock.now_ms(), redis_clock.max_ahead_ms()
    for one, record, value in zip(wanted, replies[1], replies[2], strict=True):
        field = str(one.key)
        latest = find_latest(field, record)
        if latest is not None:
            snapshot.latest[field] = latest
            if value == latest.frame and latest.timestamp <= now + ahead:
                continue  # what a publisher sent in the form of a frame, and the bridge showed
        tick = _published_tick(value, *one, now, ahead) if value is not None else None
        if tick is None:
            continue
        if tick.has_time:
            _add_if_ahead(snapshot, one, tick, latest_ms=now + ahead)
        elif latest is None or _frame_of(one.key, tick, latest.timestamp) != latest.frame:
            untimed.append(_UntimedKey(one, value, tick))
    return snapshot, untimed


def _add_untimed(
    snapshot: PriceSnapshot, untimed: Sequence[_UntimedKey], times: Sequence[int]
) -> None:
    """Add the prices of keys without a timestamp, with the times at which they were first seen."""
    latest_ms = redis_clock.now_ms() + redis_clock.max_ahead_ms()
    for one, at in zip(untimed, times, strict=True):
        tick = msgspec.structs.replace(one.tick, timestamp=at)
        _add_if_ahead(snapshot, one.wanted, tick, latest_ms=latest_ms)


def _add_if_ahead(snapshot: PriceSnapshot, wanted: Wanted, tick: Tick, *, latest_ms: int) -> None:
    """Add the tick of a publisher's key unless the latest price is as new."""
    key, name = wanted
    latest = snapshot.latest.get(str(key))
    other = snapshot.ahead.get(str(key))  # of another name
    if other is not None and other.timestamp >= tick.timestamp:
        return
    if latest is None or tick.timestamp > latest.timestamp or latest.timestamp > latest_ms:
        frame = _frame_of(key, tick, tick.timestamp)
        # The number of the record is that of another tick.
        snapshot.ahead[str(key)] = LatestPrice(0, 0, tick.timestamp, frame)
        snapshot.names.append(name)


def _frame_of(key: InstrumentKey, tick: Tick, timestamp: int) -> bytes:
    """Return the price frame of a tick at a time."""
    if timestamp != tick.timestamp:
        tick = msgspec.structs.replace(tick, timestamp=timestamp)
    return encode_tick(tick, symbol=key.symbol, segment=key.segment)


def _published_tick(
    value: bytes, key: InstrumentKey, name: str, now: int, ahead: int
) -> Tick | None:
    """Return the tick in a publisher's key, if it is one of this instrument."""
    try:
        tick = parse_tick(value, now_ms=now, ahead_ms=ahead, symbol=UNNAMED)
        if published_key(name, tick) != key:
            return None
    except (BadTick, InstrumentsError):
        return None
    return tick


# -- scans: all of Redis, a chunk at a time, over the bridge's own connection ----------------------


async def scan_latest(link: RedisLink) -> list[tuple[str, LatestPrice]]:
    """Return every instrument key with its latest price; what cannot be read is left out."""
    records = []
    cursor = b"0"
    while True:
        cursor, pairs = await link.command(
            "HSCAN", own_key("latest"), cursor, "COUNT", str(SCAN_COUNT)
        )
        for name, record in zip(pairs[::2], pairs[1::2], strict=True):
            try:
                field = str(InstrumentKey.parse(name.decode()))
            except (BadSymbol, UnicodeDecodeError) as error:
                _warn("latest", f"passed over a latest price: {error}")
                continue
            if (latest := find_latest(field, record)) is not None:
                records.append((field, latest))
        if cursor == b"0":
            return records


async def scan_keys(link: RedisLink, pattern: str) -> AsyncIterator[list[bytes]]:
    """Yield the string keys that match a pattern; a key may come twice."""
    cursor = b"0"
    while True:
        cursor, keys = await link.command(
            "SCAN", cursor, "MATCH", pattern, "COUNT", str(SCAN_COUNT), "TYPE", "string"
        )
        if keys:
            yield keys
        if cursor == b"0":
            return
