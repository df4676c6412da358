"""The tick log as the producer reads it: positions as Kafka offsets, missed ticks counted."""

import logging
from collections.abc import Mapping
from typing import Any

import msgspec
import redis

from quotes.runtime.warnings import RateLimitedWarnings
from quotes.store.tick_log import (
    BEGINNING,
    LoggedTick,
    LogReader,
    count_key,
    entry_rows,
    log_key,
)

logger = logging.getLogger(__name__)

# Entries of a shard in one read; an entry may hold some thousands of ticks.
READ_COUNT = 20
SEQ_BITS = 20
SEQ_MASK = (1 << SEQ_BITS) - 1


def number_of(id: str) -> int:
    """Return an entry's id as a number that grows as ids do and fits a Kafka offset."""
    ms, _, seq = id.partition("-")
    # No Redis takes a million entries in a millisecond.
    return int(ms) << SEQ_BITS | min(int(seq), SEQ_MASK)


def id_of(number: int) -> str:
    """Return the id that a number of `number_of` stands for."""
    return f"{number >> SEQ_BITS}-{number & SEQ_MASK}"


class CountingLogReader(LogReader):
    """Reads the logs onwards and counts ticks that left them before they were read.

    Attributes:
        missed: how many ticks were missed.
    """

    def __init__(self, client: redis.Redis, positions: Mapping[int, str]) -> None:
        super().__init__(client, positions, page=READ_COUNT)
        self._warn = RateLimitedWarnings(logger)
        self._counts: dict[int, int] = {}  # shard -> ticks up to its position
        self.missed = 0
        for shard, id in positions.items():
            self._load_count(shard, id)

    def _load_count(self, shard: int, id: str) -> None:
        """Load the number of ticks up to the position, without which a gap cannot be counted."""
        found: Any = self.client.xrange(log_key(shard), id, id)
        if found:
            if (n := found[0][1].get(b"n", b"")).isdigit():
                self._counts[shard] = int(n)
        elif id != BEGINNING:
            logger.error(
                "the log of shard %d no longer has the entry that was read last: an unknown "
                "number of ticks after it may be missing",
                shard,
            )

    def read_ticks(self, *, wait_ms: int) -> tuple[list[LoggedTick], dict[int, str]]:
        """Return the next ticks of all shards, and the new positions of the shards that have any.

        An entry that cannot be decoded is passed over with a warning.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        ticks: list[LoggedTick] = []
        entries = self.read(wait_ms=wait_ms)
        for entry in entries:
            try:
                n = entry.n
                found = msgspec.convert(list(entry_rows(entry.fields)), list[LoggedTick])
            except (KeyError, ValueError, TypeError, msgspec.DecodeError) as error:
                self._warn("cannot decode entry", f"{entry.id} of tick log {entry.shard}: {error}")
                self._counts.pop(entry.shard, None)  # unknown until the next entry
                continue
            self._count_missing(entry.shard, n, len(found))
            ticks += found
        return ticks, {entry.shard: entry.id for entry in entries}

    def behind(self) -> int:
        """Return how many logged ticks are not read yet; raise redis.RedisError."""
        shards = list(self.positions)
        counts: Any = self.client.mget([count_key(shard) for shard in shards])
        return sum(
            max(0, int(count or 0) - self._counts.get(shard, 0))
            for shard, count in zip(shards, counts, strict=True)
        )

    def _count_missing(self, shard: int, n: int, ticks: int) -> None:
        """Count and log the ticks that are missing before an entry."""
        before = self._counts.get(shard)
        if before is not None and (missing := n - ticks - before) > 0:
            self.missed += missing
            logger.error("%d ticks left the log of shard %d before they were read", missing, shard)
        self._counts[shard] = n
