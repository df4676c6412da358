"""Reading the tick logs of all shards from Redis, from where history is."""

from collections.abc import Sequence
from typing import Any

import redis

from quotes.history.batches import Entry, read_entry
from quotes.store import own_key
from quotes.ticklog import count_key, log_key

# What one batch holds, about: more makes a commit longer than what it saves.
BATCH_TICKS = 20_000
# How many entries are read at a time, of all shards together. An entry may have one tick or two
# thousand, and what is read is held.
READ_ENTRIES = 64
MAX_READS = 200


def shards_of(client: redis.Redis) -> list[int]:
    """Return the numbers of the shards; raise redis.RedisError."""
    return list(range(1, int(client.get(own_key("shards")) or 1) + 1))


class LogReader:
    """Reads entries in order, as many as make a good batch.

    Args:
        places: shard -> the id of the last entry that was read.
    """

    def __init__(self, client: redis.Redis, places: dict[int, str]) -> None:
        self.client = client
        self.ids = dict(places)
        self.count = max(1, READ_ENTRIES // max(1, len(places)))
        self.shards = {log_key(shard).encode(): shard for shard in places}

    def start_over(self) -> list[int]:
        """Go to the beginning of each log that is not the one read before; return their shards.

        Such a log's newest id is older than the last one read: Redis lost the log, or came back
        with an older copy of it.
        """
        found = []
        for shard, last in self.ids.items():
            newest = newest_id(self.client, shard)
            if order(newest) < order(last):
                self.ids[shard] = "0-0"
                found.append(shard)
        return found

    def read(self, block_ms: int) -> list[Entry]:
        """Return the next entries, waiting for one; none when the time is up."""
        entries = self.read_some(block_ms)
        ticks = sum(len(entry.ticks) for entry in entries)
        for _ in range(MAX_READS):
            if not entries or ticks >= BATCH_TICKS:
                break
            more = self.read_some(None)
            if not more:
                break
            entries += more
            ticks += sum(len(entry.ticks) for entry in more)
        return entries

    def read_some(self, block_ms: int | None) -> list[Entry]:
        """Read once; None does not wait."""
        streams: Any = {log_key(shard): entry_id for shard, entry_id in self.ids.items()}
        answer: Any = self.client.xread(streams, count=self.count, block=block_ms)
        entries: list[Entry] = []
        for name, raws in answer.items() if isinstance(answer, dict) else answer:
            shard = self.shards[name]
            # RESP3 has one more list around the entries.
            listed = raws[0] if raws and isinstance(raws[0], list) else raws
            entries.extend([read_entry(shard, raw) for raw in listed])
            self.ids[shard] = entries[-1].id
        return entries

    def full(self, entries: Sequence[Entry]) -> bool:
        """Say whether there is likely more than was read."""
        return sum(len(entry.ticks) for entry in entries) >= BATCH_TICKS // 4

    def logged(self) -> dict[int, int]:
        """Return how many ticks each shard's log has taken in all."""
        keys = [count_key(shard) for shard in self.ids]
        counts: list[Any] = self.client.mget(keys)
        return {shard: int(count or 0) for shard, count in zip(self.ids, counts, strict=True)}


def newest_id(client: redis.Redis, shard: int) -> str:
    """Return the newest id that a shard's log has given; `0-0` when there is no log."""
    try:
        info: Any = client.xinfo_stream(log_key(shard))
    except redis.ResponseError:
        return "0-0"
    newest = info["last-generated-id"]
    return newest.decode() if isinstance(newest, bytes) else str(newest)


def order(entry_id: str) -> tuple[int, int]:
    at, _, number = entry_id.partition("-")
    return int(at), int(number or 0)
