"""Leases: one contender at a time, and none longer than it renews."""

import time

from redis import Redis

from quotes.store.lease import SyncLease
from tests.waiting import wait_until


def test_one_holds_the_lease_until_it_is_released_or_expires(redis: Redis) -> None:
    """Another contender takes a released lease at once, and one that is not renewed later."""
    one, other = (SyncLease(redis, "lease", status_key="status", ttl_ms=300) for _ in range(2))
    assert one.acquire() and not other.acquire()
    one.release()
    assert other.acquire() and not one.acquire()
    wait_until(one.acquire, timeout_s=3)
    time_to_renew = time.monotonic() + 0.1
    wait_until(lambda: time.monotonic() > time_to_renew)
    assert one.renew_if_due(b"{}") and not other.renew_if_due(b"{}")
    assert redis.get("status") == b"{}" and 0 < redis.pttl("status") <= 300
