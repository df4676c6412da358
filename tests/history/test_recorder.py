"""From the tick log to ticks, candles, gaps and day statistics, on both databases."""

import time
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from redis import Redis

from instruments.keys import InstrumentKey
from quotes.history.candles.intervals import STORED, Interval
from quotes.history.models import Candle, Gap, LogPosition, Tick
from quotes.history.queries.selectors import candles, ticks
from quotes.history.recording.log_reader import BatchReader
from quotes.history.recording.recorder import Recorder
from quotes.runtime.clock import DAY_MS, now_ms
from quotes.runtime.interrupts import Interrupt
from quotes.store.names import own_key
from quotes.store.tick_log import BEGINNING, count_key, log_key
from tests.history.conftest import HistoryDatabase
from tests.history.logs import MINUTE, OPENING, log, log_row, record, recorder

RELIANCE = InstrumentKey("NSE_EQ", "RELIANCE")
AAPL = InstrumentKey("", "AAPL")

pytestmark = pytest.mark.usefixtures("history")


def values(interval: Interval, key: InstrumentKey = RELIANCE) -> list[tuple[object, ...]]:
    """Return open, high, low, close, volume and ticks of the candles of an instrument."""
    return [
        (*map(str, row[4:8]), row.volume, row.ticks)
        for row in candles(keys=[key], interval=interval)
    ]


def test_ticks_are_stored_with_every_digit_and_key(redis: Redis) -> None:
    """What is read back is the frame that clients got, byte for byte."""
    rows = [
        log_row(price="2950.50", volume=120),
        log_row("M&M", "0.0500", OPENING + 1),
        log_row("NSE_INDEX:NIFTY 50", "-14617.85", OPENING + 2, others=b',"oi":7,"bid":1.10'),
        log_row(
            price="1", timestamp=OPENING + 3, others=b',"note":"tab\\t \\\\ \\u20b9","volume":1.5'
        ),
        log_row('a"b\\c', "12345678901234567890.123456789", OPENING),
    ]
    log(redis, rows)
    assert record(redis).recorded == 5
    for key, _, _, _, frame, _, _ in rows:
        stored = [tick.frame for tick in ticks(key=InstrumentKey.parse(key))]
        assert frame in stored
    assert Tick.objects.get(oi=7).price == Decimal("-14617.85")


def test_candles_of_a_minute_and_of_the_day(redis: Redis) -> None:
    """All intervals are there; the higher ones are made of the lower."""
    log(redis, [log_row(price="100.0", volume=10), log_row(price="99.5", volume=15)])
    log(redis, [log_row(price="101.25", volume=18, timestamp=OPENING + 2 * MINUTE)])
    record(redis)
    assert values(Interval.MINUTE) == [
        ("100.0", "100.0", "99.5", "99.5", 15, 2),
        ("101.25", "101.25", "101.25", "101.25", 3, 1),
    ]
    for interval in (*STORED[1:], Interval.WEEK, Interval.MONTH):
        assert values(interval) == [("100.0", "101.25", "99.5", "101.25", 18, 3)], interval
    (day,) = candles(keys=[RELIANCE], interval=Interval.DAY)
    assert (day.ends - day.start, OPENING - day.start) == (15.5 * 60 * MINUTE, 9.25 * 60 * MINUTE)


def test_late_tick_changes_its_candle_and_those_it_is_part_of(redis: Redis) -> None:
    """A tick that comes after its candle was final revises it, in whatever run of the recorder."""
    log(redis, [log_row(price="100", volume=10)])
    log(redis, [log_row(price="102", volume=30, timestamp=OPENING + 9 * MINUTE)])
    record(redis)
    first = next(candles(keys=[RELIANCE], interval=Interval.MINUTE))
    assert first.final and not first.revised
    log(redis, [log_row(price="95", volume=14, timestamp=OPENING + 30_000, shown=False)])
    record(redis)
    assert values(Interval.MINUTE) == [
        ("100", "100", "95", "95", 14, 2),
        ("102", "102", "102", "102", 16, 1),
    ]
    flags = {
        (row.interval, row.start): (row.final, row.revised)
        for interval in (Interval.MINUTE, Interval.MINUTES_5, Interval.DAY)
        for row in candles(keys=[RELIANCE], interval=interval)
    }
    day = OPENING - 9 * 60 * MINUTE - 15 * MINUTE
    assert flags == {
        (Interval.MINUTE, OPENING): (True, True),
        (Interval.MINUTE, OPENING + 9 * MINUTE): (False, False),
        (Interval.MINUTES_5, OPENING): (True, True),
        (Interval.MINUTES_5, OPENING + 5 * MINUTE): (False, False),
        (Interval.DAY, day): (False, False),
    }


