"""A lease in Redis: one process works, the others stand by; the lease fences the worker's writes.

The lease is a key that expires soon and holds the worker's token. Each write of the worker is a
script that first checks that the lease still holds the token, so a worker that was paused for
longer than the lease lasts cannot overwrite the work of another. An expired lease that nobody has
taken is still the last holder's: a worker that was only slow goes on.
"""

import math
import time
import uuid

import redis

from quotes.runtime.redis_link import RedisLink

# When Redis is full it lets a script go on whose first write needs no memory: in all scripts here
# that is DEL, or PEXPIRE.

# The beginning of each fenced script, which returns 0 when the lease is lost.
# KEYS: lease, last holder, ... ARGV: token, TTL in ms, ...
HOLD = """
local holder = redis.call('GET', KEYS[1])
if not holder then holder = redis.call('GET', KEYS[2]) end
if holder ~= ARGV[1] then return 0 end
if redis.call('PEXPIRE', KEYS[1], ARGV[2]) == 0 then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
"""

# KEYS: lease, last holder. ARGV: token, TTL in ms.
_ACQUIRE = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], ARGV[1])
return 1
"""

# KEYS: lease, last holder, status. ARGV: token, TTL in ms, status.
_RENEW = (
    HOLD
    + """
redis.call('SET', KEYS[3], ARGV[3], 'PX', ARGV[2])
return 1
"""
)

# KEYS: lease, last holder, status. ARGV: token.
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
"""


# KEYS: lease, last holder. ARGV: token, TTL in ms, token of the next holder.
_HAND_OVER = (
    HOLD
    + """
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2])
redis.call('SET', KEYS[2], ARGV[3])
return 1
"""
)


class _Contender:
    """One contender for a lease.

    Args:
        name: the Redis key of the lease.
        status_key: a key that is set, and expires, with the lease.
        ttl_ms: how long the lease outlasts its last renewal.
    """

    def __init__(self, name: str, *, status_key: str, ttl_ms: int) -> None:
        self.keys = (name, f"{name}:last")
        self.token = uuid.uuid4().hex
        self.ttl_ms = ttl_ms
        self._all_keys = (*self.keys, status_key)


class AsyncLease(_Contender):
    """A contender in an event loop; raises RedisDown when Redis does not answer."""

    async def acquire(self, link: RedisLink) -> bool:
        """Take the lease if it is free or still this contender's; return whether it was taken."""
        return bool(await link.command("EVAL", _ACQUIRE, 2, *self.keys, self.token, self.ttl_ms))

    async def renew(self, link: RedisLink, status: bytes) -> bool:
        """Prolong the lease and set the status; return False when the lease is lost."""
        args = (*self._all_keys, self.token, self.ttl_ms, status)
        return bool(await link.command("EVAL", _RENEW, 3, *args))

    async def release(self, link: RedisLink) -> None:
        """Give the lease up, so that a standby takes over at once."""
        await link.command("EVAL", _RELEASE, 3, *self._all_keys, self.token)

    async def hand_over(self, link: RedisLink, token: str) -> bool:
        """Make the lease another contender's, as if that had taken it; return False if lost."""
        args = (*self.keys, self.token, self.ttl_ms, token)
        return bool(await link.command("EVAL", _HAND_OVER, 2, *args))


class SyncLease(_Contender):
    """A contender without an event loop; raises redis.RedisError when Redis does not answer."""

    def __init__(self, client: redis.Redis, name: str, *, status_key: str, ttl_ms: int) -> None:
        super().__init__(name, status_key=status_key, ttl_ms=ttl_ms)
        self._client = client
        self._renewed_at = float("-inf")

    def acquire(self) -> bool:
        """Take the lease if it is free or still this contender's; return whether it was taken."""
        self._renewed_at = time.monotonic()
        return bool(self._client.eval(_ACQUIRE, 2, *self.keys, self.token, self.ttl_ms))

    def renew_if_due(self, status: bytes, *, every_s: float = math.inf) -> bool:
        """Prolong the lease and set the status each quarter of its time; return False if lost.

        Args:
            every_s: how often to do so at least.
        """
        if time.monotonic() - self._renewed_at < min(every_s, self.ttl_ms / 4000):
            return True
        return self.renew(status)

    def renew(self, status: bytes) -> bool:
        """Prolong the lease and set the status; return False when the lease is lost."""
        self._renewed_at = time.monotonic()
        args = (*self._all_keys, self.token, self.ttl_ms, status)
        return bool(self._client.eval(_RENEW, 3, *args))

    def release(self) -> None:
        """Give the lease up, so that a standby takes over at once."""
        self._client.eval(_RELEASE, 3, *self._all_keys, self.token)
