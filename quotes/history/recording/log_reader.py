"""Batches out of the tick logs of all shards: what the recorder stores at a time."""

from collections.abc import Sequence

import redis

from quotes.history.recording.batches import Entry, read_entry
from quotes.store.tick_log import BEGINNING, LogReader, newest_position, order

# What one batch holds, about: more makes a commit longer than what it saves.
BATCH_TICKS = 20_000
# How many entries are read at a time, of all shards together. An entry may have one tick or two
# thousand, and what is read is held.
READ_ENTRIES = 64
MAX_READS = 200


class BatchReader(LogReader):
    """Reads as many entries as make a good batch.

    Args:
        positions: shard -> the id of the last entry that is stored.
    """

    def __init__(self, client: redis.Redis, positions: dict[int, str]) -> None:
        super().__init__(client, positions, page=max(1, READ_ENTRIES // max(1, len(positions))))

    def start_over(self) -> list[int]:
        """Go to the beginning of each log that is not the one read before; return their shards.

        Such a log's newest id is older than the last one read: Redis lost the log, or came back
        with an older copy of it.
        """
        found = []
        for shard, last in self.positions.items():
            if order(newest_position(self.client, shard)) < order(last):
                self.positions[shard] = BEGINNING
                found.append(shard)
        return found

    def read_batch(self, wait_ms: int) -> list[Entry]:
        """Return the next entries, waiting for one; none when the time is up."""
        batch: list[Entry] = []
        ticks = 0
        wait: int | None = wait_ms
        for _ in range(MAX_READS + 1):
            entries = [read_entry(raw) for raw in self.read(wait_ms=wait)]
            batch += entries
            ticks += sum(len(entry.ticks) for entry in entries)
            if not entries or ticks >= BATCH_TICKS:
                break
            wait = None
        return batch

    def full(self, entries: Sequence[Entry]) -> bool:
        """Say whether there is likely more than was read."""
        return sum(len(entry.ticks) for entry in entries) >= BATCH_TICKS // 4