def test_candles_of_silent_instruments_become_final_with_their_segment(redis: Redis) -> None:
    """A tick of another instrument moves the clock of its segment, and no other."""
    log(redis, [log_row(), log_row("NSE_INDEX:NIFTY 50")])
    log(redis, [log_row("NSE_EQ:TCS", timestamp=OPENING + 3 * MINUTE)])
    record(redis)
    (minute,) = candles(keys=[RELIANCE], interval=Interval.MINUTE)
    assert minute.final and not minute.revised
    (other,) = candles(keys=[InstrumentKey("NSE_INDEX", "NIFTY 50")], interval=Interval.MINUTE)
    assert not other.final


def test_ticks_at_the_close_are_of_the_last_candle_and_later_ones_of_none(redis: Redis) -> None:
    """Out of hours and on holidays ticks are kept, and are in no candle."""
    close = OPENING + 375 * MINUTE
    log(
        redis,
        [
            log_row(price="1", timestamp=OPENING - 1),
            log_row(price="2", timestamp=close - 1),
            log_row(price="3", timestamp=close),
            log_row(price="4", timestamp=close + MINUTE - 1),
            log_row(price="5", timestamp=close + MINUTE),
            log_row(price="6", timestamp=OPENING + DAY_MS),  # a Saturday
        ],
    )
    record(redis)
    assert values(Interval.MINUTE) == [("2", "4", "2", "4", None, 3)]
    assert values(Interval.DAY) == [("2", "4", "2", "4", None, 3)]
    assert len(list(ticks(key=RELIANCE))) == 6


def test_candles_at_all_hours_are_aligned_to_the_opening(redis: Redis) -> None:
    """With QUOTES_CANDLES_ALL_HOURS a Saturday's and an evening's ticks are in candles too."""
    log(redis, [log_row(timestamp=OPENING - 1), log_row(timestamp=OPENING + DAY_MS + 1)])
    record(redis, all_hours=True)
    hours = [row.start for row in candles(keys=[RELIANCE], interval=Interval.HOUR)]
    assert hours == [OPENING - 60 * MINUTE, OPENING + DAY_MS - 15 * MINUTE]


def test_names_of_no_segment_trade_around_the_clock(redis: Redis) -> None:
    """AAPL has candles at any time; its day is India's."""
    midnight = OPENING + DAY_MS - (9 * 60 + 15) * MINUTE
    log(redis, [log_row("AAPL", timestamp=midnight - 1), log_row("AAPL", timestamp=midnight)])
    record(redis)
    assert [row.start for row in candles(keys=[AAPL], interval=Interval.DAY)] == [
        midnight - DAY_MS,
        midnight,
    ]


def test_trimmed_log_is_a_gap(redis: Redis) -> None:
    """Ticks that were dropped from the log before the recorder came are counted and told."""
    log(redis, [log_row()], entry_id="1000-0")
    record(redis)
    log(redis, [log_row(), log_row()], entry_id="2000-0")
    log(redis, [log_row()], entry_id="3000-0")
    redis.xdel(log_key(1), "2000-0")
    assert record(redis).gaps == 1
    gap = Gap.objects.get()
    assert (gap.reason, gap.begins, gap.ends, gap.ticks) == ("trimmed", 1000, 3000, 2)
    assert [tick.position for tick in ticks(key=RELIANCE)] == [1, 4]


@pytest.mark.parametrize("newest", ["500-0", "9000-0"], ids=["clock behind", "clock ahead"])
def test_lost_log_is_a_gap_and_its_successor_is_read_from_the_start(
    redis: Redis, newest: str
) -> None:
    """A Redis that came back empty gives new ids and counts from 0; positions go on."""
    log(redis, [log_row(), log_row(price="2")], entry_id="1000-0")
    record(redis)
    redis.flushall()
    log(redis, [log_row(price="3"), log_row(price="4"), log_row(price="5")], entry_id=newest)
    record(redis)
    assert Gap.objects.get().reason == "lost"
    stored = [(tick.position, tick.price) for tick in ticks(key=RELIANCE)]
    assert stored == [(1, "2950.50"), (2, "2"), (3, "3"), (4, "4"), (5, "5")]


def test_older_copy_of_the_log_stores_no_tick_twice(redis: Redis) -> None:
    """Redis came back with an older copy: what was read stays once, what is new is stored."""
    for seq in range(1, 5):
        log(redis, [log_row(price=str(seq), seq=seq)], entry_id=f"{seq}000-0")
        if seq == 2:
            copy = redis.dump(log_key(1)), redis.get(count_key(1))
    record(redis)
    redis.restore(log_key(1), 0, copy[0], replace=True)  # type: ignore[arg-type]
    redis.set(count_key(1), copy[1])  # type: ignore[arg-type]
    log(redis, [log_row(price="5", epoch=2, seq=1)], entry_id="2500-0")
    record(redis)
    log(redis, [log_row(price="6", epoch=2, seq=2)], entry_id="6000-0")
    record(redis)
    stored = [(tick.epoch, tick.seq, tick.price) for tick in ticks(key=RELIANCE)]
    assert stored == [(1, seq, str(seq)) for seq in range(1, 5)] + [(2, 1, "5"), (2, 2, "6")]
    assert Candle.objects.get(interval=1, start=OPENING).ticks == 6
    assert Gap.objects.get().reason == "lost"


