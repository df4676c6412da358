"""Counting REST requests a minute over all processes, in Redis."""

import time

import redis

from quotes.store.names import own_key


def requests_this_minute(caller: str, *, client: redis.Redis) -> int:
    """Count one request of a caller; return how many it made in this minute of the clock."""
    key = own_key(f"requests:{caller}:{int(time.time()) // 60}")
    pipeline = client.pipeline(transaction=False)
    pipeline.incr(key)
    pipeline.expire(key, 120)
    return int(pipeline.execute()[0])
