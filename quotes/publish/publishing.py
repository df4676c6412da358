"""Publishing ticks: how every publisher of the project puts prices into Redis.

A tick is set and published under its name, as other programs do it, and put into the inbox, from
which a bridge moves it into the tick log. Once acknowledged it is not lost, even if no bridge runs.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec
import redis

from instruments.errors import InstrumentsError
from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.store.first_seen import seen_key
from quotes.store.inbox import FORGET, MAX_ENTRY, inbox_keys, put
from quotes.store.latest import find_latest
from quotes.store.listings import published_key
from quotes.store.names import own_key, stock_key
from quotes.store.redis_clock import redis_clock
from quotes.ticks import Tick, encode_tick


class StaleTick(NamedTuple):
    """A tick that is not shown because its instrument has a newer price, in Unix milliseconds."""

    tick: Tick
    key: InstrumentKey
    latest_timestamp: int


def tick_name(tick: Tick) -> str:
    """Return the name under which a tick is published: its symbol, narrowed by its segment."""
    return f"{tick.segment}:{tick.symbol}" if tick.segment else tick.symbol


def listing_of(tick: Tick) -> InstrumentKey:
    """Return the instrument of a tick that is to be published; every way of publishing calls this.

    Raises:
        BadTick, InstrumentsError: a bridge refuses it, so nobody would be shown the tick.
    """
    return published_key(tick_name(tick), tick)


def publish_ticks(ticks: Iterable[Tick], *, client: redis.Redis, live: bool = True) -> int:
    """SET and PUBLISH each tick, have it logged, and return how many there were.

    The order of ticks is kept. The call returns when Redis has all of them in the inbox; a round
    trip carries many.

    Args:
        live: False for history, which is only logged: not set, published or shown.

    Raises:
        InboxFull: too many ticks already wait for a bridge.
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
    """Return the ticks that are older than the latest price of their instrument.

    Raises:
        BadTick, InstrumentsError: as by `listing_of`.
        redis.RedisError: Redis does not answer.
    """
    if not ticks:
        return []
    keys = [listing_of(tick) for tick in ticks]
    records: list[Any] = client.hmget(own_key("latest"), [str(key) for key in keys])
    found = []
    # A price of later than this hides no other.
    most = redis_clock.now_ms() + redis_clock.max_ahead_ms()
    for tick, key, record in zip(ticks, keys, records, strict=True):
        latest = find_latest(str(key), record)
        if latest is not None and tick.timestamp < latest.timestamp <= most:
            found.append(StaleTick(tick, key, latest.timestamp))
    return found


def published_names(key: InstrumentKey) -> list[str]:
    """Return the names under which an instrument is usually published."""
    exchange = key.segment.partition("_")[0]
    names = [str(key), f"{exchange}:{key.symbol}", key.symbol]
    return [name for name in names if _resolves_to(name, key)]


def _resolves_to(name: str, key: InstrumentKey) -> bool:
    try:
        return index.resolve(name) == key
    except InstrumentsError:
        return False


def forget_prices(names: Iterable[str], *, client: redis.Redis) -> int:
    """Forget latest prices, so that their streams start a new epoch; return how many there were.

    The statistics of their day go too; a recorder writes them again with the next tick.
    """
    names = list(names)
    keys = [index.resolve(name) for name in names]
    fields = [str(key) for key in keys]
    published = {*names, *(name for key in keys for name in published_names(key))}
    pipeline = client.pipeline()
    pipeline.delete(*map(stock_key, published), *map(seen_key, published))
    pipeline.hdel(own_key("latest"), *fields)
    pipeline.hdel(own_key("day"), *fields)
    _request_forget(pipeline, fields)
    _, forgotten, *_ = pipeline.execute()
    return int(forgotten)


def forget_all_prices(*, client: redis.Redis) -> int:
    """Forget all latest prices, so that every stream starts a new epoch; return the count."""
    stock_keys = [
        key
        for pattern in (stock_key("*"), seen_key("*"))
        for key in client.scan_iter(match=pattern, count=1000)
    ]
    pipeline = client.pipeline()
    for at in range(0, len(stock_keys), 1000):
        pipeline.delete(*stock_keys[at : at + 1000])
    pipeline.hlen(own_key("latest"))
    pipeline.delete(own_key("latest"), own_key("day"))
    _request_forget(pipeline, None)
    return int(pipeline.execute()[-3])


def _request_forget(pipeline: Any, fields: list[str] | None) -> None:
    """Queue the request for the bridge, behind ticks published before and ahead of later ones."""
    pipeline.eval(FORGET, 2, *inbox_keys()[:2], msgspec.json.encode(fields))
