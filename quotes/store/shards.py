"""How many bridges share the market, and on which shards none works."""

from typing import Any

import redis
import redis.asyncio

from quotes.store.names import own_key, status_keys


def shard_count(client: redis.Redis) -> int:
    """Return how many shards the market has, 1 before the first bridge; raise redis.RedisError."""
    return int(client.get(own_key("shards")) or 1)


async def shard_count_async(client: redis.asyncio.Redis) -> int:
    """As `shard_count`, for an event loop."""
    return int(await client.get(own_key("shards")) or 1)


def idle_shards(client: redis.Redis) -> list[str]:
    """Return the shards on which no bridge works, as I/N; raise redis.RedisError."""
    shards = shard_count(client)
    statuses: list[Any] = client.mget(status_keys(shards))
    return [f"{number}/{shards}" for number, status in enumerate(statuses, 1) if status is None]
