"""Publishers that wait: through an outage of Redis, and for subscribers that are not stuck."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from redis import AuthenticationError, Redis
from redis.exceptions import OutOfMemoryError, ResponseError

from quotes.publish import patient_publisher
from quotes.publish.patient_publisher import (
    CHECK_EVERY_TICKS,
    MAX_BUFFERED_BYTES,
    Backpressure,
    PatientPublisher,
)
from quotes.publish.publishing import publish_ticks
from quotes.ticks import Tick
from tests.valkey import ValkeyProcess
from tests.waiting import wait_until

TICKS = [Tick("M&M", f"803.{number:02}", 1_618_544_701_000 + number) for number in range(10)]


def test_batch_is_published_again_when_redis_is_back(
    redis: Redis, redis_server: ValkeyProcess
) -> None:
    """A batch that meets a dead Redis is published when Redis is back; both are reported."""
    sentences: list[str] = []
    publish = PatientPublisher(redis, tell=sentences.append)
    assert publish(TICKS[:5]) == 5
    redis_server.kill()
    counts: list[int] = []
    thread = threading.Thread(target=lambda: counts.append(publish(TICKS[5:])))
    thread.start()
    wait_until(lambda: sentences)
    assert "Redis does not answer, retrying" in sentences[0]
    redis_server.start()
    thread.join(timeout=5)
    assert counts == [5]
    assert (
        "Redis takes ticks again after" in sentences[1]
        and "up to 5 ticks may be repeated" in sentences[1]
    )
    assert len(sentences) == 2
    assert redis.get("stock:M&M") == b'{"symbol":"M&M","price":803.09,"timestamp":1618544701009}'


def test_waiting_ends_when_asked(redis: Redis, redis_server: ValkeyProcess) -> None:
    """Ctrl-C during an outage gives the batch up instead of waiting for Redis."""
    stop = threading.Event()
    sentences: list[str] = []
    publish = PatientPublisher(redis, tell=sentences.append, stopped=stop.is_set)
    redis_server.kill()
    counts: list[int] = []
    thread = threading.Thread(target=lambda: counts.append(publish(TICKS)))
    thread.start()
    wait_until(lambda: sentences)
    stop.set()
    thread.join(timeout=5)
    assert counts == [0]


def test_lasting_refusals_are_raised(redis: Redis, redis_server: ValkeyProcess) -> None:
    """A wrong password and a full memory, which do not go away by waiting, are raised at once."""
    stranger = Redis.from_url(redis_server.url.replace("//", "//nobody:secret@"))
    with pytest.raises((AuthenticationError, ResponseError)):
        PatientPublisher(stranger, tell=print)(TICKS)
    stranger.close()
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(OutOfMemoryError):
            PatientPublisher(redis, tell=print)(TICKS)
    finally:
        redis.config_set("maxmemory", 0)


BATCH = [
    Tick("M&M", "803.50", 1_618_544_701_000, "", b',"note":"%b"' % (b"x" * 2000))
] * CHECK_EVERY_TICKS


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
    sentences: list[str] = []
    publish = Backpressure(
        lambda ticks: publish_ticks(ticks, client=redis), client=redis, tell=sentences.append
    )
    thread = threading.Thread(target=publish, args=(BATCH,))
    thread.start()
    wait_until(lambda: held(redis) > MAX_BUFFERED_BYTES)
    assert thread.is_alive()
    subscriber.settimeout(5)
    while thread.is_alive():
        subscriber.recv(1 << 16)
    assert held(redis) <= MAX_BUFFERED_BYTES and not sentences


def test_stuck_subscriber_is_ignored(
    redis: Redis, subscriber: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subscriber that reads nothing delays publishing once, is reported, then is ignored."""
    monkeypatch.setattr(patient_publisher, "STUCK_AFTER_S", 0.2)
    sentences: list[str] = []
    publish = Backpressure(
        lambda ticks: publish_ticks(ticks, client=redis), client=redis, tell=sentences.append
    )
    assert publish(BATCH) == CHECK_EVERY_TICKS
    assert len(sentences) == 1 and "1 readers of Redis do not catch up" in sentences[0]
    began = time.monotonic()
    publish(BATCH)
    assert time.monotonic() - began < 5
    assert len(sentences) == 1


def test_a_publisher_that_may_not_list_clients_goes_on(
    redis: Redis, redis_server: ValkeyProcess
) -> None:
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
    assert publish(BATCH) == CHECK_EVERY_TICKS
    client.close()
    redis.acl_deluser("publisher")
