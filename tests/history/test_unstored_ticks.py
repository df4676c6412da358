"""Candles whose ticks are not stored, because they were imported or pruned, and ticks beside them.

On SQLite and PostgreSQL.
"""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from quotes.history.candles.intervals import STORED, Interval
from quotes.history.candles.sessions import calendars
from quotes.history.maintenance.pruning import prune_history
from quotes.history.maintenance.rebuilding import RebuildReport, rebuild_candles
from quotes.history.maintenance.retention import parse_retention
from quotes.history.models import Candle
from quotes.runtime.clock import DAY_MS
from quotes.store.names import own_key
from tests.history.conftest import HistoryDatabase
from tests.history.logs import HOURS, MINUTE, OPENING, log, log_row, record
from tests.history.test_importing import import_file, write
from tests.history.test_recorder_lease import InThread, stored
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("history")

FRIDAY = date(2021, 4, 16)
TEN = OPENING + 45 * MINUTE  # 10:00 in India
MINUTES = "date,open,high,low,close,volume\n"


def minutes_of_ten(tmp_path: Path, volumes: list[int]) -> None:
    """Import one-minute candles from 10:00 on."""
    rows = [f"2021-04-16 10:0{n}:00,10,11,9,10,{volume}\n" for n, volume in enumerate(volumes)]
    import_file(write(tmp_path / "m.csv", MINUTES + "".join(rows)), name="RELIANCE", interval="1m")


def volumes() -> set[int]:
    """Return the volume of the day, as the candles of each interval add up to it."""
    return {
        sum(volume or 0 for volume in rows.values_list("volume", flat=True))
        for interval in STORED
        if (rows := Candle.objects.filter(interval=interval)).exists()
    }


def prices(interval: Interval, start: int) -> list[str]:
    candle = Candle.objects.get(interval=interval, start=start)
    return [str(one) for one in (candle.open, candle.high, candle.low, candle.close)]


def check() -> RebuildReport:
    return rebuild_candles(first=FRIDAY, last=FRIDAY, calendars=calendars(HOURS), repair=False)


def wrong() -> int:
    """Return how many candles a check finds wrong."""
    return check().wrong


def test_reading_after_imported_minutes_adds_what_is_above_them(
    redis: Redis, tmp_path: Path
) -> None:
    """The day's volume is not counted twice."""
    minutes_of_ten(tmp_path, [400_000, 300_000, 300_000])
    log(redis, [log_row(volume=1_000_100, timestamp=TEN + 5 * MINUTE)])
    record(redis)
    assert volumes() == {1_000_100}
    assert Candle.objects.get(interval=1, start=TEN + 5 * MINUTE).volume == 100
    assert wrong() == 0


def test_reading_below_imported_minutes_is_right_whatever_comes_late(
    redis: Redis, tmp_path: Path
) -> None:
    """It adds nothing, whether or not it belongs to the longest rising sequence."""
    minutes_of_ten(tmp_path, [1000])
    for minute, volume in ((5, 241), (10, 2000), (3, 1000)):
        log(redis, [log_row(volume=volume, timestamp=TEN + minute * MINUTE)])
        record(redis)
        assert wrong() == 0
    assert volumes() == {2000}


def test_minutes_imported_between_readings_take_their_part(redis: Redis, tmp_path: Path) -> None:
    """What was counted at the reading after them was traded within them."""
    log(redis, [log_row(volume=500_000, timestamp=TEN - MINUTE)])
    log(redis, [log_row(volume=900_000, timestamp=TEN + 60 * MINUTE)])
    record(redis)
    minutes_of_ten(tmp_path, [100_000, 200_000, 100_000])
    assert volumes() == {900_000}
    assert Candle.objects.get(interval=1, start=TEN + 60 * MINUTE).volume == 0
    log(redis, [log_row(volume=900_050, timestamp=TEN + 61 * MINUTE)])
    record(redis)
    assert volumes() == {900_050}
    assert wrong() == 0


