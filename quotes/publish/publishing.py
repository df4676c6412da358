"""Publishing ticks: the one way in which every publisher of the project puts prices into Redis.

A tick is set and published under its name as outsiders do it, and put into the inbox, from which a
bridge takes it into the log: once it is acknowledged it is not lost, whether a bridge works or not.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec
import redis

from instruments.errors import InstrumentsError
from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.store.inbox import FORGET, MAX_ENTRY, inbox_keys, put
from quotes.store.latest import decode_latest
from quotes.store.names import own_key, stock_key
from quotes.ticks import Tick, encode_tick


class StaleTick(NamedTuple):
    """A tick that will not be shown, since a newer one of its instrument was."""

    tick: Tick
    key: InstrumentKey
    latest_timestamp: int


def tick_name(tick: Tick) -> str:
    """Return the name under which a tick is published: its symbol, narrowed by its segment."""
    return f"{tick.segment}:{tick.symbol}" if tick.segment else tick.symbol


def publish_ticks(ticks: Iterable[Tick], *, client: redis.Redis, live: bool = True) -> int:
    """SET and PUBLISH each tick, have it logged, and return how many there were.

    The order of ticks is kept. The call returns when Redis has all of them in the inbox, many a
    round trip.

    Args:
        live: False for history, which is logged and neither set, published nor shown.

    Raises:
        InboxFull: no bridge has taken the ticks before these for too long.
        redis.RedisError: Redis did not take all of them; some may have been shown.
    """
    count = 0
    remaining = iter(ticks)
    while batch := list(islice(remaining, MAX_ENTRY)):
        messages = [(tick_name(tick), encode_tick(tick)) for tick in batch]
        put(messages, client=client, live=live)
        count += len(batch)
    return count


def stale_ticks(ticks: Sequence[Tick], *, client: redis.Redis) -> list[StaleTick]:
    """Return those of the ticks that are older than the latest price of their instrument."""
    if not ticks:
        return []
    keys = [index.resolve(tick_name(tick)) for tick in ticks]
    records: list[Any] = client.hmget(own_key("latest"), [str(key) for key in keys])
    found = []
    for tick, key, record in zip(ticks, keys, records, strict=True):
        if record is not None and tick.timestamp < (latest := decode_latest(record)).timestamp:
            found.append(StaleTick(tick, key, latest.timestamp))
    return found


def spellings(key: InstrumentKey) -> list[str]:
    """Return the names under which an instrument is usually published."""
    exchange = key.segment.partition("_")[0]
    names = [str(key), f"{exchange}:{key.symbol}", key.symbol]
    return [name for name in names if resolves_to(name, key)]


def resolves_to(name: str, key: InstrumentKey) -> bool:
    try:
        return index.resolve(name) == key
    except InstrumentsError:
        return False


def forget_prices(names: Iterable[str], *, client: redis.Redis) -> int:
    """Let the streams of these names start over, in a new epoch; return how many had a price."""
    names = list(names)
    keys = [index.resolve(name) for name in names]
    fields = [str(key) for key in keys]
    stock_keys = {stock_key(name) for name in names}
    for key in keys:
        stock_keys.update(map(stock_key, spellings(key)))
    pipeline = client.pipeline()
    pipeline.delete(*stock_keys)
    pipeline.hdel(own_key("latest"), *fields)
    ask_to_forget(pipeline, fields)
    _, forgotten, _ = pipeline.execute()
    return int(forgotten)


def forget_all_prices(*, client: redis.Redis) -> int:
    """Let every stream start over, in a new epoch; return how many had a price."""
    stock_keys = list(client.scan_iter(match=stock_key("*"), count=1000))
    pipeline = client.pipeline()
    for at in range(0, len(stock_keys), 1000):
        pipeline.delete(*stock_keys[at : at + 1000])
    pipeline.hlen(own_key("latest"))
    pipeline.delete(own_key("latest"))
    ask_to_forget(pipeline, None)
    return int(pipeline.execute()[-3])


def ask_to_forget(pipeline: Any, fields: list[str] | None) -> None:
    """Let the bridge forget in its turn, between the ticks that were published before and after."""
    pipeline.eval(FORGET, 2, *inbox_keys()[:2], msgspec.json.encode(fields))
