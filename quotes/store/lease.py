"""A lease in Redis: one process works, the others stand by; the worker's writes are fenced by it.

The lease is a key with a short life that holds the worker's token. Each write of the worker is a
script that first looks whether the lease still holds the token, so a worker that was paused for
longer than the lease's life cannot write what another has written since. A lease that ran out and
was taken by nobody is still the last holder's: a worker that was only slow goes on.
"""

import uuid

from quotes.runtime.redis_link import RedisLink

# KEYS: lease, last holder, ... ARGV: token, life in ms, ...
HOLD = """
local holder = redis.call('GET', KEYS[1])
if not holder then holder = redis.call('GET', KEYS[2]) end
if holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
"""

# KEYS: lease, last holder. ARGV: token, life in ms.
ACQUIRE = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], ARGV[1])
return 1
"""

# KEYS: lease, last holder, status. ARGV: token, life in ms, status.
RENEW = (
    HOLD
    + """
redis.call('SET', KEYS[3], ARGV[3], 'PX', ARGV[2])
return 1
"""
)

# KEYS: lease, last holder, status. ARGV: token.
RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
"""


class Lease:
    """One contender for a lease.

    Args:
        name: the Redis key of the lease.
        status_key: a key that lives as long as the lease is renewed.
        life_ms: how long the lease outlives its last renewal.
    """

    def __init__(self, name: str, *, status_key: str, life_ms: int) -> None:
        self.name = name
        self.last_holder = f"{name}:last"
        self.status_key = status_key
        self.life_ms = life_ms
        self.token = uuid.uuid4().hex

    async def acquire(self, link: RedisLink) -> bool:
        """Take the lease if it is free, or still this contender's; say whether it was taken."""
        keys = (self.name, self.last_holder)
        return bool(await link.command("EVAL", ACQUIRE, 2, *keys, self.token, self.life_ms))

    async def renew(self, link: RedisLink, status: bytes) -> bool:
        """Prolong the lease and set the status; False when the lease is lost."""
        keys = (self.name, self.last_holder, self.status_key)
        return bool(await link.command("EVAL", RENEW, 3, *keys, self.token, self.life_ms, status))

    async def release(self, link: RedisLink) -> None:
        """Give the lease up, so that a standby takes over at once."""
        keys = (self.name, self.last_holder, self.status_key)
        await link.command("EVAL", RELEASE, 3, *keys, self.token)
