"""Reading the latest prices: what the bridge wrote, and what publishers' keys hold beyond it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import redis
import redis.asyncio

from instruments.errors import InstrumentsError
from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.errors import BadTick
from quotes.runtime.clock import now_ms
from quotes.store.names import LatestPrice, decode_latest, lease_key, own_key, stock_key
from quotes.ticks import Tick, encode_tick, parse_tick


class Wanted(NamedTuple):
    """An instrument, and the name under which it was asked for."""

    key: InstrumentKey
    name: str


class Snapshot(NamedTuple):
    """The latest prices at one moment.

    Attributes:
        bridge_up: whether a bridge works, that of the first shard if there are several.
        latest: instrument key -> what the bridge showed last.
        ahead: instrument key -> what a publisher's key holds that is newer. While a bridge works it
            is about to be shown, or was never published as a message.
        names: the names whose publishers' keys are ahead.
    """

    bridge_up: bool
    latest: dict[str, LatestPrice]
    ahead: dict[str, LatestPrice]
    names: list[str]

    def newest(self, key: InstrumentKey) -> LatestPrice | None:
        """Return the newest price known, whoever wrote it."""
        return self.ahead.get(str(key)) or self.latest.get(str(key))


def read_snapshot(wanted: Sequence[Wanted], *, client: redis.Redis) -> Snapshot:
    """Read the latest prices in one round trip; raise redis.RedisError if Redis is away."""
    pipeline = client.pipeline(transaction=True)
    ask(pipeline, wanted)
    return decide(wanted, pipeline.execute())


async def aread_snapshot(wanted: Sequence[Wanted], *, client: redis.asyncio.Redis) -> Snapshot:
    """Read the latest prices in one round trip; raise redis.RedisError if Redis is away."""
    pipeline = client.pipeline(transaction=True)
    ask(pipeline, wanted)
    return decide(wanted, await pipeline.execute())


def ask(pipeline: Any, wanted: Sequence[Wanted]) -> None:
    pipeline.exists(lease_key(1))
    if wanted:
        pipeline.hmget(own_key("latest"), [str(one.key) for one in wanted])
        pipeline.mget([stock_key(one.name) for one in wanted])


def decide(wanted: Sequence[Wanted], replies: list[Any]) -> Snapshot:
    snapshot = Snapshot(bool(replies[0]), {}, {}, [])
    if not wanted:
        return snapshot
    now = now_ms()
    for (key, name), record, value in zip(wanted, replies[1], replies[2], strict=True):
        field = str(key)
        latest = None
        if record is not None:
            latest = snapshot.latest[field] = decode_latest(record)
        tick = tick_of(value, key, name, now) if value is not None else None
        if tick is not None and (latest is None or tick.timestamp > latest.timestamp):
            frame = encode_tick(tick, symbol=key.symbol, segment=key.segment)
            epoch, seq = (latest.epoch, latest.seq) if latest else (0, 0)
            snapshot.ahead[field] = LatestPrice(epoch, seq, tick.timestamp, frame)
            snapshot.names.append(name)
    return snapshot


def tick_of(value: bytes, key: InstrumentKey, name: str, now: int) -> Tick | None:
    """Return the tick that a publisher's key holds, if it is one of this instrument."""
    try:
        tick = parse_tick(value, now_ms=now, symbol=name)
        if tick.symbol not in (name, key.symbol) and index.resolve(tick.symbol) != key:
            return None
    except (BadTick, InstrumentsError):
        return None
    return tick
