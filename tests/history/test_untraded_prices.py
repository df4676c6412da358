"""Ticks at a price of 0 are stored, and are in no candle where they are no trade.

On SQLite and PostgreSQL.
"""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import transaction
from redis import Redis

from instruments.keys import InstrumentKey
from quotes.errors import BadHistoryFile
from quotes.history.candles.bars import fold
from quotes.history.candles.deriving import CandleChange
from quotes.history.candles.intervals import STORED, Interval
from quotes.history.candles.sessions import calendars
from quotes.history.candles.volumes import SESSION_START
from quotes.history.models import Candle, Series, Tick
from quotes.history.router import ALIAS
from quotes.history.tables.opening import open_tables
from quotes.store.names import own_key
from tests.history.logs import HOURS, MINUTE, OPENING, log, log_row, record
from tests.history.test_importing import import_file, write
from tests.history.test_rebuilding import rebuilt
from tests.history.test_unstored_ticks import wrong

pytestmark = pytest.mark.usefixtures("history")

ZEROS = ["0", "0.00", "-1.5", "0e2", "-0"]
ABOVE_ZERO = ["NSE_EQ:RELIANCE", "NSE_INDEX:NIFTY 50", "NFO:NIFTY24APR18000CE"]


def lows() -> set[Decimal]:
    return set(Candle.objects.values_list("low", flat=True))


@pytest.mark.parametrize("key", ABOVE_ZERO)
def test_price_of_zero_is_in_no_candle(redis: Redis, key: str) -> None:
    """Whether it comes first, in time, late, or again after a restart; it stays among the ticks."""
    log(redis, [log_row(key, zero, OPENING + n, 7) for n, zero in enumerate(ZEROS)])
    record(redis)
    assert not Candle.objects.exists()
    log(redis, [log_row(key, price, OPENING + 1000, 10) for price in ("100", "0", "101")])
    record(redis)
    log(redis, [log_row(key, "0", OPENING + 500, 9), log_row(key, "99", OPENING + 600, 9)])
    log(redis, [log_row(key, "-3", OPENING + 5 * MINUTE, 12)])
    record(redis)
    assert lows() == {Decimal(99)}
    assert set(Candle.objects.values_list("ticks", "volume", "open")) == {(3, 10, Decimal(99))}
    assert Tick.objects.count() == 11
    day = json.loads(redis.hget(own_key("day"), key) or b"")
    assert (day["low"], day["high"], day["open"]) == (99, 101, 99)
    assert wrong() == 0 and rebuilt()[0].incomplete == 0


@pytest.mark.parametrize("key", ["MCX:CRUDEOIL24APRFUT", "AAPL"])
def test_price_from_zero_down_that_can_be_a_trade(redis: Redis, key: str) -> None:
    """Futures, and names that the master does not know, have such candles."""
    log(redis, [log_row(key, price, OPENING) for price in ("5", "0", "-37.63")])
    record(redis)
    assert lows() == {Decimal("-37.63")}
    assert set(Candle.objects.values_list("ticks", flat=True)) == {3}
    assert wrong() == 0


def test_candle_of_the_release_before_is_found_and_repaired(redis: Redis) -> None:
    """It has ticks at 0 among its own; a candle that is made of them alone goes."""
    key = InstrumentKey.parse("NSE_EQ:RELIANCE")
    prices = ["0", "100", "101", "0"]
    log(redis, [log_row(str(key), price, OPENING + n) for n, price in enumerate(prices)])
    log(redis, [log_row(str(key), "0", OPENING + 9 * MINUTE)])
    record(redis)
    day = calendars(HOURS)["NSE_EQ"].day(OPENING)
    assert day is not None
    series = Series.objects.get()
    tables = open_tables()
    tables.prepare()
    trades, others = tables.trades_and_others(series.id, day.begins, day.ends)
    changes = []
    for interval in STORED:
        for start, ends in {day.span(interval, point[0]) for point in trades + others}:
            inside = sorted(one for one in trades + others if start <= one[0] < ends)
            bar = fold(inside, start, ends, SESSION_START)
            changes.append(CandleChange(series.id, interval, bar))
    with transaction.atomic(using=ALIAS):
        tables.put_candles(changes)
    assert lows() == {Decimal(0)} and max(c.bar.ticks for c in changes) == 5
    assert wrong() == len(changes)
    rebuilt()
    assert wrong() == 0 and lows() == {Decimal(100)}
    assert set(Candle.objects.values_list("ticks", flat=True)) == {2}


def test_imported_ticks_at_zero_are_in_no_candle(tmp_path: Path) -> None:
    """They are kept, as recorded ones are."""
    rows = "time,price,volume\n2021-04-16 09:15:00,0,5\n2021-04-16 09:15:01,10,6\n"
    assert import_file(write(tmp_path / "t.csv", rows), name="RELIANCE").added == 2
    assert lows() == {Decimal(10)} and wrong() == 0


def test_imported_candle_at_zero_is_refused(tmp_path: Path) -> None:
    """A share has no such candle; a future may."""
    rows = "date,open,high,low,close\n2021-04-16 09:15:00,10,11,0,10\n"
    path = write(tmp_path / "m.csv", rows)
    with pytest.raises(BadHistoryFile):
        import_file(path, name="RELIANCE", interval="1m")
    import_file(path, name="MCX:CRUDEOIL24APRFUT", interval="1m")
    assert Candle.objects.get(interval=Interval.MINUTE).low == 0
