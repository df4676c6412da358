"""A writer stores each entry of the log once."""

import pytest
from redis import Redis

from quotes.history.candles.sessions import calendars
from quotes.history.models import Candle, Tick
from quotes.history.queries.selectors import ticks
from quotes.history.recording.batches import LogEntry, read_entry
from quotes.history.recording.writer import Fenced, HistoryWriter
from quotes.store.tick_log import BEGINNING, LogReader
from tests.history.conftest import HistoryDatabase
from tests.history.logs import HOURS, OPENING, log, log_row
from tests.history.test_recorder import RELIANCE


def writer() -> HistoryWriter:
    return HistoryWriter(shards=[1], calendars=calendars(HOURS), grace_ms=0)


def entries(redis: Redis) -> list[LogEntry]:
    return [read_entry(raw) for raw in LogReader(redis, {1: BEGINNING}, page=10).read(wait_ms=None)]


def test_writer_that_was_overtaken_stores_nothing(redis: Redis, history: HistoryDatabase) -> None:
    """What another has stored since fences it, whatever the lease says; all or nothing."""
    log(redis, [log_row(price="1")])
    one, other = writer(), writer()
    first = entries(redis)
    assert one.store(first, now_ms=0).ticks == 1
    log(redis, [log_row(price="2", timestamp=OPENING + 1)])
    with pytest.raises(Fenced):
        other.store(entries(redis), now_ms=0)
    assert [tick.price for tick in ticks(key=RELIANCE)] == ["1"]
    one.store(entries(redis)[1:], now_ms=0)
    assert [tick.price for tick in ticks(key=RELIANCE)] == ["1", "2"]
    assert Candle.objects.get(interval=1).ticks == 2


def test_entries_that_come_again_are_stored_once(redis: Redis, history: HistoryDatabase) -> None:
    """A tick that is in the table already stays as it is."""
    log(redis, [log_row(price="1")])
    one = writer()
    one.store(entries(redis), now_ms=0)
    batch = one.maker
    batch.positions = dict.fromkeys(batch.positions, type(one.positions[1])())
    one.store(entries(redis), now_ms=0)
    assert Tick.objects.count() == 1
