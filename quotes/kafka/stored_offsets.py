"""How far each partition was read, kept in Redis in the same step as the ticks that were read.

quotes:kafka:GROUP  hash  TOPIC/PARTITION -> the offset of the next message to read
                          TOPIC -> the topic's id, which another topic of that name would not have
"""

from collections.abc import Iterable
from typing import Any

import redis

from quotes.store.names import own_key

Source = tuple[str, int]  # topic, partition


def positions_key(group: str) -> str:
    """Return the key of a group's positions."""
    return own_key(f"kafka:{group}")


def field(source: Source) -> str:
    return f"{source[0]}/{source[1]}"


def read_positions(
    sources: Iterable[Source], *, group: str, client: redis.Redis
) -> dict[Source, str]:
    """Return the offset of the next message of each partition, "" where none was read yet."""
    wanted = list(sources)
    if not wanted:
        return {}
    values: list[Any] = client.hmget(positions_key(group), [field(one) for one in wanted])
    return {one: (value or b"").decode() for one, value in zip(wanted, values, strict=True)}


def knows_topic(topic: str, *, group: str, client: redis.Redis) -> bool:
    """Say whether any partition of the topic was read by the group."""
    # No topic's name has a character that means anything in this pattern.
    fields = client.hscan_iter(positions_key(group), match=f"{topic}/*")
    return next(iter(fields), None) is not None


def renew_topic(topic: str, id: str, *, group: str, client: redis.Redis) -> bool:
    """Forget the positions of a topic that was deleted and made anew; return whether it was.

    Args:
        id: what the brokers call it.
    """
    key = positions_key(group)
    known: Any = client.hget(key, topic)
    if known == id.encode():
        return False
    if known is not None:
        fields = [name for name, _ in client.hscan_iter(key, match=f"{topic}/*")]
        if fields:
            client.hdel(key, *fields)
    client.hset(key, topic, id)
    return known is not None