def test_imported_volumes_fit_their_column(redis: Redis, tmp_path: Path) -> None:
    """Ten minutes of the largest volume are more than a column holds."""
    largest = 999_999_999_999_999_999
    minutes_of_ten(tmp_path, [largest] * 10)
    assert Candle.objects.get(interval=1440).volume == 2**63 - 1
    log(redis, [log_row(volume=5, timestamp=TEN + 20 * MINUTE)])
    record(redis)
    assert Candle.objects.get(interval=1, start=TEN + 20 * MINUTE).volume == 0


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one by one"])
def test_late_ticks_are_merged_into_a_pruned_candle(redis: Redis, together: bool) -> None:
    """They may widen it, and never replace it."""
    day = [
        log_row(price=price, timestamp=OPENING + n, volume=10 * (n + 1))
        for n, price in enumerate(("100", "150", "90", "90"))
    ]
    log(redis, day)
    record(redis)
    prune_history(rules=parse_retention("ticks=1"), today=date(2021, 4, 20))
    late = [log_row(price="120", timestamp=OPENING + 10 + n, volume=40 + n) for n in range(6)]
    for rows in [late] if together else [[row] for row in late]:
        log(redis, rows)
        record(redis)
    for candle in Candle.objects.all():
        assert prices(Interval(candle.interval), candle.start) == ["100", "150", "90", "90"]
        assert (candle.ticks, candle.volume) == (10, 40)
    log(redis, [log_row(price="80", timestamp=OPENING + 20), log_row(price="160.5")])
    record(redis)
    for candle in Candle.objects.all():
        assert prices(Interval(candle.interval), candle.start) == ["100", "160.5", "80", "90"]
    assert wrong() == 0


def test_noise_of_before_pruning_is_not_wrong(redis: Redis) -> None:
    """A candle whose reading was noise stays right when its ticks are gone."""
    readings = (1000, 7, 1100, 1200)
    log(
        redis,
        [
            log_row(volume=volume, timestamp=OPENING + n * MINUTE)
            for n, volume in enumerate(readings)
        ],
    )
    record(redis)
    prune_history(rules=parse_retention("ticks=1"), today=date(2021, 4, 20))
    assert wrong() == 0
    assert volumes() == {1200}


def test_longer_candles_are_checked_against_the_shorter_ones_that_are_left(redis: Redis) -> None:
    """Without ticks and minutes, candles of 5m prove all that are made of them."""
    log(redis, [log_row(timestamp=OPENING + n * MINUTE) for n in range(60)])
    record(redis)
    prune_history(rules=parse_retention("ticks=1, 1m=1, 3m=1"), today=date(2021, 4, 20))
    found = check()
    assert (found.wrong, found.unchecked) == (0, 12)  # those of 5m
    Candle.objects.filter(interval=Interval.HOUR).update(high="4000")
    assert check().wrong == 1


def test_late_tick_of_an_imported_minute_keeps_its_prices(redis: Redis, tmp_path: Path) -> None:
    """Its high and low are not known from ticks."""
    path = write(tmp_path / "m.csv", MINUTES + "2021-04-16 10:00:00,3000,3100,2900,3050,7\n")
    import_file(path, name="RELIANCE", interval="1m")
    for price in ("3000", "3010", "3020"):
        log(redis, [log_row(price=price, timestamp=TEN + 1000)])
        record(redis)
    for candle in Candle.objects.all():
        found = prices(Interval(candle.interval), candle.start)
        assert found == ["3000", "3100", "2900", "3050"]
    assert wrong() == 0


def test_late_tick_does_not_remake_longer_candles(redis: Redis) -> None:
    """Where one-minute candles were pruned, the longer ones are all there is."""
    log(
        redis,
        [
            log_row(price=price, timestamp=OPENING + n * MINUTE, volume=100 * (n + 1))
            for n, price in enumerate(("100", "150", "90", "95"))
        ]
        + [log_row(timestamp=OPENING + DAY_MS * 3)],  # the next session: the candles are final
    )
    record(redis)
    prune_history(rules=parse_retention("ticks=1, 1m=1"), today=date(2021, 4, 20))
    log(redis, [log_row(price="120", timestamp=OPENING + MINUTE, volume=250)])
    record(redis)
    assert prices(Interval.MINUTES_5, OPENING) == ["100", "150", "90", "95"]
    assert prices(Interval.HOUR, OPENING) == ["100", "150", "90", "95"]
    day = Candle.objects.get(interval=Interval.DAY, start__lt=OPENING)
    assert (str(day.high), str(day.low), day.volume, day.ticks) == ("150", "90", 400, 5)


