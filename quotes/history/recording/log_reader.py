"""The recorder's position in the tick logs of all shards, over `store/tick_log.py`."""

import logging
from collections.abc import Sequence

import redis

from quotes.history.recording.batches import LogEntry, read_entry
from quotes.store.tick_log import (
    BEGINNING,
    LogReader,
    has_entry,
    newest_position,
    oldest_position,
    position_order,
)

logger = logging.getLogger(__name__)

# Ticks in a batch, about: larger batches make commits longer and save little.
_BATCH_TICKS = 20_000
# Entries read at a time, over all shards. An entry has one to two thousand ticks, all in memory.
_READ_ENTRIES = 64
_MAX_READS = 200


class BatchReader(LogReader):
    """Reads entries in batches of about _BATCH_TICKS; blocks, so not for an event loop's thread.

    Methods raise `redis.RedisError` when Redis does not answer.

    Args:
        positions: shard -> the id of the last entry that is stored.
    """

    def __init__(self, client: redis.Redis, positions: dict[int, str]) -> None:
        super().__init__(client, positions, page=max(1, _READ_ENTRIES // max(1, len(positions))))
        self._reread_until: dict[int, str] = {}  # shard -> last id read before it was replaced
        # shard -> the log's count of ticks at the entry read last, if that is known
        self._counts: dict[int, int] = {}

    def rewind_replaced(self) -> list[int]:
        """Read each log that was replaced from its beginning; return the shards of such logs.

        Redis lost such a log, restored an older copy of it, or is a replica that lagged and was
        promoted: the newest id is older than the last one read, or the entry of that id is not
        there although older ones are.
        """
        found = []
        for shard, last in self.positions.items():
            if last != BEGINNING and self._is_replaced(shard, last):
                self.positions[shard] = BEGINNING
                self._counts.clear()
                logger.warning(
                    "tick log %d was replaced in Redis; reading it from the beginning", shard
                )
                self._reread_until[shard] = max(
                    self._reread_until.get(shard, last), last, key=position_order
                )
                found.append(shard)
        return found

    def _is_replaced(self, shard: int, last: str) -> bool:
        if position_order(newest_position(self.client, shard)) < position_order(last):
            return True
        oldest = oldest_position(self.client, shard)
        is_kept = oldest is not None and position_order(oldest) < position_order(last)
        return is_kept and not has_entry(self.client, shard, last)

    def read_again(self, entries: Sequence[LogEntry]) -> list[LogEntry]:
        """Return those of the entries that may have been read from the log before it was replaced.

        By their ids: an older copy of the log has entries that were read, and a log that began
        again while its clock is behind has new ones with such ids.
        """
        return [
            entry
            for entry in entries
            if entry.shard in self._reread_until
            and position_order(entry.id) <= position_order(self._reread_until[entry.shard])
        ]

    def read_batch(self, wait_ms: int) -> list[LogEntry]:
        """Return the next entries; wait for the first, and return an empty list if none comes."""
        batch: list[LogEntry] = []
        ticks = 0
        wait: int | None = wait_ms
        for _ in range(_MAX_READS + 1):
            before = dict(self.positions)
            entries = [read_entry(raw) for raw in self.read(wait_ms=wait)]
            if not self._continues(entries) and self._went_back(before):
                return batch
            batch += entries
            ticks += sum(len(entry.ticks) for entry in entries)
            if not entries or ticks >= _BATCH_TICKS:
                break
            wait = None
        return batch

    def _continues(self, entries: Sequence[LogEntry]) -> bool:
        """Return whether counts say that no tick is missing before entries; note their counts."""
        continues = True
        for entry in entries:
            count = self._counts.get(entry.shard)
            if entry.n is None:
                self._counts.pop(entry.shard, None)
                continue
            if count is not None and entry.n - len(entry.ticks) != count:
                continues = False
            self._counts[entry.shard] = entry.n
        return continues

    def _went_back(self, before: dict[int, str]) -> bool:
        """Return whether a log was replaced since these positions; then begin at its beginning.

        The connection may have become one to another master, unnoticed, in the middle of a read.
        """
        after, self.positions = self.positions, dict(before)
        if self.rewind_replaced():
            return True
        self.positions = after
        return False

    def has_more(self, entries: Sequence[LogEntry]) -> bool:
        """Return whether the log probably holds more than these entries."""
        return sum(len(entry.ticks) for entry in entries) >= _BATCH_TICKS // 4
