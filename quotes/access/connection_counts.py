"""Connections of each user and address, counted and limited over all web processes.

Each process writes its own counts into Redis beside its lease. Counts of a process whose lease has
ended are ignored, and deleted by the next process that reads them: a killed process leaves nothing
behind for longer than its lease.

    quotes:process:ID             string  the lease of a web process
    quotes:connections:all        hash    process -> its connections
    quotes:connections:user:7     hash    the same of one user
    quotes:connections:address:A  hash    the same of one address

While Redis does not answer, each process limits its own connections.
"""

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from quotes.access.errors import LimitReached
from quotes.conf import conf
from quotes.store.names import own_key
from quotes.store.request_clients import RequestRedis

logger = logging.getLogger(__name__)

_REASSERT_S = 600.0
_COUNTS_S = 3600  # Redis drops counts that no process has written for this time

# Counts one connection in each scope or in none; returns the first full scope, from 1, else 0.
_ACQUIRE = """
redis.call('SET', ARGV[2] .. ARGV[1], 1, 'PX', ARGV[3])
for i, scope in ipairs(KEYS) do
  local total = tonumber(ARGV[3 + 2 * i])
  local counts = redis.call('HGETALL', scope)
  for n = 1, #counts, 2 do
    if counts[n] ~= ARGV[1] then
      if redis.call('EXISTS', ARGV[2] .. counts[n]) == 1 then
        total = total + tonumber(counts[n + 1])
      else
        redis.call('HDEL', scope, counts[n])
      end
    end
  end
  if total > tonumber(ARGV[4 + 2 * i]) then return i end
end
for i, scope in ipairs(KEYS) do
  redis.call('HSET', scope, ARGV[1], ARGV[3 + 2 * i])
  redis.call('EXPIRE', scope, ARGV[4])
end
return 0
"""


class Scope:
    """What connections are counted by, how many there may be, and the text of a refusal."""

    __slots__ = ("limit", "name", "reason")

    def __init__(self, name: str, limit: int, reason: str) -> None:
        self.name = name
        self.limit = limit
        self.reason = reason


class ConnectionCounts:
    """Counts the connections of this process, within limits over all processes.

    `run` keeps Redis right. `acquire` may be cancelled: nothing is counted then. For a moment
    after Redis was lost, all processes together may exceed a limit.

    Attributes:
        process: the name of this process in Redis, random.
        counts: name of a scope -> connections of this process.
    """

    def __init__(self, requests: RequestRedis) -> None:
        self.process = uuid.uuid4().hex[:16]
        self.counts: Counter[str] = Counter()
        self._requests = requests
        self._client = requests.client
        self._changed: set[str] = set()  # scopes whose counts in Redis may be wrong
        self._turn = asyncio.Lock()
        self._stopped = False
        self._wake = asyncio.Event()
        self._script: Any = requests.client.register_script(_ACQUIRE)

    async def acquire(self, scopes: Sequence[Scope]) -> None:
        """Count one more connection in each scope.

        Raises:
            LimitReached: one of them is full; nothing is counted.
        """
        names = [scope.name for scope in scopes]
        self.counts.update(names)
        try:
            full = await self._full_scope(scopes)
        except BaseException:
            self.release(names)
            raise
        if full is not None:
            self.release(names)
            raise LimitReached(full.reason)

    async def _full_scope(self, scopes: Sequence[Scope]) -> Scope | None:
        """Return a scope in which the connection, counted already, is one too many."""
        for scope in scopes:
            if self.counts[scope.name] > scope.limit:
                return scope
        # One at a time, so that the last count written is the newest.
        async with self._turn:
            numbers = [n for scope in scopes for n in (self.counts[scope.name], scope.limit)]
            lease = (self.process, own_key("process:"), conf.connection_lease_ms, _COUNTS_S)
            try:
                async with self._requests.answer():
                    keys = [_counts_key(scope.name) for scope in scopes]
                    full = await self._script(keys=keys, args=[*lease, *numbers])
            except (RedisError, OSError):
                self._changed.update(scope.name for scope in scopes)
                return None
        return scopes[int(full) - 1] if full else None

    def release(self, names: Sequence[str]) -> None:
        """Count one connection less under each name."""
        for name in names:
            self.counts[name] -= 1
            if self.counts[name] <= 0:
                del self.counts[name]
        self._changed.update(names)
        self._wake.set()

    def stop(self) -> None:
        """Let `run` return after its next renewal."""
        self._stopped = True
        self._wake.set()

    async def run(self) -> None:
        """Keep the lease and the counts in Redis right until stopped or cancelled."""
        loop = asyncio.get_running_loop()
        reassert_at = loop.time() + _REASSERT_S
        while not self._stopped:
            pause_s = conf.connection_lease_ms / 4000
            try:
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            if loop.time() >= reassert_at:
                reassert_at = loop.time() + _REASSERT_S
                self._changed.update(self.counts)
            try:
                await self.renew()
            except (RedisError, OSError) as error:
                logger.warning("counts of connections cannot be written to Redis: %s", error)
                await asyncio.sleep(pause_s)
            # Connections mostly end many at a time: their counts go in one message.
            await asyncio.sleep(0.05)

    async def renew(self) -> None:
        """Renew the lease if anything is counted, and write the counts that changed.

        Raises:
            RedisError, OSError, TimeoutError: Redis does not answer; the counts stay due.
        """
        if not self.counts and not self._changed:
            return
        async with self._turn, self._requests.answer(is_probe=True):
            key = own_key("process:" + self.process)
            if not await self._client.set(key, 1, px=conf.connection_lease_ms, xx=True):
                await self._client.set(key, 1, px=conf.connection_lease_ms)
                self._changed.update(self.counts)  # Redis may have lost them with the lease
            changed, self._changed = self._changed, set()
            try:
                await self._write(changed)
            except BaseException:
                self._changed |= changed
                raise

    async def _write(self, names: set[str]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for name in names:
            if count := self.counts.get(name, 0):
                pipeline.hset(_counts_key(name), self.process, count)
                pipeline.expire(_counts_key(name), _COUNTS_S)
            else:
                pipeline.hdel(_counts_key(name), self.process)
        await pipeline.execute()

    async def leave(self) -> None:
        """Give up the lease, so that connections of this process no longer count; never raises."""
        try:
            await self._client.delete(own_key("process:" + self.process))
        except (RedisError, OSError):
            logger.info("the lease of this process could not be deleted and ends by itself")


def counted_processes(client: Any) -> dict[str, int]:
    """Return the processes that have connections, and how many; their leases have not ended.

    Args:
        client: a synchronous client of Redis.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    counts: dict[bytes, bytes] = client.hgetall(_counts_key("all"))
    names = [name.decode() for name in counts]
    leases = client.mget([own_key("process:" + name) for name in names]) if names else []
    return {
        name: int(count)
        for name, count, lease in zip(names, counts.values(), leases, strict=True)
        if lease is not None
    }


def _counts_key(scope: str) -> str:
    return own_key(f"connections:{scope}")
