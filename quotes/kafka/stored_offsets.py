"""The position of each partition in Redis, which moves in the step that takes the ticks.

quotes:kafka:GROUP  hash  TOPIC/PARTITION -> the offset of the next message to read
                          TOPIC -> the topic's id, another one if it is created again
                          TOPIC/PARTITION/FIRST-END -> see `backlog_ranges.py`
"""

from collections.abc import Iterable
from typing import Any

import redis

from quotes.store.names import own_key

Source = tuple[str, int]  # topic, partition


def positions_key(group: str) -> str:
    """Return the key of a group's positions."""
    return own_key(f"kafka:{group}")


def position_field(source: Source) -> str:
    return f"{source[0]}/{source[1]}"


def read_positions(
    sources: Iterable[Source], *, group: str, client: redis.Redis
) -> dict[Source, str]:
    """Return the offset of the next message of each partition, "" for none."""
    wanted = list(sources)
    if not wanted:
        return {}
    values: list[Any] = client.hmget(positions_key(group), [position_field(one) for one in wanted])
    return {one: (value or b"").decode() for one, value in zip(wanted, values, strict=True)}


def has_positions(topic: str, *, group: str, client: redis.Redis) -> bool:
    """Return whether the group has a position in any partition of the topic."""
    # Names of topics have no characters that are special in this pattern.
    fields = client.hscan_iter(positions_key(group), match=f"{topic}/*")
    return next(iter(fields), None) is not None


def forget_recreated_topic(topic: str, id: str, *, group: str, client: redis.Redis) -> bool:
    """Forget the positions of a topic that was deleted and created again; return whether it was.

    Args:
        id: the topic's present id at the brokers.
    """
    key = positions_key(group)
    stored: Any = client.hget(key, topic)
    if stored == id.encode():
        return False
    if stored is not None:
        fields = [name for name, _ in client.hscan_iter(key, match=f"{topic}/*")]
        if fields:
            client.hdel(key, *fields)
    client.hset(key, topic, id)
    return stored is not None
