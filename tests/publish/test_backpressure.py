"""Back-pressure: a fast publisher waits for subscribers, but not for those that are stuck."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from redis import Redis

from quotes.publish import backpressure
from quotes.publish.backpressure import LOOK_EVERY, MOST_HELD_BYTES, Backpressure
from quotes.publish.publishing import publish_ticks
from quotes.ticks import Tick
from tests.valkey import ValkeyProcess
from tests.waiting import wait_until

BATCH = [Tick("M&M", "803.50", 1_618_544_701_000, "", b',"note":"%b"' % (b"x" * 2000))] * LOOK_EVERY


@pytest.fixture
def subscriber(redis: Redis, redis_server: ValkeyProcess) -> Iterator[socket.socket]:
    """A subscriber of all prices that reads only when a test does it."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect(("127.0.0.1", redis_server.port))
        one.sendall(b"PSUBSCRIBE stock:*\r\n")
        wait_until(lambda: redis.pubsub_numpat() == 1)
        yield one


def held(redis: Redis) -> int:
    return max(int(one["omem"]) for one in redis.client_list(_type="pubsub"))


def test_publishing_waits_until_a_subscriber_has_caught_up(
    redis: Redis, subscriber: socket.socket
) -> None:
    """What Redis holds for a slow subscriber stays far below the limit at which it is cut off."""
    told: list[str] = []
    publish = Backpressure(
        lambda ticks: publish_ticks(ticks, client=redis), client=redis, tell=told.append
    )
    thread = threading.Thread(target=publish, args=(BATCH,))
    thread.start()
    wait_until(lambda: held(redis) > MOST_HELD_BYTES)
    assert thread.is_alive()
    subscriber.settimeout(5)
    while thread.is_alive():
        subscriber.recv(1 << 16)
    assert held(redis) <= MOST_HELD_BYTES and not told


def test_stuck_subscriber_is_given_up(
    redis: Redis, subscriber: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subscriber that reads nothing delays publishing once, is told of, then is ignored."""
    monkeypatch.setattr(backpressure, "STUCK_AFTER_S", 0.2)
    told: list[str] = []
    publish = Backpressure(
        lambda ticks: publish_ticks(ticks, client=redis), client=redis, tell=told.append
    )
    assert publish(BATCH) == LOOK_EVERY
    assert len(told) == 1 and "1 readers of Redis do not catch up" in told[0]
    began = time.monotonic()
    publish(BATCH)
    assert time.monotonic() - began < 5
    assert len(told) == 1


def test_who_may_not_ask_is_not_held_up(redis: Redis, redis_server: ValkeyProcess) -> None:
    """Where CLIENT LIST is forbidden, as some hosts do, publishing goes on without it."""
    redis.acl_setuser(
        "publisher",
        enabled=True,
        nopass=True,
        commands=["+eval", "+get", "+set", "+publish", "+xadd"],
        keys=["*"],
        channels=["*"],
    )
    client = Redis.from_url(redis_server.url.replace("//", "//publisher:any@"))
    publish = Backpressure(
        lambda ticks: publish_ticks(ticks, client=client), client=client, tell=print
    )
    assert publish(BATCH) == LOOK_EVERY
    client.close()
    redis.acl_deluser("publisher")