@pytest.mark.parametrize("hidden", [1, 2, 3])
def test_replica_that_lagged_has_ticks_before_the_position(redis: Redis, hidden: int) -> None:
    """Its clock was behind: new ids are below the one read last, and none of them is skipped."""
    for seq in range(1, 5):
        log(redis, [log_row(price=str(seq), seq=seq)], entry_id=f"{seq}000-0")
        if seq == 2:
            copy = redis.dump(log_key(1)), redis.get(count_key(1))
    record(redis)
    redis.restore(log_key(1), 0, copy[0], replace=True)  # type: ignore[arg-type]
    redis.set(count_key(1), copy[1])  # type: ignore[arg-type]
    for seq in range(1, hidden + 1):
        log(redis, [log_row(price=str(10 + seq), epoch=2, seq=seq)], entry_id=f"2{seq}00-0")
    log(redis, [log_row(price="20", epoch=2, seq=hidden + 1)], entry_id="6000-0")
    record(redis)
    new = [str(10 + seq) for seq in range(1, hidden + 1)]
    prices = [str(tick.price) for tick in ticks(key=RELIANCE)]
    assert prices == ["1", "2", "3", "4", *new, "20"]


def test_log_that_is_replaced_between_two_reads_is_read_from_its_beginning(redis: Redis) -> None:
    """The connection may have become one to another master, unnoticed."""
    for seq in range(1, 4):
        log(redis, [log_row(price=str(seq), seq=seq)], entry_id=f"{seq}000-0")
        if seq == 1:
            copy = redis.dump(log_key(1)), redis.get(count_key(1))
    reader = BatchReader(redis, {1: BEGINNING})
    assert len(reader.read_batch(1)) == 3
    redis.restore(log_key(1), 0, copy[0], replace=True)  # type: ignore[arg-type]
    redis.set(count_key(1), copy[1])  # type: ignore[arg-type]
    log(redis, [log_row(price="4", epoch=2, seq=1)], entry_id="1500-0")
    log(redis, [log_row(price="5", epoch=2, seq=2)], entry_id="5000-0")
    assert reader.read_batch(1) == []
    again = reader.read_batch(1)
    assert [entry.id for entry in again] == ["1000-0", "1500-0", "5000-0"]
    assert [entry.id for entry in reader.read_again(again)] == ["1000-0", "1500-0"]


def test_gap_of_an_older_copy_ends_when_the_log_goes_on(redis: Redis) -> None:
    """It begins at the last tick that was read, not at one that the older copy has again."""
    for seq in range(1, 5):
        log(redis, [log_row(price=str(seq), seq=seq)], entry_id=f"{seq}000-0")
        if seq == 2:
            copy = redis.dump(log_key(1)), redis.get(count_key(1))
    record(redis)
    redis.restore(log_key(1), 0, copy[0], replace=True)  # type: ignore[arg-type]
    redis.set(count_key(1), copy[1])  # type: ignore[arg-type]
    log(redis, [log_row(price="5", epoch=2, seq=1)], entry_id="6000-0")
    log(redis, [log_row(price="6", epoch=2, seq=2)], entry_id="7000-0")
    record(redis)
    gap = Gap.objects.get()
    assert (gap.begins, gap.ends) == (4000, 6000)


def test_gap_of_an_older_copy_ends_now_while_the_log_does_not_go_on(redis: Redis) -> None:
    """What was lost had arrived before the copy was read."""
    for seq in range(1, 5):
        log(redis, [log_row(price=str(seq), seq=seq)], entry_id=f"{seq}000-0")
        if seq == 2:
            copy = redis.dump(log_key(1)), redis.get(count_key(1))
    record(redis)
    redis.restore(log_key(1), 0, copy[0], replace=True)  # type: ignore[arg-type]
    redis.set(count_key(1), copy[1])  # type: ignore[arg-type]
    began = now_ms()
    record(redis)
    gap = Gap.objects.get()
    assert gap.begins == 4000 and began <= gap.ends <= now_ms()


