"""Reading what Redis has, a chunk at a time, over the bridge's own connection."""

from collections.abc import AsyncIterator

from quotes.runtime.redis_link import RedisLink
from quotes.store.names import LatestPrice, decode_latest, own_key

CHUNK = 1000


async def latest_records(link: RedisLink) -> list[tuple[str, LatestPrice]]:
    """Return every instrument key with its latest price."""
    records = []
    cursor = b"0"
    while True:
        cursor, pairs = await link.command("HSCAN", own_key("latest"), cursor, "COUNT", str(CHUNK))
        records += [
            (pairs[at].decode(), decode_latest(pairs[at + 1])) for at in range(0, len(pairs), 2)
        ]
        if cursor == b"0":
            return records


async def keys_like(link: RedisLink, pattern: str) -> AsyncIterator[list[bytes]]:
    """Yield the string keys that match a pattern; a key may come twice."""
    cursor = b"0"
    while True:
        cursor, keys = await link.command(
            "SCAN", cursor, "MATCH", pattern, "COUNT", str(CHUNK), "TYPE", "string"
        )
        if keys:
            yield keys
        if cursor == b"0":
            return
