"""Machines with wrong clocks: what REST accepts and answers, and how `/readyz` names them."""

import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from redis import Redis

from quotes.kafka.status import ConsumerStatus, consumer_statuses, write_status
from quotes.store.names import own_key
from quotes.store.redis_clock import MACHINE, redis_clock
from tests.rest.test_readiness import bridge_works, readyz, recorder_works

pytestmark = pytest.mark.django_db

SetClock = Callable[[float], None]


def right_ms() -> int:
    """Return the present by the right clock, Redis's."""
    return time.time_ns() // 1_000_000


@pytest.mark.parametrize("ahead_s", [172_800, -3600])
def test_ticks_are_accepted_by_the_clock_of_redis(
    client: Client, redis: Redis, set_clock: SetClock, ahead_s: int
) -> None:
    """Those of now are; one without a time gets Redis's."""
    set_clock(ahead_s)
    user = User.objects.create_user("publisher")
    user.user_permissions.add(Permission.objects.get(codename="publish_prices"))
    client.force_login(user)
    ticks = [
        {"symbol": "A", "price": 1, "timestamp": right_ms()},
        {"symbol": "B", "price": 2},
    ]
    answer = client.post("/api/prices/", ticks, content_type="application/json").json()
    assert answer["accepted"] == 2, answer
    value: Any = redis.get("stock:B")
    assert abs(msgspec.json.decode(value)["timestamp"] - right_ms()) < 10_000
    assert client.get("/api/prices/A/").json()["price"] == 1


def test_each_machine_with_a_wrong_clock_is_named(
    client: Client, redis: Redis, settings: Any, set_clock: SetClock
) -> None:
    """A warning with the difference and the cure; prices flow, so it is 200."""
    settings.KAFKA_BOOTSTRAP_SERVERS, settings.KAFKA_TOPICS = "localhost:9092", "a"
    set_clock(20)
    bridge_works(redis, machine="alpha", clock_ms=172_800_000)
    recorder_works(redis, machine="beta", clock_ms=-3_600_000)
    redis_clock.measure_if_due(redis)
    write_status("one", ConsumerStatus(topics={"a": 1}), client=redis)
    code, answer = readyz(client)
    assert code == 200
    (warning,) = answer["warnings"]
    assert warning == f"clocks: {answer['clocks']}"
    for part in (
        f"the clock of {MACHINE} (web, Kafka consumer) is 20.0 s ahead of Redis's: set the clocks",
        "the clock of alpha (bridge) is 172,800.0 s ahead of Redis's: set the clocks",
        "the clock of beta (recorder) is 3,600.0 s behind Redis's: set the clocks of both machines",
    ):
        assert part in warning
    redis.delete("quotes:kafka:consumers")


def test_clocks_of_one_machine_are_told_apart(
    client: Client, redis: Redis, set_clock: SetClock
) -> None:
    """One process may see another clock than the rest, as in a container or a test."""
    set_clock(0)
    bridge_works(redis, machine=MACHINE, clock_ms=172_800_000)
    recorder_works(redis, machine=MACHINE, clock_ms=100)
    (warning,) = readyz(client)[1]["warnings"]
    assert warning.startswith(f"clocks: the clock of {MACHINE} (bridge) is 172,800.0 s ahead")


def test_age_of_the_last_commit_is_by_the_clock_of_redis(
    client: Client, redis: Redis, set_clock: SetClock
) -> None:
    """A recorder that works is not called late because this machine's clock is ahead."""
    set_clock(3600)
    bridge_works(redis)
    recorder_works(redis, behind=7, committed=right_ms())
    answer = readyz(client)[1]
    assert answer["recorder"] == "ok" and answer["recorder_status"]["last_commit_s"] < 10


def test_consumer_of_another_machine_is_found_by_the_clock_of_redis(
    redis: Redis, set_clock: SetClock
) -> None:
    """Neither taken for ended nor deleted, whichever machine's clock is wrong."""
    for writer_s, reader_s in ((3600, 0), (0, 3600), (-3600, 3600)):
        set_clock(writer_s)
        redis_clock.measure_if_due(redis)
        write_status("one", ConsumerStatus(), client=redis)
        set_clock(reader_s)
        assert set(consumer_statuses(redis)) == {"one"}
    assert redis.hlen(own_key("kafka:consumers")) == 1
