"""Day statistics in Redis."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from quotes.history.maintenance.pruning import prune_history
from quotes.history.maintenance.retention import parse_retention
from quotes.publish.publishing import forget_all_prices, forget_prices
from quotes.runtime.clock import DAY_MS
from quotes.store.names import own_key
from tests.history.conftest import HistoryDatabase
from tests.history.logs import MINUTE, OPENING, log, log_row, record
from tests.history.test_importing import import_file, write
from tests.history.test_recorder import RELIANCE
from tests.history.test_recorder_lease import InThread
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("history")

CANDLES = "date,open,high,low,close,volume\n"


def day_of(redis: Redis, key: str = str(RELIANCE)) -> dict[str, Any] | None:
    """Return the statistics of an instrument, or None."""
    text: Any = redis.hget(own_key("day"), key)
    return json.loads(text) if text else None


def prev_close(redis: Redis, key: str = str(RELIANCE)) -> Any:
    day = day_of(redis, key)
    assert day is not None and day["date"] == "2021-04-16"
    return day["prev_close"]


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
    assert prev_close(redis) == 91


@pytest.mark.parametrize("key", [str(RELIANCE), "AAPL"])
@pytest.mark.parametrize("days", [2, 7, 14])
def test_older_close_is_not_that_of_the_last_session(redis: Redis, key: str, days: int) -> None:
    """There was a session between, of which nothing is known."""
    log(redis, [log_row(key, "90", OPENING - days * DAY_MS), log_row(key, "100", OPENING)])
    record(redis)
    assert prev_close(redis, key) is None
    log(redis, [log_row(key, "95", OPENING - DAY_MS, shown=False)])
    record(redis)
    assert prev_close(redis, key) == 95


@pytest.mark.parametrize("key", [str(RELIANCE), "AAPL"])
def test_weekend_is_passed_over(redis: Redis, key: str) -> None:
    """On Monday the last session is Friday's, unless the instrument trades around the clock."""
    monday = OPENING + 3 * DAY_MS
    log(redis, [log_row(key, "90", OPENING), log_row(key, "100", monday)])
    record(redis)
    day = day_of(redis, key)
    assert day is not None and (day["date"], day["prev_close"]) == ("2021-04-19", 90)
    log(redis, [log_row(key, "95", OPENING + 2 * DAY_MS, shown=False)])
    record(redis)
    day = day_of(redis, key)
    assert day is not None and day["prev_close"] == (95 if key == "AAPL" else 90)


def test_day_without_a_session_is_not_the_session_before(redis: Redis) -> None:
    """With candles at all hours a Sunday has candles, and Monday's previous close is Friday's."""
    monday = OPENING + 3 * DAY_MS
    log(redis, [log_row(price="90", timestamp=OPENING)])
    log(redis, [log_row(price="95", timestamp=OPENING + 2 * DAY_MS)])
    log(redis, [log_row(price="100", timestamp=monday)])
    record(redis, all_hours=True)
    day = day_of(redis)
    assert day is not None and (day["date"], day["prev_close"]) == ("2021-04-19", 90)


def test_previous_close_follows_in_a_working_recorder(
    redis: Redis, history: HistoryDatabase, tmp_path: Path
) -> None:
    """It follows late ticks, also beside one of today, an import and pruning without a restart."""
    log(redis, [log_row(price="100", timestamp=OPENING)])
    with InThread(redis, history):
        wait_until(lambda: day_of(redis) is not None)
        assert prev_close(redis) is None
        rows = "2021-04-15,80,81,79,80.5,10\n"
        import_file(write(tmp_path / "d.csv", CANDLES + rows), name="RELIANCE", interval="1d")
        wait_until(lambda: prev_close(redis) == 80.5)
        log(
            redis,
            [
                log_row(price="101", timestamp=OPENING + 1),
                log_row(price="70", timestamp=OPENING - 7 * DAY_MS, shown=False),
            ],
        )
        wait_until(lambda: (day_of(redis) or {})["high"] == 101)
        assert prev_close(redis) == 80.5
        prune_history(rules=parse_retention("1d=1"), today=date(2021, 4, 16))
        wait_until(lambda: prev_close(redis) is None)
        log(
            redis,
            [
                log_row(price="102", timestamp=OPENING + 2),
                log_row(price="81", timestamp=OPENING - DAY_MS + 5, shown=False),
            ],
        )
        wait_until(lambda: prev_close(redis) == 81)
        log(
            redis,
            [
                log_row(price="103", timestamp=OPENING + 3),
                log_row(price="82", timestamp=OPENING - DAY_MS + 6, shown=False),
            ],
        )
        wait_until(lambda: prev_close(redis) == 82)
        prune_history(rules=parse_retention("1d=1"), today=date(2021, 4, 18))
        wait_until(lambda: day_of(redis) is None)


def test_tick_a_day_ahead_leaves_no_day_when_it_is_forgotten(redis: Redis) -> None:
    """The statistics are of the day of the last tick that clients were shown."""
    log(redis, [log_row(price="90", timestamp=OPENING - DAY_MS)])
    log(redis, [log_row(price="999", timestamp=OPENING + DAY_MS + 3 * DAY_MS)])
    record(redis)
    assert (day_of(redis) or {})["date"] == "2021-04-20"
    forget_prices(["NSE_EQ:RELIANCE"], client=redis)
    assert day_of(redis) is None
    log(redis, [log_row(price="100", timestamp=OPENING, epoch=2)])
    record(redis)
    assert prev_close(redis) == 90
    log(redis, [log_row(price="101", timestamp=OPENING + 1, epoch=2)])
    log(redis, [log_row(price="89", timestamp=OPENING - DAY_MS + 1, epoch=2, shown=False)])
    record(redis)
    assert prev_close(redis) == 89


def test_replay_of_an_older_day_has_the_statistics_of_that_day(redis: Redis) -> None:
    """After all prices were forgotten, older ticks are shown again."""
    log(redis, [log_row(price=str(90 + n), timestamp=OPENING + n * DAY_MS) for n in (-1, 0, 3)])
    record(redis)
    forget_all_prices(client=redis)
    assert day_of(redis) is None
    log(redis, [log_row(price="95", timestamp=OPENING + MINUTE, epoch=2)])
    record(redis)
    assert prev_close(redis) == 89
    assert (day_of(redis) or {})["high"] == 95