def test_entry_that_cannot_be_read_is_a_gap_and_does_not_stop_the_recorder(redis: Redis) -> None:
    """An invalid entry of the log is skipped, and its ticks are counted if it has a count."""
    log(redis, [log_row()])
    redis.xadd(log_key(1), {"n": 3, "0": b"\xff"})
    redis.xadd(log_key(1), {"x": "y"})
    redis.set(own_key("log:1:n"), 3)
    log(redis, [log_row(price="7"), (*log_row()[:4], b"no frame", True, 0)])
    assert record(redis).bad == 1
    assert [(gap.reason, gap.ticks) for gap in Gap.objects.order_by("id")] == [
        ("unreadable", 2),
        ("unreadable", None),
    ]
    assert [tick.price for tick in ticks(key=RELIANCE)] == ["2950.50", "7"]


def test_shards_are_read_side_by_side(redis: Redis) -> None:
    """Each shard's log has its own position."""
    redis.set(own_key("shards"), 2)
    log(redis, [log_row()], shard=1)
    log(redis, [log_row("NSE_EQ:TCS"), log_row("NSE_EQ:TCS", timestamp=OPENING + 1)], shard=2)
    record(redis)
    assert dict(LogPosition.objects.values_list("shard", "n")) == {1: 1, 2: 2}
    assert Tick.objects.count() == 3


def test_candles_stay_when_their_ticks_are_gone(redis: Redis, history: HistoryDatabase) -> None:
    """A late tick of a day whose ticks were pruned is merged into its candles."""
    log(redis, [log_row(price="100"), log_row(price="101", timestamp=OPENING + DAY_MS * 3)])
    record(redis)
    Tick.objects.filter(timestamp__lt=OPENING + DAY_MS).delete()
    log(redis, [log_row(price="90", timestamp=OPENING + 5, shown=False)])
    record(redis)
    for candle in Candle.objects.filter(start__lt=OPENING + MINUTE):
        prices = (candle.open, candle.high, candle.low, candle.close)
        assert [str(one) for one in prices] == ["100", "100", "90", "100"]
        assert candle.ticks == 2


def test_recorder_that_catches_up_says_how_far_it_is(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of ticks that it is behind is right after each batch."""
    monkeypatch.setattr("quotes.history.recording.log_reader._BATCH_TICKS", 4)
    monkeypatch.setattr("quotes.history.recording.log_reader._READ_ENTRIES", 1)
    for n in range(4):
        log(redis, [log_row(timestamp=OPENING + n, seq=4 * n + m) for m in range(4)])
    behind: list[int] = []
    status = Recorder._status

    def noted(recorder: Recorder) -> bytes:
        behind.append(recorder.counters.behind)
        return status(recorder)

    monkeypatch.setattr(Recorder, "_status", noted)
    record(redis)
    assert list(dict.fromkeys(behind)) == [16, 12, 8, 4, 0]


@pytest.mark.django_db
def test_command_records_by_the_hours_of_the_tables(redis: Redis) -> None:
    """record_prices --once stores what is logged and says what it did."""
    log(redis, [log_row(), log_row(timestamp=OPENING - MINUTE)])
    output = StringIO()
    call_command("record_prices", once=True, stdout=output)
    assert "recorded=2 candles=8 gaps=0 bad=0 refused=0 behind=0" in output.getvalue()
    call_command("rebuild_candles", first=date(2021, 4, 16), check=True, stdout=output)
    assert "8 candles of 1 days of instruments: 0 wrong" in output.getvalue()
    Candle.objects.filter(interval=5).update(ticks=9)
    with pytest.raises(CommandError, match="1 candles differ from their ticks"):
        call_command("rebuild_candles", first=date(2021, 4, 16), check=True, stderr=output)
    call_command("prune_history", keep="ticks=9, 1m=9", stdout=output)
    assert output.getvalue().endswith("candles\n")
    assert not Tick.objects.exists() and Candle.objects.count() == 7
    with pytest.raises(CommandError, match="a rule must be KIND=DAYS"):
        call_command("prune_history", keep="ticks=x")


class Rounds(Interrupt):
    """Ends a recorder after some rounds."""

    def __init__(self, rounds: int) -> None:
        super().__init__()
        self._left = rounds

    def __call__(self) -> bool:
        self._left -= 1
        return self._left < 0


@pytest.mark.parametrize("ahead_s", [3600, -3600])
def test_candles_are_not_final_before_their_time(
    redis: Redis, set_clock: Callable[[float], None], settings: Any, ahead_s: int
) -> None:
    """A recorder whose clock differs from the bridge's takes no segment for silent."""
    settings.QUOTES_RECORD_EVERY_MS = 0
    log(redis, [log_row(received=time.time_ns() // 1_000_000)])
    set_clock(ahead_s)
    one = recorder(redis, once=False)
    one.interrupt = Rounds(4)
    one.run()
    (minute,) = candles(keys=[RELIANCE], interval=Interval.MINUTE)
    assert not minute.final
