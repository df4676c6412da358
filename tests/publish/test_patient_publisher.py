"""Publishing through an outage of Redis: retried, told, given up when asked or hopeless."""

import threading

import pytest
from redis import AuthenticationError, Redis
from redis.exceptions import OutOfMemoryError, ResponseError

from quotes.publish.patient_publisher import PatientPublisher
from quotes.ticks import Tick
from tests.valkey import ValkeyProcess
from tests.waiting import wait_until

TICKS = [Tick("M&M", f"803.{number:02}", 1_618_544_701_000 + number) for number in range(10)]


def test_batch_is_published_again_when_redis_is_back(
    redis: Redis, redis_server: ValkeyProcess
) -> None:
    """A batch that meets a dead Redis is published as soon as Redis is back, and both are told."""
    told: list[str] = []
    publish = PatientPublisher(redis, tell=told.append)
    assert publish(TICKS[:5]) == 5
    redis_server.kill()
    counts: list[int] = []
    thread = threading.Thread(target=lambda: counts.append(publish(TICKS[5:])))
    thread.start()
    wait_until(lambda: told)
    assert "Redis does not answer, trying again" in told[0]
    redis_server.start()
    thread.join(timeout=5)
    assert counts == [5]
    assert "Redis takes ticks again after" in told[1] and "up to 5 ticks may come twice" in told[1]
    assert len(told) == 2
    assert redis.get("stock:M&M") == b'{"symbol":"M&M","price":803.09,"timestamp":1618544701009}'


def test_waiting_ends_when_asked(redis: Redis, redis_server: ValkeyProcess) -> None:
    """Ctrl-C during an outage gives the batch up instead of waiting for Redis."""
    stop = threading.Event()
    told: list[str] = []
    publish = PatientPublisher(redis, tell=told.append, stopped=stop.is_set)
    redis_server.kill()
    counts: list[int] = []
    thread = threading.Thread(target=lambda: counts.append(publish(TICKS)))
    thread.start()
    wait_until(lambda: told)
    stop.set()
    thread.join(timeout=5)
    assert counts == [0]


def test_lasting_refusals_are_raised(redis: Redis, redis_server: ValkeyProcess) -> None:
    """What waiting does not mend is an error at once: a wrong password, memory used up."""
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