def test_working_recorder_does_not_remake_longer_candles(
    redis: Redis, history: HistoryDatabase
) -> None:
    """Whatever hours it has in memory when a late tick of an older one comes."""
    minutes = [OPENING + n * MINUTE for n in range(3)]
    log(redis, [log_row(price="100", timestamp=minute) for minute in minutes])
    record(redis)
    prune_history(rules=parse_retention("ticks=1, 1m=1"), today=date(2021, 4, 20))
    times = [OPENING + 3 * DAY_MS, OPENING + 3 * DAY_MS + 60 * MINUTE, OPENING + 1]
    with InThread(redis, history):
        for count, timestamp in enumerate(times, 1):
            log(redis, [log_row(price="90", timestamp=timestamp)])
            wait_until(stored(count))
    for interval in (Interval.MINUTES_3, Interval.MINUTES_5, Interval.HOUR):
        assert prices(interval, OPENING) == ["100", "100", "90", "100"]
        assert Candle.objects.get(interval=interval, start=OPENING).ticks == 4


def test_late_tick_does_not_remake_an_imported_day(redis: Redis, tmp_path: Path) -> None:
    """A day without minutes keeps what the vendor said of it."""
    text = MINUTES + "2021-04-16,700,720,690,710,1000\n"
    import_file(write(tmp_path / "d.csv", text), name="RELIANCE", interval="day")
    log(redis, [log_row(price="705", volume=400)])
    log(redis, [log_row(price="710", timestamp=OPENING + 3 * DAY_MS)])
    record(redis)
    log(redis, [log_row(price="725", timestamp=OPENING + MINUTE)])
    record(redis)
    first = Candle.objects.filter(interval=Interval.DAY).order_by("start").first()
    assert first is not None
    assert [first.open, first.high, first.low, first.close] == [
        *map(Decimal, ("700", "725", "690", "710"))
    ]
    assert first.volume == 1000
    assert wrong() == 0


def test_imported_day_stays_beside_ticks_out_of_hours(redis: Redis, tmp_path: Path) -> None:
    """They are in no candle, so they prove none: rebuilding keeps the day."""
    text = MINUTES + "2021-04-16,700,720,690,710,1000\n"
    import_file(write(tmp_path / "d.csv", text), name="RELIANCE", interval="day")
    late = [log_row(price="705", timestamp=OPENING + n * MINUTE, shown=False) for n in (-3, -2, 5)]
    log(redis, late)
    record(redis)
    found = rebuild_candles(first=FRIDAY, last=FRIDAY, calendars=calendars(HOURS))
    assert (found.wrong, found.unchecked) == (0, 1)
    day = Candle.objects.get(interval=Interval.DAY)
    assert prices(Interval.DAY, day.start) == ["700", "720", "690", "710"]


def test_working_recorder_follows_an_import(
    redis: Redis, history: HistoryDatabase, tmp_path: Path
) -> None:
    """The longer candles that it has in memory do not lose the imported minutes."""
    with InThread(redis, history):
        log(redis, [log_row(volume=500_000, timestamp=TEN - MINUTE)])
        wait_until(stored(1))
        minutes_of_ten(tmp_path, [100_000, 200_000, 100_000])
        log(redis, [log_row(volume=900_000, timestamp=TEN + 4 * MINUTE)])
        wait_until(stored(2))
        late = log_row(price="2000", volume=500_000, timestamp=TEN - MINUTE + 1, shown=False)
        log(redis, [late])
        wait_until(stored(3))
    assert volumes() == {900_000}
    assert prices(Interval.HOUR, OPENING)[1:3] == ["2950.50", "9"]
    assert wrong() == 0
    day: Any = redis.hget(own_key("day"), "NSE_EQ:RELIANCE")
    assert b'"volume":900000' in day
