"""Reading the tick log for a topic: positions as offsets of Kafka, and missed ticks counted."""

import logging
from collections.abc import Mapping
from typing import Any

import redis

from quotes.store.tick_log import BEGINNING, LoggedTick, LogReader, decode_entry, log_key

logger = logging.getLogger(__name__)

# Entries of a shard in one reading; a bridge flushes some thousands of ticks at once.
READ_COUNT = 20
SEQ_BITS = 20
SEQ_MASK = (1 << SEQ_BITS) - 1


def number_of(id: str) -> int:
    """Return an entry's id as one number, which grows as ids do and fits an offset of Kafka."""
    ms, _, seq = id.partition("-")
    # No Redis takes a million entries in a millisecond.
    return int(ms) << SEQ_BITS | min(int(seq), SEQ_MASK)


def id_of(number: int) -> str:
    return f"{number >> SEQ_BITS}-{number & SEQ_MASK}"


class CountingReader(LogReader):
    """Reads on in the logs and counts what left them before it was read.

    Attributes:
        missed: how many ticks that were.
    """

    def __init__(self, client: redis.Redis, positions: Mapping[int, str]) -> None:
        super().__init__(client, positions, page=READ_COUNT)
        self.counts: dict[int, int] = {}  # shard -> ticks up to its position
        self.missed = 0
        for shard, id in positions.items():
            self.look_back(shard, id)

    def look_back(self, shard: int, id: str) -> None:
        """Learn how many ticks there were up to the position; without it a gap can't be counted."""
        found: Any = self.client.xrange(log_key(shard), id, id)
        if found:
            self.counts[shard] = int(found[0][1][b"n"])
        elif id != BEGINNING:
            logger.error(
                "the log of shard %d no longer has the last tick that was read: "
                "ticks behind it may be missing, how many is not known",
                shard,
            )

    def read_ticks(self, *, wait_ms: int) -> tuple[list[LoggedTick], dict[int, str]]:
        """Return the next ticks of all shards, and the positions of the shards that have some.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        ticks: list[LoggedTick] = []
        entries = self.read(wait_ms=wait_ms)
        for entry in entries:
            found = decode_entry(entry.fields)
            self.count(entry.shard, entry.n, len(found))
            ticks += found
        return ticks, {entry.shard: entry.id for entry in entries}

    def count(self, shard: int, n: int, ticks: int) -> None:
        """Count the ticks that are missing before an entry."""
        before = self.counts.get(shard)
        if before is not None and (missing := n - ticks - before) > 0:
            self.missed += missing
            logger.error("%d ticks left the log of shard %d before they were read", missing, shard)
        self.counts[shard] = n
