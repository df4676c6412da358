"""How many connections there are of each user and address, counted over all web processes.

Each process writes its own counts into Redis beside its lease. The counts of a process whose lease
has run out are not counted and are taken away by whoever meets them: a process that was killed
leaves nothing behind for longer than its lease.

    quotes:process:ID             string  the lease of a web process
    quotes:connections:all        hash    process -> its connections
    quotes:connections:user:7     hash    the same of one user
    quotes:connections:address:A  hash    the same of one address

While Redis is away each process holds its own connections to the limits.
"""

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from quotes.access.errors import LimitReached
from quotes.conf import conf
from quotes.store.names import own_key

logger = logging.getLogger(__name__)

REASSERT_S = 600.0
ANSWER_S = 1.0
REST_S = 2.0
COUNTS_S = 3600  # counts that nobody asserts any more are gone after so long

# Takes one connection in each scope or in none; says in which one there is no room, from 1.
TAKE = """
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
    """What connections are counted by, and how many there may be of it."""

    __slots__ = ("limit", "name", "reason")

    def __init__(self, name: str, limit: int, reason: str) -> None:
        self.name = name
        self.limit = limit
        self.reason = reason


class ConnectionCounts:
    """The connections of this process, and whether there is room for more among all processes."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.client = client
        self.process = uuid.uuid4().hex[:16]
        self.counts: Counter[str] = Counter()  # scope -> connections of this process
        self.changed: set[str] = set()  # scopes whose counts in Redis may be wrong
        self.turn = asyncio.Lock()
        self.closed = False
        self.rests_until = 0.0  # before this loop time Redis is not asked
        self.wake = asyncio.Event()
        self.script: Any = client.register_script(TAKE)

    async def acquire(self, scopes: Sequence[Scope]) -> None:
        """Count one more connection in each scope.

        Raises:
            LimitReached: there is no room in one of them; nothing is counted.
        """
        names = [scope.name for scope in scopes]
        self.counts.update(names)
        try:
            full = await self.room(scopes)
        except BaseException:
            self.release(names)
            raise
        if full is not None:
            self.release(names)
            raise LimitReached(full.reason)

    async def room(self, scopes: Sequence[Scope]) -> Scope | None:
        """Return the scope in which there is no room."""
        for scope in scopes:
            if self.counts[scope.name] > scope.limit:
                return scope
        # One at a time: what is written last is then what there is.
        async with self.turn:
            numbers = [n for scope in scopes for n in (self.counts[scope.name], scope.limit)]
            lease = (self.process, own_key("process:"), conf.connection_lease_ms, COUNTS_S)
            loop = asyncio.get_running_loop()
            try:
                if loop.time() < self.rests_until:
                    raise TimeoutError
                async with asyncio.timeout(ANSWER_S):
                    keys = [counts_key(scope.name) for scope in scopes]
                    full = await self.script(keys=keys, args=[*lease, *numbers])
            except (RedisError, OSError, TimeoutError):
                # A Redis that does not answer must not hold up all who connect, one by one.
                if loop.time() >= self.rests_until:
                    self.rests_until = loop.time() + REST_S
                self.changed.update(scope.name for scope in scopes)
                return None
        return scopes[int(full) - 1] if full else None

    def release(self, names: Sequence[str]) -> None:
        """Count one connection less in each scope."""
        for name in names:
            self.counts[name] -= 1
            if self.counts[name] <= 0:
                del self.counts[name]
        self.changed.update(names)
        self.wake.set()

    async def run(self) -> None:
        """Keep the lease and the counts in Redis right until cancelled."""
        loop = asyncio.get_running_loop()
        reassert_at = loop.time() + REASSERT_S
        while not self.closed:
            pause_s = conf.connection_lease_ms / 4000
            try:
                async with asyncio.timeout(pause_s):
                    await self.wake.wait()
            except TimeoutError:
                pass
            self.wake.clear()
            if loop.time() >= reassert_at:
                reassert_at = loop.time() + REASSERT_S
                self.changed.update(self.counts)
            try:
                await self.renew()
            except (RedisError, OSError) as error:
                logger.warning("the counts of connections cannot be kept in Redis: %s", error)
                await asyncio.sleep(pause_s)
            # Connections mostly end many at a time: their counts go in one message.
            await asyncio.sleep(0.05)

    async def renew(self) -> None:
        """Renew the lease, if there is anything to count, and write what has changed."""
        if not self.counts and not self.changed:
            return
        async with self.turn, asyncio.timeout(ANSWER_S):
            key = own_key("process:" + self.process)
            if not await self.client.set(key, 1, px=conf.connection_lease_ms, xx=True):
                await self.client.set(key, 1, px=conf.connection_lease_ms)
                self.changed.update(self.counts)  # Redis may have lost them with the lease
            changed, self.changed = self.changed, set()
            try:
                await self.write(changed)
            except BaseException:
                self.changed |= changed
                raise

    async def write(self, names: set[str]) -> None:
        pipeline = self.client.pipeline(transaction=False)
        for name in names:
            if count := self.counts.get(name, 0):
                pipeline.hset(counts_key(name), self.process, count)
                pipeline.expire(counts_key(name), COUNTS_S)
            else:
                pipeline.hdel(counts_key(name), self.process)
        await pipeline.execute()

    async def leave(self) -> None:
        """Give up the lease: none of this process's connections counts any more."""
        try:
            await self.client.delete(own_key("process:" + self.process))
        except (RedisError, OSError):
            logger.info("the lease of this process runs out by itself")


def counts_key(scope: str) -> str:
    return own_key(f"connections:{scope}")
