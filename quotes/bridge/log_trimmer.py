"""Trimming the tick log: by age, count and bytes, and before Redis is full.

Live prices have precedence over the log. Above HIGH_SHARE of Redis's memory the oldest entries go,
so that publishers' own SET still succeeds; the recorder notes what it misses as a gap. Nothing here
is in the way of a tick: a flush only adds up the bytes that it logs.
"""

import asyncio
import contextlib
import logging
import sys

import hiredis

from quotes.bridge.flush import Flush
from quotes.conf import conf
from quotes.runtime.redis_link import RedisLink
from quotes.runtime.warnings import RateLimitedWarnings
from quotes.store.inbox import trim_inbox
from quotes.store.memory import MIB, RedisMemory, read_memory
from quotes.store.redis_clock import redis_clock
from quotes.store.tick_log import free_log, measure_log, trim_log

logger = logging.getLogger(__name__)

# Memory is read again at once when a part of what was free then has been logged.
ALARM_SHARE = 0.25
LEAST_ALARM_BYTES = 128 * 1024
# While memory is nearly full it is read more often, since it is not the log alone that grows.
WATCHFUL_SHARE = 0.7
WATCHFUL_PAUSE_S = 0.05
# The share of QUOTES_LOG_MAX_BYTES that is appended before the log is measured again, and the share
# to which a log that is too large is trimmed. Measuring 1 GiB keeps Redis busy for some 20 ms.
MEASURE_SHARE = 0.1
KEPT_SHARE = 0.95
# The share of Redis's memory that the logs of all shards may be set to take.
FITTING_SHARE = 0.6


class LogTrimmer:
    """Keeps a shard's log within its bounds during one session of a bridge.

    Attributes:
        memory: Redis's memory when it was read last.
        cut: ticks that were deleted since the start because memory or bytes ran out.
    """

    def __init__(self, link: RedisLink, flush: Flush, *, shard: int, shards: int) -> None:
        self._link = link
        self._flush = flush
        self._shard = shard
        self._shards = shards
        self._warn = RateLimitedWarnings(logger)
        self._bytes: int | None = None  # of the log, as it was measured, less what was freed
        self._appended = 0  # what the flush had logged then
        self.memory = RedisMemory(0, 0, "")
        self.cut = 0

    @property
    def log_bytes(self) -> int:
        """The size of the log, as it was measured, and what was added since."""
        return (self._bytes or 0) + self._flush.logged_bytes - self._appended

    async def run(self, *, pause_s: float) -> None:
        """Trim every `pause_s`, more often while memory is short, until cancelled.

        Raises:
            RedisDown, hiredis.ReplyError: Redis cannot be read or written now.
        """
        while True:
            await self.trim()
            flush, limit = self._flush, self.memory.limit or sys.maxsize
            room = max(0, limit - self.memory.used)
            flush.alarm.clear()
            flush.alarm_at = flush.logged_bytes + max(LEAST_ALARM_BYTES, int(ALARM_SHARE * room))
            is_short = self.memory.used > WATCHFUL_SHARE * limit
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(pause_s, WATCHFUL_PAUSE_S) if is_short else pause_s):
                    await flush.alarm.wait()

    async def trim(self) -> None:
        """Trim inbox and log once; none of this needs memory."""
        await trim_inbox(self._link)
        aged = await trim_log(self._link, self._shard, now_ms=redis_clock.earliest_ms())
        if await self._is_too_large(aged=aged):
            wanted = round((self._bytes or 0) - KEPT_SHARE * conf.log_max_bytes)
            await self._free(wanted, "QUOTES_LOG_MAX_BYTES is reached")
        self.memory = await self._read_memory()
        if self.memory.is_high:
            # Each bridge frees its part. If another's log is empty, the next round takes the rest.
            reason = f"Redis has used {self.memory}; raise its maxmemory"
            await self._free(-(-self.memory.excess // self._shards), reason)

    def check_server(self) -> None:
        """Warn of a Redis that would delete the log, or is too small for the settings."""
        memory = self.memory
        if memory.evicts:
            logger.warning(
                "Redis may delete prices and the tick log when it is full: set its "
                "maxmemory-policy to noeviction, got %s",
                memory.policy,
            )
        planned = conf.log_max_bytes * self._shards
        if memory.limit and planned > FITTING_SHARE * memory.limit:
            logger.warning(
                "Redis's maxmemory is too small for the tick log: set QUOTES_LOG_MAX_BYTES to at "
                "most %d or maxmemory to at least %.0fmb, got %.0fmb; until then the log is "
                "trimmed early",
                int(FITTING_SHARE * memory.limit / self._shards),
                planned / FITTING_SHARE / MIB,
                memory.limit / MIB,
            )

    async def _is_too_large(self, *, aged: bool) -> bool:
        """Return whether the log has too many bytes; measure it if what is known may be wrong."""
        limit = conf.log_max_bytes
        appended = self._flush.logged_bytes - self._appended
        if (
            self._bytes is None
            or appended > MEASURE_SHARE * limit
            or (aged and self._bytes + appended > limit)
        ):
            self._appended = self._flush.logged_bytes
            self._bytes, appended = await self._measure(), 0
        return self._bytes + appended > limit

    async def _measure(self) -> int:
        try:
            return await measure_log(self._link, self._shard)
        except hiredis.ReplyError:  # the user may not run MEMORY: what was logged is added up
            return (self._bytes or 0) + self._flush.logged_bytes - self._appended

    async def _read_memory(self) -> RedisMemory:
        try:
            return await read_memory(self._link)
        except hiredis.ReplyError:  # the user may not run INFO
            return self.memory

    async def _free(self, wanted: int, reason: str) -> None:
        """Delete the oldest entries until so many bytes are free or the log is empty."""
        ticks = 0
        while wanted > 0:
            freed, count = await free_log(self._link, self._shard, wanted)
            if not freed:
                break
            wanted -= freed
            ticks += count
            self._bytes = max(0, (self._bytes or 0) - freed)
        self.cut += ticks
        if ticks:
            self._warn("tick log", f"trimmed the oldest {ticks} ticks early: {reason}")
