"""Hours of a segment that change within a session: no minute counts twice.

On SQLite and PostgreSQL.
"""

from datetime import date, time
from decimal import Decimal
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pytest
from redis import Redis

from instruments.sessions import Hours, Session
from quotes.history.candles.intervals import STORED, Interval
from quotes.history.candles.sessions import Calendar, calendars
from quotes.history.maintenance.rebuilding import rebuild_candles
from quotes.history.models import Candle, Tick
from quotes.history.recording.recorder import Recorder
from quotes.runtime.clock import DAY_MS
from quotes.runtime.interrupts import Interrupt
from quotes.store.tick_log import LogRow
from tests.history import test_importing
from tests.history.conftest import HistoryDatabase
from tests.history.logs import MINUTE, OPENING, log, log_row
from tests.history.test_importing import import_file, write
from tests.history.test_recorder_lease import InThread
from tests.history.test_unstored_ticks import volumes
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("history")

FRIDAY = date(2021, 4, 16)
Calendars = dict[str, Calendar]


def trading(opens: time, closes: time = time(15, 30)) -> Calendars:
    """Return the calendars of NSE with these hours."""
    return calendars({"NSE_EQ": Hours((Session("open", opens, closes, date(2000, 1, 1)),))})


BEFORE = trading(time(9, 15))
CHANGED = {
    "opens earlier": trading(time(9, 0)),
    "opens later": trading(time(9, 20)),
    "opens much later": trading(time(10, 15)),
    "closes later": trading(time(9, 15), time(15, 40)),
    "closes earlier": trading(time(9, 15), time(14, 30)),
    "both": trading(time(9, 7), time(15, 35)),
}


def record(redis: Redis, hours: Calendars) -> None:
    """Record what the logs hold, in these hours."""
    Recorder(
        redis,
        interrupt=Interrupt(),
        report=lambda line: None,
        stream=StringIO(),
        once=True,
        calendars=lambda: hours,
    ).run()


def at(minute: float, reading: int) -> LogRow:
    """Return a tick of so many minutes after 09:15, with a reading of the day's volume."""
    return log_row(price=str(reading), timestamp=OPENING + round(minute * MINUTE), volume=reading)


def wrong(hours: Calendars) -> int:
    """Return how many candles a check finds wrong or cannot check."""
    report = rebuild_candles(first=FRIDAY, last=FRIDAY, calendars=hours, repair=False)
    return report.wrong + report.unchecked


def morning(redis: Redis) -> None:
    """Record ticks from 09:15 to 10:40, and in the minute after the close."""
    for minute in (1, 3, 30, 61, 70, 85, 375.3):
        log(redis, [at(minute, round(100 + 10 * minute))])
    record(redis, BEFORE)
    assert wrong(BEFORE) == 0


@pytest.mark.parametrize("name", CHANGED)
def test_next_tick_brings_the_day_into_the_present_hours(redis: Redis, name: str) -> None:
    """Every interval then has each tick within hours once, and a check finds nothing."""
    morning(redis)
    hours = CHANGED[name]
    for minute, reading in ((86, 970), (75, 860), (374.5, 3840)):
        log(redis, [at(minute, reading)])
        record(redis, hours)
        day = hours["NSE_EQ"].day(OPENING)
        assert day is not None
        inside = Tick.objects.filter(timestamp__gte=day.begins, timestamp__lt=day.accepts_until)
        expected = inside.order_by("timestamp").last()
        assert expected is not None and volumes() == {expected.volume}
        for interval in STORED:
            bars = Candle.objects.filter(interval=interval)
            assert sum(bars.values_list("ticks", flat=True)) == inside.count()
        assert wrong(hours) == 0
    starts = Candle.objects.filter(interval=Interval.HOUR).values_list("start", "ends")
    spans = sorted(starts)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))


def test_working_recorder_follows_its_calendars(redis: Redis, history: HistoryDatabase) -> None:
    """It needs no restart, and what it has in memory does not count twice."""
    morning(redis)
    with InThread(redis, history) as one:
        log(redis, [at(86, 970)])
        wait_until(lambda: Tick.objects.count() == 8)
        one.recorder._calendars = lambda: CHANGED["both"]
        # The hours are read before a batch: this one may be of those before.
        log(redis, [at(87, 980)])
        wait_until(lambda: Tick.objects.count() == 9)
        log(redis, [at(88, 990)])
        wait_until(lambda: Tick.objects.count() == 10)
    assert volumes() == {3853} and wrong(CHANGED["both"]) == 0


def test_imports_into_a_day_of_other_hours(
    redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ticks and minutes that are imported count once, beside those that were recorded."""
    morning(redis)
    hours = CHANGED["opens earlier"]
    monkeypatch.setattr(test_importing, "calendars", lambda _: hours)
    rows = "date,open,high,low,close,volume\n2021-04-16 10:20:00,10,11,9,10,5\n"
    assert import_file(write(tmp_path / "m.csv", rows), name="RELIANCE", interval="1m").added == 1
    assert volumes() == {3853}
    assert rebuild_candles(first=FRIDAY, last=FRIDAY, calendars=hours, repair=False).wrong == 0
    monkeypatch.setattr(test_importing, "calendars", lambda _: CHANGED["opens later"])
    rows = "time,price,volume\n2021-04-16 10:30:00,10,870\n"
    assert import_file(write(tmp_path / "t.csv", rows), name="RELIANCE").added == 1
    assert volumes() == {3853}
    report = rebuild_candles(
        first=FRIDAY, last=FRIDAY, calendars=CHANGED["opens later"], repair=False
    )
    assert report.wrong == 0


def test_longer_candles_that_cannot_be_made_again_stay(redis: Redis) -> None:
    """Their ticks and minutes were pruned: a late tick is merged into the day, once."""
    morning(redis)
    Tick.objects.all().delete()
    Candle.objects.exclude(interval__in=[Interval.HOUR, Interval.DAY]).delete()
    before = set(Candle.objects.values_list("interval", "start", "volume"))
    log(redis, [at(72, 5000)])
    record(redis, CHANGED["opens earlier"])
    assert before <= set(Candle.objects.values_list("interval", "start", "volume"))
    day = Candle.objects.get(interval=Interval.DAY)
    assert (day.ticks, day.volume, day.high) == (8, 3853, Decimal(5000))


def test_late_tick_beside_a_day_that_is_a_holiday_now(redis: Redis) -> None:
    """Stored candles of a day without hours are left, and hold up nothing."""
    morning(redis)
    session = Session("open", time(9, 15), time(15, 30), date(2000, 1, 1), FRIDAY.replace(day=15))
    hours = calendars({"NSE_EQ": Hours((session,))})
    log(redis, [log_row(price="7", timestamp=OPENING - DAY_MS, volume=7)])
    record(redis, hours)
    assert Candle.objects.filter(interval=1, start=OPENING - DAY_MS).count() == 1
