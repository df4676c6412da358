"""The end of the tick log, read once for all clients of a process that need it.

Clients need it when they resume or want history. Many do so at once after a failure, so what was
read is kept for a while, by instrument, and only what came since is read again.
"""

import asyncio
import contextlib
import logging
from collections import deque
from typing import Any

import msgspec
from redis.exceptions import RedisError

from instruments.index import index
from quotes.conf import conf
from quotes.runtime.warnings import RateLimitedWarnings
from quotes.store.request_clients import RequestRedis
from quotes.store.shards import shard_count_async
from quotes.store.tick_log import (
    BEGINNING,
    EPOCH,
    KEY,
    SEQ,
    SHOWN,
    RawEntry,
    entry_rows,
    read_after,
    read_before,
)

Row = list[Any]  # of the attributes of `LoggedTick`

logger = logging.getLogger(__name__)
_warn = RateLimitedWarnings(logger)

# Entries read at a time; each holds up to some 2,500 ticks, which take 2 ms to unpack.
_PAGE = 10
# What was read is dropped when nobody has refreshed it for this long.
_KEEP_S = 30.0
# A client that resumes waits for the log no longer than this.
_TIMEOUT_S = 10.0
# Another try is made within this time after the first, each after a pause.
_PATIENCE_S = 1.0
_PAUSE_S = 0.1


class _LogEnd:
    """The end of one shard's log.

    Attributes:
        position: of the newest entry read.
        rows: instrument key -> its ticks that were shown, in order.
    """

    def __init__(self) -> None:
        self.position = BEGINNING
        self.rows: dict[str, deque[Row]] = {}
        self._new_keys: list[str] = []
        self._entries: deque[list[Row]] = deque()
        self._count = 0

    def take_new_keys(self) -> list[str]:
        """Return the keys that came since the last call."""
        keys, self._new_keys = self._new_keys, []
        return keys

    def append(self, raw: RawEntry) -> None:
        """Take the next entry, and drop the oldest if there are too many ticks."""
        self.position = raw.id
        try:
            entry = [row for row in entry_rows(raw.fields) if row[SHOWN]]
        except (msgspec.MsgspecError, TypeError) as error:
            _warn("passed over an entry of a tick log", f"{raw.id}: {error}")
            return
        for row in entry:
            rows = self.rows.get(row[KEY])
            if rows is None:
                rows = self.rows[row[KEY]] = deque()
                self._new_keys.append(row[KEY])
            rows.append(row)
        self._entries.append(entry)
        self._count += len(entry)
        while self._count > conf.resume_ticks and len(self._entries) > 1:
            oldest = self._entries.popleft()
            self._count -= len(oldest)
            for row in oldest:
                rows = self.rows[row[KEY]]
                rows.popleft()
                if not rows:
                    del self.rows[row[KEY]]


class RecentTicks:
    """The ends of all shards' logs, for one event loop.

    Args:
        requests: reads them; the caller closes it.
    """

    def __init__(self, requests: RequestRedis) -> None:
        self._requests = requests
        self._client = requests.client
        self._ends: dict[int, _LogEnd] = {}  # by shard
        self._names: dict[str, str] = {}  # key of the log -> key of its instrument now
        self._names_version = index.version
        self._lock = asyncio.Lock()
        self._expiry: asyncio.TimerHandle | None = None

    async def refresh(self) -> None:
        """Read up to the newest entries.

        Clients resume right after a failure, when connections are still being made again: so this
        is tried for a second before a client is sent that ticks are lost to it.

        Raises:
            redis.RedisError, OSError: Redis does not answer one of the reads in time, or the log is
                not read within 10 s.
        """
        now = asyncio.get_running_loop().time
        patient_until = now() + _PATIENCE_S
        while True:
            try:
                return await self._refresh_once()
            except (RedisError, OSError):
                if now() >= patient_until:
                    raise
            await asyncio.sleep(_PAUSE_S)

    async def _refresh_once(self) -> None:
        until = asyncio.get_running_loop().time() + _TIMEOUT_S
        async with self._lock, self._requests.answer(until):
            for shard in range(1, await shard_count_async(self._client) + 1):
                if shard not in self._ends:
                    self._ends[shard] = await self._read_end(shard)
                await self._read_on(shard, self._ends[shard])
            self._find_names()
            self._expire_later()

    def rows_of(self, key: str) -> list[Row]:
        """Return an instrument's newest ticks that were shown, in order, as `refresh` read them.

        Those that came under another name of the instrument are among them.
        """
        names = [key, *(name for name, owner in self._names.items() if owner == key)]
        found = [
            end.rows[name] for end in self._ends.values() for name in names if name in end.rows
        ]
        return sorted(
            (row for rows in found for row in rows), key=lambda row: (row[EPOCH], row[SEQ])
        )

    def _find_names(self) -> None:
        """Find the keys that mean another instrument now than when their ticks came."""
        keys = {key for end in self._ends.values() for key in end.take_new_keys()}
        if self._names_version != index.version:
            self._names_version = index.version
            keys = {key for end in self._ends.values() for key in end.rows}
            self._names = {}
        if not len(index):
            return
        for key in keys:
            owner = str(index.current_key(key))
            if owner != key:
                self._names[key] = owner

    def clear(self) -> None:
        """Drop what was read."""
        self._ends.clear()
        self._names = {}
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    async def _read_end(self, shard: int) -> _LogEnd:
        """Return the last entries of a log, as many as are kept."""
        newest_first: list[RawEntry] = []
        count, before = 0, None
        while count < conf.resume_ticks:
            page = await read_before(self._client, shard, before, page=_PAGE)
            newest_first += page
            if len(page) < _PAGE:
                break
            with contextlib.suppress(LookupError, ValueError):  # an odd entry has no number
                count = newest_first[0].n - newest_first[-1].n
            before = newest_first[-1].id
        end = _LogEnd()
        for at, raw in enumerate(reversed(newest_first)):
            end.append(raw)
            if at % _PAGE == _PAGE - 1:
                await asyncio.sleep(0)
        return end

    async def _read_on(self, shard: int, end: _LogEnd) -> None:
        """Read what came since."""
        while True:
            page = await read_after(self._client, shard, end.position, page=_PAGE)
            for raw in page:
                end.append(raw)
            if len(page) < _PAGE:
                return
            await asyncio.sleep(0)

    def _expire_later(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = asyncio.get_running_loop().call_later(_KEEP_S, self.clear)
