"""Redis's clock, as a process with another one knows it."""

import logging
import time
from collections.abc import Callable

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from quotes.conf import conf
from quotes.runtime import clock
from quotes.store.redis_clock import MACHINE, RedisClock, clock_problem
from tests.valkey import ValkeyProcess

SetClock = Callable[[float], None]

HOUR_MS = 3_600_000


def reply(ahead_ms: float = 0.0) -> tuple[int, int]:
    """Return what TIME answers on a Redis whose clock is so far ahead of the right one."""
    micros = round(time.time() * 1_000_000 + ahead_ms * 1000)
    return divmod(micros, 1_000_000)


def difference_from_redis(one: RedisClock, redis: Redis) -> float:
    seconds, micros = redis.time()
    return one.now_ms() - seconds * 1000 - micros / 1000


@pytest.mark.parametrize("hours", [-1, 1, 48])
def test_present_is_redis_whatever_this_machine_says(
    redis: Redis, set_clock: SetClock, hours: int
) -> None:
    """Also when the clock is set after it was measured; the difference is known at once."""
    set_clock(hours * 3600)
    one = RedisClock()
    one.measure_if_due(redis)
    assert abs(difference_from_redis(one, redis)) < 1000
    assert abs(one.difference_ms - hours * HOUR_MS) < 1000
    set_clock(hours * 7200)
    assert abs(difference_from_redis(one, redis)) < 1000
    assert abs(one.difference_ms - 2 * hours * HOUR_MS) < 1000
    assert one.earliest_ms() <= min(clock.now_ms(), one.now_ms())
    assert one.latest_ms() >= max(clock.now_ms(), one.now_ms()) - 1000


def test_right_ticks_are_in_time_while_either_clock_is_behind(set_clock: SetClock) -> None:
    """A tick of now is never ahead; how far ahead others may be follows the later clock."""
    ahead_ms = conf.max_ahead_ms
    set_clock(-3600)
    one = RedisClock()
    one.take(reply(), time.monotonic())
    assert one.max_ahead_ms() == ahead_ms
    set_clock(0)
    one.take(reply(-HOUR_MS), time.monotonic())
    right = time.time() * 1000
    assert right < one.now_ms() + one.max_ahead_ms() < right + ahead_ms + 5000


def test_small_differences_change_nothing(set_clock: SetClock) -> None:
    """Two clocks always differ by a little: no warning, and the limit is as it is set."""
    set_clock(1)
    one = RedisClock()
    one.take(reply(), time.monotonic())
    assert one.max_ahead_ms() == conf.max_ahead_ms and one.problem() == ""


def test_slow_answer_spoils_no_measurement(set_clock: SetClock) -> None:
    """But it is better than none; a quick one that differs is followed."""
    set_clock(0)
    one = RedisClock()
    one.take(reply(), time.monotonic() - 8)
    assert abs(one.difference_ms) < 10_000
    one.take(reply(), time.monotonic())
    assert abs(one.difference_ms) < 1000
    one.take(reply(-60_000), time.monotonic() - 8)
    assert abs(one.difference_ms) < 1000
    one.take(reply(-60_000), time.monotonic())  # Redis's clock was set
    assert abs(one.difference_ms - 60_000) < 1000


def test_warning_names_machine_difference_and_cure(
    redis: Redis, set_clock: SetClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Once while it lasts, and again if the clocks agreed meanwhile."""
    one = RedisClock()
    with caplog.at_level(logging.INFO, "quotes.store.redis_clock"):
        for seconds in (-3600, -3600, 0, 90):
            set_clock(seconds)
            one.take(reply(), time.monotonic())
    first, second, third = [record.getMessage() for record in caplog.records]
    assert MACHINE in first and "s behind Redis's" in first and "NTP" in first
    assert "3,600.0" in first or "3,599.9" in first
    assert "agrees" in second and "ahead of Redis's" in third


def test_problem_of_another_machine() -> None:
    """As `/readyz` makes it of what a process has written."""
    assert clock_problem("alpha", 172_800_000).startswith("the clock of alpha is 172,800.0 s ahead")
    assert clock_problem("alpha", -20_000).startswith("the clock of alpha is 20.0 s behind")
    assert clock_problem("", 0) == ""


def test_redis_away_is_no_error(
    redis: Redis, redis_server: ValkeyProcess, set_clock: SetClock
) -> None:
    """What was measured runs on; without that the machine's own clock stands in."""
    set_clock(3600)
    one, other = RedisClock(), RedisClock()
    one.measure_if_due(redis)
    redis_server.kill()
    other.measure_if_due(redis)
    assert abs(one.difference_ms - HOUR_MS) < 1000 and other.difference_ms == 0


def test_user_who_may_not_run_time(set_clock: SetClock, caplog: pytest.LogCaptureFixture) -> None:
    """The machine's own clock stands in; the log says once what to allow."""
    set_clock(3600)
    one = RedisClock()
    for _ in range(3):
        one.take(ResponseError("NOPERM no permission to run 'time'"), time.monotonic())
    assert one.difference_ms == 0
    (record,) = caplog.records
    assert "+time" in record.getMessage()
