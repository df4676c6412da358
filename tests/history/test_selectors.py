"""Reads of recorded ticks and candles."""

from datetime import date, timedelta

import pytest
from redis import Redis

from instruments.keys import InstrumentKey
from quotes.history.candles.intervals import Interval
from quotes.history.models import Candle
from quotes.history.queries.selectors import candles, last_candles, last_ticks, ticks, ticks_after
from quotes.runtime.clock import midnight_of
from tests.history.factories import candle
from tests.history.logs import MINUTE, OPENING, log, log_row, record
from tests.history.test_recorder import AAPL, RELIANCE

pytestmark = pytest.mark.usefixtures("history")


def test_resuming_finds_exactly_what_was_missed(redis: Redis) -> None:
    """Shown ticks after a number come back in order; a number that is not there is told."""
    rows = [
        log_row(price=str(n), seq=n, timestamp=OPENING + n // 3, epoch=5, received=OPENING + 9)
        for n in range(1, 30)
    ]
    rows.insert(9, log_row(price="99", seq=9, timestamp=OPENING, epoch=5, shown=False))
    log(redis, rows)
    record(redis)
    missed, whole = ticks_after(key=RELIANCE, epoch=5, seq=25, limit=10)
    assert whole and [tick.seq for tick in missed] == [26, 27, 28, 29]
    assert ticks_after(key=RELIANCE, epoch=5, seq=29, limit=10) == ([], True)
    assert ticks_after(key=RELIANCE, epoch=5, seq=30, limit=10) == ([], False)
    assert ticks_after(key=RELIANCE, epoch=6, seq=1, limit=10) == ([], False)
    assert ticks_after(key=RELIANCE, epoch=5, seq=3, limit=10) == ([], False)
    assert ticks_after(key=RELIANCE, epoch=5, seq=0, limit=99)[1]
    assert [tick.seq for tick in last_ticks(key=RELIANCE, count=3)] == [27, 28, 29]
    last = last_ticks(key=RELIANCE, count=2, epoch=5, through_seq=12)
    assert [tick.price for tick in last] == ["11", "12"]
    assert last_candles(key=RELIANCE, interval=Interval.MINUTE, count=5)[0].ticks == 30


def test_pages_of_ticks_and_candles_leave_nothing_out(redis: Redis) -> None:
    """Reading on after the last one of a page gives all, each once."""
    rows = [log_row(timestamp=OPENING + n // 5 * MINUTE, price=str(n)) for n in range(40)]
    log(redis, rows)
    record(redis)
    found: list[str] = []
    after: tuple[int, int] | None = None
    while page := list(ticks(key=RELIANCE, limit=7, after=after)):
        found += [tick.price for tick in page]
        after = (page[-1].timestamp, page[-1].position)
    assert found == [str(n) for n in range(40)]
    starts: list[int] = []
    mark: tuple[InstrumentKey, int] | None = None
    while some := list(
        candles(keys=[AAPL, RELIANCE], interval=Interval.MINUTE, limit=3, after=mark)
    ):
        starts += [row.start for row in some]
        mark = (some[-1].key, some[-1].start)
    assert starts == [OPENING + n * MINUTE for n in range(8)]


def test_last_weeks_and_months_are_found_beyond_a_long_gap() -> None:
    """As many as were requested, whole, however long nothing traded between two of them."""
    traded = [date(2019, 3, 5), date(2019, 3, 8), date(2021, 6, 30), date(2024, 4, 4)]
    Candle.objects.bulk_create(candle(midnight_of(day), interval=Interval.DAY) for day in traded)
    weeks = [midnight_of(day - timedelta(days=day.weekday())) for day in traded[1:]]
    months = [midnight_of(day.replace(day=1)) for day in traded[1:]]
    for interval, starts in ((Interval.WEEK, weeks), (Interval.MONTH, months)):
        for count in range(1, 5):
            found = last_candles(key=RELIANCE, interval=interval, count=count)
            assert [row.start for row in found] == starts[-count:]
        assert found[0].volume == 20
        before = last_candles(key=RELIANCE, interval=interval, count=2, before_ms=starts[-1])
        assert [row.start for row in before] == starts[:2]
        assert last_candles(key=RELIANCE, interval=interval, count=2, before_ms=starts[0]) == []
    assert last_candles(key=AAPL, interval=Interval.WEEK, count=2) == []
