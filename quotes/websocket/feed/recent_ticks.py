"""The recent past: the end of the tick log, read once for all clients of a process that ask.

Clients ask for it when they resume or want history. Many do so at once after an outage, so what was
read is kept for a while, by instrument, and only what came since is read again.
"""

import asyncio
from collections import deque
from typing import Any

import redis.asyncio

from quotes.conf import conf
from quotes.store.shards import shard_count_async
from quotes.store.tick_log import BEGINNING, RawEntry, entry_rows, read_after, read_before

Row = list[Any]  # the attributes of `LoggedTick`

# Entries read at a time; each holds up to some 2,500 ticks, which take 2 ms to unpack.
CHUNK = 10
# What nobody has asked for in so long is dropped.
KEEP_S = 30.0


class Tail:
    """The end of one shard's log.

    Attributes:
        position: of the newest entry read.
        rows: instrument key -> its ticks that were shown, in order.
    """

    def __init__(self) -> None:
        self.position = BEGINNING
        self.entries: deque[list[Row]] = deque()
        self.count = 0
        self.rows: dict[str, deque[Row]] = {}

    def append(self, raw: RawEntry) -> None:
        """Take the next entry, and let the oldest go when there are too many ticks."""
        entry = [row for row in entry_rows(raw.fields) if row[5]]
        for row in entry:
            rows = self.rows.get(row[0])
            if rows is None:
                rows = self.rows[row[0]] = deque()
            rows.append(row)
        self.entries.append(entry)
        self.count += len(entry)
        self.position = raw.id
        while self.count > conf.resume_ticks and len(self.entries) > 1:
            oldest = self.entries.popleft()
            self.count -= len(oldest)
            for row in oldest:
                rows = self.rows[row[0]]
                rows.popleft()
                if not rows:
                    del self.rows[row[0]]


class RecentTicks:
    """The ends of all shards' logs as one event loop knows them.

    Args:
        client: reads them; the caller closes it.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.client = client
        self.tails: dict[int, Tail] = {}
        self.turn = asyncio.Lock()
        self.expiry: asyncio.TimerHandle | None = None

    async def refresh(self) -> None:
        """Read what the logs hold by now; raise redis.RedisError if Redis is away."""
        async with self.turn:
            for shard in range(1, await shard_count_async(self.client) + 1):
                if shard not in self.tails:
                    self.tails[shard] = await self.begin(shard)
                await self.go_on(shard, self.tails[shard])
            self.keep()

    def of(self, key: str) -> list[Row]:
        """Return an instrument's newest ticks that were shown, in order, as `refresh` read them."""
        found = [tail.rows[key] for tail in self.tails.values() if key in tail.rows]
        return sorted((row for rows in found for row in rows), key=lambda row: row[1:3])

    async def begin(self, shard: int) -> Tail:
        """Return a tail that has the entries at the end of the log, as many as are kept."""
        newest_first: list[RawEntry] = []
        count, end = 0, None
        while count < conf.resume_ticks:
            page = await read_before(self.client, shard, end, page=CHUNK)
            newest_first += page
            if len(page) < CHUNK:
                break
            count = newest_first[0].n - newest_first[-1].n
            end = newest_first[-1].id
        tail = Tail()
        for at, raw in enumerate(reversed(newest_first)):
            tail.append(raw)
            if at % CHUNK == CHUNK - 1:
                await asyncio.sleep(0)
        return tail

    async def go_on(self, shard: int, tail: Tail) -> None:
        """Read what came since."""
        while True:
            page = await read_after(self.client, shard, tail.position, page=CHUNK)
            for raw in page:
                tail.append(raw)
            if len(page) < CHUNK:
                return
            await asyncio.sleep(0)

    def keep(self) -> None:
        if self.expiry is not None:
            self.expiry.cancel()
        self.expiry = asyncio.get_running_loop().call_later(KEEP_S, self.drop)

    def drop(self) -> None:
        """Forget what was read."""
        self.tails.clear()
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None
