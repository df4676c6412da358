"""Day statistics in Redis."""

import json

import pytest
from redis import Redis

from quotes.runtime.clock import DAY_MS
from quotes.store.names import own_key
from tests.history.logs import OPENING, log, log_row, record
from tests.history.test_recorder import RELIANCE

pytestmark = pytest.mark.usefixtures("history")


def test_day_statistics_know_the_last_session(redis: Redis) -> None:
    """The hash `day` has the newest day's numbers and the close of the session before."""
    log(redis, [log_row(price="90.50", timestamp=OPENING - DAY_MS, volume=5)])
    record(redis)
    log(redis, [log_row(price="100.10", volume=7), log_row(price="99.90", volume=9)])
    record(redis)
    assert redis.hget(own_key("day"), str(RELIANCE)) == (
        b'{"date":"2021-04-16","open":100.10,"high":100.10,"low":99.90,"prev_close":90.50,'
        b'"volume":9}'
    )
    log(redis, [log_row(price="91.00", timestamp=OPENING - DAY_MS + 1, volume=6, shown=False)])
    record(redis)
    (text,) = redis.hvals(own_key("day"))
    assert json.loads(text)["prev_close"] == 91 and json.loads(text)["open"] == 100.1
