"""Publishing many ticks: order, errors of Redis, a connection that went stale."""

import pytest
import redis as redis_library
from redis import Redis
from redis.exceptions import OutOfMemoryError

from quotes.publish.publishing import publish_ticks
from quotes.store.inbox import MARK
from quotes.ticks import Tick, encode_tick
from tests.valkey import ValkeyProcess
from tests.waiting import wait_until

COUNT = 2500  # more than one round trip


def ticks() -> list[Tick]:
    return [
        Tick(name, f"{number}.50", 1_712_331_900_000 + number)
        for number in range(COUNT // 2)
        for name in ("M&M", "NIFTY 50")
    ]


def test_every_tick_is_set_and_published_in_order(redis: Redis) -> None:
    """Subscribers get every tick in the order given; the key holds the last."""
    with redis.pubsub(ignore_subscribe_messages=True) as pubsub:  # type: ignore[no-untyped-call]
        pubsub.psubscribe("stock:*")
        wait_until(lambda: redis.pubsub_numpat() == 1)
        assert publish_ticks(ticks(), client=redis) == COUNT
        heard: list[bytes] = []

        def all_heard() -> bool:
            while message := pubsub.get_message():
                heard.append(message["data"].removesuffix(MARK))
            return len(heard) == COUNT

        wait_until(all_heard)
    assert heard[:2] == [
        b'{"symbol":"M&M","price":0.50,"timestamp":1712331900000}',
        b'{"symbol":"NIFTY 50","price":0.50,"timestamp":1712331900000}',
    ]
    assert heard == [encode_tick(tick) for tick in ticks()]
    assert redis.get("stock:M&M") == heard[-2]
    assert redis.get("stock:NIFTY 50") == heard[-1]


def test_error_of_redis_spoils_no_later_command(redis: Redis) -> None:
    """A refused tick raises the error of Redis, and the next command gets its own reply."""
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(OutOfMemoryError):
            publish_ticks(ticks(), client=redis)
        assert redis.echo("whose reply") == b"whose reply"
    finally:
        redis.config_set("maxmemory", 0)
    assert publish_ticks(ticks()[:1], client=redis) == 1


def test_connection_from_before_a_restart_is_renewed(
    redis: Redis, redis_server: ValkeyProcess
) -> None:
    """A client that was connected before Redis started again publishes at the first attempt."""
    publish_ticks(ticks()[:1], client=redis)
    redis_server.kill()
    redis_server.start()
    assert publish_ticks(ticks()[:1], client=redis) == 1
    redis_server.kill()
    with pytest.raises(redis_library.ConnectionError):
        publish_ticks(ticks()[:1], client=redis)
    redis_server.start()
    assert publish_ticks(ticks()[:1], client=redis) == 1
