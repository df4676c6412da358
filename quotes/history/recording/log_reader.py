"""The recorder's position in the tick logs of all shards, over `store/tick_log.py`."""

from collections.abc import Sequence

import redis

from quotes.history.recording.batches import LogEntry, read_entry
from quotes.store.tick_log import BEGINNING, LogReader, newest_position, position_order

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

    def rewind_replaced(self) -> list[int]:
        """Read each log that was replaced from its beginning; return the shards of such logs.

        The newest id of such a log is older than the last one read: Redis lost the log, or restored
        an older copy of it.
        """
        found = []
        for shard, last in self.positions.items():
            if position_order(newest_position(self.client, shard)) < position_order(last):
                self.positions[shard] = BEGINNING
                self._reread_until[shard] = max(
                    self._reread_until.get(shard, last), last, key=position_order
                )
                found.append(shard)
        return found

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
            entries = [read_entry(raw) for raw in self.read(wait_ms=wait)]
            batch += entries
            ticks += sum(len(entry.ticks) for entry in entries)
            if not entries or ticks >= _BATCH_TICKS:
                break
            wait = None
        return batch

    def has_more(self, entries: Sequence[LogEntry]) -> bool:
        """Return whether the log probably holds more than these entries."""
        return sum(len(entry.ticks) for entry in entries) >= _BATCH_TICKS // 4
