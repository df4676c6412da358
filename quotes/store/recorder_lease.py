"""The lease of a recorder: that of `lease.py` over a plain client, without an event loop."""

import time
import uuid
from typing import Any

import redis

from quotes.store.lease import ACQUIRE, RELEASE, RENEW
from quotes.store.names import own_key


class RecorderLease:
    """One contender for the one lease; raises redis.RedisError when Redis does not answer.

    Args:
        life_ms: how long the lease outlives its last renewal.
    """

    def __init__(self, client: redis.Redis, *, life_ms: int) -> None:
        self.client = client
        self.life_ms = life_ms
        self.token = uuid.uuid4().hex
        self.renewed_at = float("-inf")
        name = own_key("recorder:lease")
        self.keys = (name, f"{name}:last", own_key("recorder:status"))

    def acquire(self) -> bool:
        """Take the lease if it is free, or still this contender's; say whether it was taken."""
        self.renewed_at = time.monotonic()
        return bool(self.run(ACQUIRE, *self.keys[:2], self.token, self.life_ms))

    def keep(self, status: bytes) -> bool:
        """Prolong the lease when it is time to, and set the status; False when it is lost."""
        if time.monotonic() - self.renewed_at < self.life_ms / 4000:
            return True
        self.renewed_at = time.monotonic()
        return bool(self.run(RENEW, *self.keys, self.token, self.life_ms, status))

    def release(self) -> None:
        """Give the lease up, so that a standby takes over at once."""
        self.run(RELEASE, *self.keys, self.token)

    def run(self, script: str, *values: Any) -> Any:
        keys = sum(value in self.keys for value in values)
        return self.client.eval(script, keys, *values)
