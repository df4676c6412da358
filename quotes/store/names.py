"""What is kept in Redis: the names of keys and channels, and the record of a latest price.

    stock:SYMBOL     string   written by publishers: the last tick as they sent it
    stock:SYMBOL     channel  every tick as publishers sent it
    quotes:latest    hash     instrument key -> record of its latest price, written by the bridge
    quotes:shards    string   how many bridges share the market; missing: one
    quotes:lease:1   string   token of the bridge that works on shard 1
    quotes:status:1  string   JSON of that bridge's counters; its life is the bridge's heartbeat
    quotes:control   channel  requests to the bridge: {"adopt": [names]}

`stock:` is QUOTES_CHANNEL_PREFIX, `quotes:` is QUOTES_KEY_PREFIX.
"""

from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec
import redis
import redis.asyncio
from django.conf import settings

from instruments.keys import InstrumentKey
from quotes.conf import conf
from quotes.ticks import parse_tick

TIMEOUT_S = 5.0


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
        return parse_tick(self.frame, now_ms=self.timestamp).price


def encode_latest(latest: LatestPrice) -> bytes:
    return b"%d %d %d %b" % (latest.epoch, latest.seq, latest.timestamp, latest.frame)


def decode_latest(record: bytes) -> LatestPrice:
    epoch, seq, timestamp, frame = record.split(b" ", 3)
    return LatestPrice(int(epoch), int(seq), int(timestamp), frame)


def stock_key(name: str) -> str:
    """Return the key and channel under which publishers put the prices of a name."""
    return conf.channel_prefix + name


def own_key(name: str) -> str:
    """Return the name in Redis of something of the server's own: `latest`, `lease`, ..."""
    return conf.key_prefix + name


def lease_key(shard: int) -> str:
    """Return the key of a shard's lease."""
    return own_key(f"lease:{shard}")


def status_keys(shards: int) -> list[str]:
    """Return the keys of the bridges' signs of life."""
    return [own_key(f"status:{shard}") for shard in range(1, shards + 1)]


def shard_count(client: redis.Redis) -> int:
    """Return how many shards the market has, 1 until a bridge says; raise redis.RedisError."""
    return int(client.get(own_key("shards")) or 1)


async def shard_count_async(client: redis.asyncio.Redis) -> int:
    """As `shard_count`, for an event loop."""
    return int(await client.get(own_key("shards")) or 1)


def idle_shards(client: redis.Redis) -> list[str]:
    """Return the shards that no bridge works on, as I/N; raise redis.RedisError."""
    shards = shard_count(client)
    signs: list[Any] = client.mget(status_keys(shards))
    return [f"{number}/{shards}" for number, sign in enumerate(signs, 1) if sign is None]


def connection_options() -> dict[str, Any]:
    # redis-py 8 gives up after 5 s by default; what waits longer sets its own.
    return {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S}


@lru_cache(maxsize=4)
def pool(url: str) -> redis.ConnectionPool:
    return redis.ConnectionPool.from_url(url, **connection_options())


def sync_client() -> redis.Redis:
    """Return a client over the process's pool, for threads and commands."""
    return redis.Redis(connection_pool=pool(settings.REDIS_URL))


def async_client() -> redis.asyncio.Redis:
    """Return a new asyncio client; who asks for it closes it."""
    return redis.asyncio.Redis.from_url(settings.REDIS_URL, **connection_options())


def latest_prices(keys: Iterable[InstrumentKey]) -> dict[InstrumentKey, LatestPrice]:
    """Return the latest price of each instrument that has one; raise redis.RedisError."""
    wanted = list(keys)
    if not wanted:
        return {}
    records: list[Any] = sync_client().hmget(own_key("latest"), [str(key) for key in wanted])
    return {
        key: decode_latest(record)
        for key, record in zip(wanted, records, strict=True)
        if record is not None
    }
