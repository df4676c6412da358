"""A lease in Redis: one process works, the others stand by; the worker's writes are fenced by it.

The lease is a key with a short life that holds the worker's token. Each write of the worker is a
script that first looks whether the lease still holds the token, so a worker that was paused for
longer than the lease's life cannot write what another has written since.
"""

import uuid

from quotes.redis_link import RedisLink

# KEYS: lease, status. ARGV: token, life in ms, status.
RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[2])
return 1
"""

# KEYS: lease, status. ARGV: token.
RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1], KEYS[2])
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
        self.status_key = status_key
        self.life_ms = life_ms
        self.token = uuid.uuid4().hex

    async def acquire(self, link: RedisLink) -> bool:
        """Take the lease if it is free, or still this contender's; say whether it was taken."""
        taken = await link.command("SET", self.name, self.token, "NX", "PX", self.life_ms)
        return taken is not None or await link.command("GET", self.name) == self.token.encode()

    async def renew(self, link: RedisLink, status: bytes) -> bool:
        """Prolong the lease and set the status; False when the lease is lost."""
        keys = (self.name, self.status_key)
        return bool(await link.command("EVAL", RENEW, 2, *keys, self.token, self.life_ms, status))

    async def release(self, link: RedisLink) -> None:
        """Give the lease up, so that a standby takes over at once."""
        await link.command("EVAL", RELEASE, 2, self.name, self.status_key, self.token)
