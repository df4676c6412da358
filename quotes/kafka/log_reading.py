"""Reading the tick log, of all shards, from where a reader stands; what was missed is counted."""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import redis

from quotes.store import own_key
from quotes.ticklog import LoggedTick, decode_entry, log_key

logger = logging.getLogger(__name__)

READ_COUNT = (
    20  # entries of a shard in one reading; a bridge flushes some thousands of ticks at once
)
SEQ_BITS = 20
SEQ_MASK = (1 << SEQ_BITS) - 1


class Entry(NamedTuple):
    """An entry of a shard's log.

    Attributes:
        n: how many ticks the log had taken in all, with this entry's.
    """

    shard: int
    id: str
    n: int
    ticks: list[LoggedTick]


def number_of(id: str) -> int:
    """Return an entry's id as one number, which grows as ids do and fits an offset of Kafka."""
    ms, _, seq = id.partition("-")
    # No Redis takes a million entries in a millisecond.
    return int(ms) << SEQ_BITS | min(int(seq), SEQ_MASK)


def id_of(number: int) -> str:
    return f"{number >> SEQ_BITS}-{number & SEQ_MASK}"


class LogReader:
    """Reads what comes behind a position in each shard's log.

    Args:
        positions: shard -> id of the last entry that was read; "0-0" for none.

    Attributes:
        missed: how many ticks left the log before they were read.
    """

    def __init__(self, client: redis.Redis, positions: Mapping[int, str]) -> None:
        self.client = client
        self.positions = dict(positions)
        self.counts: dict[int, int] = {}  # shard -> ticks up to its position
        self.missed = 0
        self.keys = {log_key(shard).encode(): shard for shard in positions}
        for shard, id in positions.items():
            self.look_back(shard, id)

    def look_back(self, shard: int, id: str) -> None:
        """Learn how many ticks there were up to the position; without it a gap can't be counted."""
        found: Any = self.client.xrange(log_key(shard), id, id)
        if found:
            self.counts[shard] = int(found[0][1][b"n"])
        elif id != "0-0":
            logger.error(
                "the log of shard %d no longer has the last tick that was read: "
                "ticks behind it may be missing, how many is not known",
                shard,
            )

    def read(self, *, wait_ms: int) -> list[Entry]:
        """Return the next entries of all shards; wait for the first of them.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        streams: Any = {log_key(shard): id for shard, id in self.positions.items()}
        reply: Any = self.client.xread(streams, count=READ_COUNT, block=wait_ms)
        entries = []
        for key, found in reply.items() if isinstance(reply, dict) else reply or ():
            # RESP3 wraps the entries of a stream once more.
            rows = (
                found[0] if found and found[0] and isinstance(found[0][0], tuple | list) else found
            )
            for id, fields in rows:
                ticks = decode_entry(fields)
                entry = Entry(self.keys[key], id.decode(), int(fields[b"n"]), ticks)
                self.count(entry)
                entries.append(entry)
        return entries

    def count(self, entry: Entry) -> None:
        """Move the position to an entry, and tell if there were ticks between."""
        before = self.counts.get(entry.shard)
        if before is not None and (missing := entry.n - len(entry.ticks) - before) > 0:
            self.missed += missing
            logger.error(
                "%d ticks left the log of shard %d before they were read", missing, entry.shard
            )
        self.positions[entry.shard] = entry.id
        self.counts[entry.shard] = entry.n


def shard_count(client: redis.Redis) -> int:
    """Return how many shards the market has; raise redis.RedisError."""
    value: Any = client.get(own_key("shards"))
    return int(value or 1)
