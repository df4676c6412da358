"""Series of several names of one instrument are read, and go on, as one."""

import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis import Redis

from instruments.index import index
from instruments.keys import InstrumentKey
from instruments.models import Instrument
from quotes.history.candles.intervals import Interval
from quotes.history.candles.sessions import calendars
from quotes.history.maintenance.joining import join_series, series_to_join
from quotes.history.models import Series, Tick
from quotes.history.queries.selectors import candles, last_candles, last_ticks, ticks
from quotes.history.recording.batches import LogEntry
from quotes.history.recording.splitting import store_in_parts
from quotes.history.recording.writer import HistoryWriter
from quotes.history.rows import CandleRow
from quotes.history.series_names import series_names
from quotes.runtime.clock import DAY_MS, now_ms
from quotes.store.names import own_key
from quotes.store.tick_log import LoggedTick
from tests.history.conftest import HistoryDatabase
from tests.history.logs import HOURS, MINUTE, OPENING, log, log_row, record
from tests.history.masters import Import, replaced_master
from tests.history.noise import noisy_sessions
from tests.instruments.factories import (
    crudeoil_future,
    equity,
    m_and_m,
    nifty50_index,
    nifty_call,
    reliance,
    sensex_index,
)

RELIANCE = InstrumentKey("NSE_EQ", "RELIANCE")


@pytest.fixture
def master() -> Iterator[Import]:
    with replaced_master() as use:
        use()
        yield use


def bare(*args: Any, **terms: Any) -> Any:
    """A tick under the bare name; others are of the instrument."""
    return log_row("RELIANCE", *args, **terms)


def shown(row: CandleRow) -> tuple[object, ...]:
    return (
        *(row.start, row.ends, row.open, row.high, row.low, row.close),
        *(row.volume, row.oi, row.ticks),
    )


def shown_of(key: InstrumentKey, interval: Interval) -> list[tuple[object, ...]]:
    return [shown(row) for row in candles(keys=[key], interval=interval)]


def day_of(key: InstrumentKey, interval: Interval = Interval.MINUTE) -> list[tuple[int, Any, int]]:
    """Minute since the opening, volume and ticks of each candle."""
    return [
        ((row.start - OPENING) // MINUTE, row.volume, row.ticks)
        for row in candles(keys=[key], interval=interval)
    ]


def test_day_goes_on_when_a_name_comes_to_mean_an_instrument(
    redis: Redis, history: HistoryDatabase, master: Import
) -> None:
    """The first candle of the instrument holds what was traded in it, and the day all of it."""
    log(redis, [bare("2950", OPENING, 1_000_000), bare("2960", OPENING + MINUTE, 1_454_000)])
    record(redis)
    master(reliance())
    assert day_of(RELIANCE) == [(0, 1_000_000, 1), (1, 454_000, 1)]
    log(redis, [log_row(price="2955", timestamp=OPENING + 2 * MINUTE, volume=1_544_430)])
    record(redis)
    assert day_of(RELIANCE) == [(0, 1_000_000, 1), (1, 454_000, 1), (2, 90_430, 1)]
    (day,) = candles(keys=[RELIANCE], interval=Interval.DAY)
    assert [*map(int, (day.open, day.high, day.low, day.close))] == [2950, 2960, 2950, 2955]
    assert (day.volume, day.ticks) == (1_544_430, 3)
    assert redis.hget(own_key("day"), str(RELIANCE)) == (
        b'{"date":"2021-04-16","open":2950,"high":2960,"low":2950,"prev_close":null,'
        b'"volume":1544430}'
    )
    assert [tick.price for tick in ticks(key=RELIANCE)] == ["2950", "2960", "2955"]
    assert [tick.price for tick in last_ticks(key=RELIANCE, count=2)] == ["2960", "2955"]


def test_minute_of_the_change_holds_the_ticks_of_both_names(
    redis: Redis, history: HistoryDatabase, master: Import
) -> None:
    """A candle is of its time, whatever its ticks were called."""
    log(redis, [bare("10", OPENING, 100), bare("12", OPENING + 1, 110)])
    record(redis)
    master(reliance())
    log(redis, [log_row(price="9", timestamp=OPENING + 2, volume=130)])
    record(redis)
    (one,) = candles(keys=[RELIANCE], interval=Interval.MINUTE)
    assert shown(one)[2:] == (10, 12, 9, 9, 130, None, 3)


@pytest.mark.parametrize("first", [["0", "10"], ["10", "0"], ["0"]])
def test_price_of_zero_is_no_trade_of_the_instrument(
    redis: Redis, history: HistoryDatabase, master: Import, first: list[str]
) -> None:
    """A name without a segment may have any price, a share none of 0."""
    for number, price in enumerate(first):
        log(redis, [bare(price, OPENING + number, 100)])
    record(redis)
    master(reliance())
    for _ in range(2):
        rows = list(candles(keys=[RELIANCE], interval=Interval.DAY))
        assert all(row.low > 0 for row in rows)
        log(redis, [log_row(price="9", timestamp=OPENING + MINUTE, volume=130)])
        record(redis)
    (day,) = candles(keys=[RELIANCE], interval=Interval.DAY)
    assert (day.ticks, int(day.low), day.volume) == (1 + len(first), 9, 130)


# What was published before there was a master, and what it means since.
PUBLISHED = [
    ("RELIANCE-EQ", "NSE_EQ:RELIANCE"),
    ("NSE:RELIANCE", "NSE_EQ:RELIANCE"),
    ("NSE_EQ|INE002A01018", "NSE_EQ:RELIANCE"),
    ("NSE_EQ:2885", "NSE_EQ:RELIANCE"),
    ("BSE:RELIANCE", "BSE_EQ:RELIANCE"),
    ("BSE:500325", "BSE_EQ:RELIANCE"),
    ("M&M", "NSE_EQ:M&M"),
    ("NIFTY 50", "NSE_INDEX:NIFTY 50"),
    ("NSE:NIFTY 50", "NSE_INDEX:NIFTY 50"),
    ("NSE:NIFTY50-INDEX", "NSE_INDEX:NIFTY 50"),
    ("BSE:SENSEX", "BSE_INDEX:SENSEX"),
    ("NIFTY24APR18000CE", "NFO:NIFTY24APR18000CE"),
    ("NIFTY25APR2418000CE", "NFO:NIFTY24APR18000CE"),
    ("NFO:NIFTY25APR2418000CE", "NFO:NIFTY24APR18000CE"),
    ("CRUDEOIL24APRFUT", "MCX:CRUDEOIL24APRFUT"),
    ("AAPL", "AAPL"),
    ("NSE:TCS", "NSE_EQ:TCS"),
]


@pytest.mark.parametrize("history", ["sqlite"], indirect=True)
def test_whatever_was_published_is_found_as_what_it_means_now(
    redis: Redis, history: HistoryDatabase, master: Import
) -> None:
    """Each name's history is that of the instrument that its new ticks are of, and of no other."""
    for number, (name, _) in enumerate(PUBLISHED, 1):
        log(redis, [log_row(str(index.resolve(name)), f"{number}.5", OPENING + number)])
    record(redis)
    listed = [reliance(), reliance("BSE_EQ"), m_and_m(), nifty50_index(), sensex_index()]
    master(*listed, nifty_call(), crudeoil_future())
    expected: dict[str, list[str]] = {}
    for number, (name, key) in enumerate(PUBLISHED, 1):
        assert str(index.resolve(name)) == key
        expected.setdefault(key, []).append(f"{number}.5")
    for key, prices in expected.items():
        found = InstrumentKey.parse(key)
        assert [tick.price for tick in ticks(key=found)] == prices
        (day,) = candles(keys=[found], interval=Interval.DAY)
        assert day.ticks == len(prices)
    assert sorted(map(str, series_names.keys_with_history())) == sorted(expected)


def test_another_listing_is_left_alone(
    redis: Redis, history: HistoryDatabase, master: Import
) -> None:
    """The bare name means what the resolver says, and is history of nothing else."""
    log(redis, [bare("10", OPENING, 100)])
    record(redis)
    bse = InstrumentKey("BSE_EQ", "RELIANCE")
    master(reliance(), reliance("BSE_EQ"))
    log(redis, [log_row("BSE_EQ:RELIANCE", "9", OPENING + 1, 5)])
    record(redis)
    assert [row.ticks for row in candles(keys=[bse], interval=Interval.DAY)] == [1]
    assert [tick.price for tick in ticks(key=bse)] == ["9"]
    assert [tick.price for tick in ticks(key=RELIANCE)] == ["10"]


def test_tick_that_is_logged_under_the_old_name_after_the_change_is_the_instruments(
    redis: Redis, history: HistoryDatabase, master: Import
) -> None:
    """A bridge may hear of the change later than the recorder."""
    log(redis, [bare("10", OPENING, 100)])
    record(redis)
    master(reliance())
    log(redis, [log_row(price="11", timestamp=OPENING + 1, volume=110)])
    log(redis, [bare("12", OPENING + 2, 120)])
    record(redis)
    assert day_of(RELIANCE) == [(0, 120, 3)]
    own = Series.objects.get(key=str(RELIANCE))
    assert Tick.objects.filter(series=own).count() == 2


def test_day_that_began_before_the_names_were_one_is_put_right(
    redis: Redis, history: HistoryDatabase, master: Import
) -> None:
    """As when a former name is entered late, or an earlier release recorded the change."""
    log(redis, [log_row("NSE_EQ:OLD", "10", OPENING, 1000)])
    log(redis, [log_row("NSE_EQ:NEW", "11", OPENING + MINUTE, 1200)])
    record(redis)
    new = InstrumentKey("NSE_EQ", "NEW")
    assert day_of(new) == [(1, 1200, 1)]
    master(equity("NEW"), former={"NSE_EQ": {"OLD": new}})
    assert day_of(new) == [(0, 1000, 1), (1, 200, 1)]
    assert day_of(new, Interval.DAY)[0][1:] == (1200, 2)
    log(redis, [log_row("NSE_EQ:NEW", "12", OPENING + 2 * MINUTE, 1300)])
    record(redis)
    assert day_of(new) == [(0, 1000, 1), (1, 200, 1), (2, 100, 1)]
    assert day_of(new, Interval.HOUR) == [(0, 1300, 3)]


def test_days_before_are_read_by_the_hours_of_the_instrument(
    redis: Redis, history: HistoryDatabase, master: Import
) -> None:
    """A name without a segment has candles around the clock; the instrument's begin at 09:15."""
    before = OPENING - DAY_MS
    log(redis, [bare("9", before - 10 * MINUTE, 50), bare("10", before, 80)])
    log(redis, [bare("11", before + 50 * MINUTE, 100), bare("12", before + 400 * MINUTE, 120)])
    log(redis, [bare("20", OPENING, 30)])
    record(redis)
    master(reliance())
    rows = list(candles(keys=[RELIANCE], interval=Interval.HOUR, end_ms=OPENING))
    assert [shown(row)[1:] for row in rows] == [
        (before + 60 * MINUTE, 10, 11, 10, 11, 100, None, 2)
    ]
    days = list(candles(keys=[RELIANCE], interval=Interval.DAY))
    assert [(int(row.close), row.volume, row.ticks) for row in days] == [(11, 100, 2), (20, 30, 1)]
    (week,) = candles(keys=[RELIANCE], interval=Interval.WEEK, start_ms=0)
    assert (int(week.open), int(week.close), week.volume) == (10, 20, 130)
    log(redis, [log_row(price="21", timestamp=OPENING + 1, volume=31)])
    record(redis)
    text = redis.hget(own_key("day"), str(RELIANCE))
    assert text is not None and b'"prev_close":11,' in text


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9])
def test_last_candles_are_those_of_both_names(
    redis: Redis, history: HistoryDatabase, master: Import, count: int
) -> None:
    """The newest candles come last, however they are spread over the names."""
    for number in range(4):
        log(redis, [bare("10", OPENING - DAY_MS * (4 - number), 10)])
    record(redis)
    master(reliance())
    for number in range(3):
        log(redis, [log_row(price="11", timestamp=OPENING + number * MINUTE, volume=number + 1)])
    record(redis)
    for interval in (Interval.MINUTE, Interval.DAY):
        whole = list(candles(keys=[RELIANCE], interval=interval))
        assert last_candles(key=RELIANCE, interval=interval, count=count) == whole[-count:]


def test_running_recorder_goes_on_under_the_new_name(
    history: HistoryDatabase, master: Import
) -> None:
    """What is in memory goes on too, and statistics are written without another tick."""
    imported: list[Instrument] = []
    writer = HistoryWriter(
        shards=[1],
        calendars=calendars(HOURS),
        grace_ms=0,
        refresh_names=lambda: master(*imported),
    )
    store(writer, [("RELIANCE", OPENING, 100), ("RELIANCE", OPENING + 30_000, 150)])
    imported.append(reliance())
    store(writer, [("NSE_EQ:RELIANCE", OPENING + 40_000, 170)])
    store(writer, [("NSE_EQ:RELIANCE", OPENING + MINUTE, 190)])
    store(writer, [("NSE_EQ:RELIANCE", OPENING + 10_000, 120)])  # late
    assert day_of(RELIANCE) == [(0, 170, 4), (1, 20, 1)]
    assert writer.take_edited()


def store(writer: HistoryWriter, rows: list[tuple[str, int, int | None]]) -> None:
    """Store ticks, in one entry."""
    writer.store([entry_of(writer, rows)], now_ms=0)


def entry_of(writer: HistoryWriter, rows: list[tuple[str, int, int | None]]) -> LogEntry:
    """The log's next entry, of ticks whose prices come from their times."""
    logged = []
    for number, (key, timestamp, volume) in enumerate(rows):
        price = str(Decimal(timestamp % 977) + number)
        logged.append(
            LoggedTick(*log_row(key, price, timestamp, volume, received=max(timestamp, 1)))
        )
    n = writer.positions[1].n + len(logged)
    return LogEntry(1, f"{now_ms()}-{n}", n, logged)


# Times from before the opening until after the close, and on the day after.
TIMES = st.one_of(
    st.integers(-20, 20),
    st.integers(-20, 400),
    st.integers(370, 380),
    st.integers(1430, 1500),
).map(lambda minute: OPENING + minute * MINUTE)


@pytest.mark.parametrize("history", ["sqlite"], indirect=True)
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(
    moments=[(OPENING, 0), (OPENING + 375 * MINUTE, 0)], seed=1, shares=(1, 0.5), with_volume=False
)
@given(
    moments=st.lists(st.tuples(TIMES, st.integers(0, 59_999)), min_size=1, max_size=25),
    seed=st.integers(0, 10**6),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    with_volume=st.booleans(),
)
def test_any_split_makes_the_same_candles(
    history: HistoryDatabase,
    master: Import,
    moments: list[tuple[int, int]],
    seed: int,
    shares: tuple[float, float],
    with_volume: bool,
) -> None:
    """Ticks in any order, before and after a change of names: as if all had had the last name."""
    random_order = random.Random(seed)
    by_time = sorted(minute + offset for minute, offset in moments)
    rows: list[tuple[int, int | None]] = []
    day, volume = 0, 0
    for at in by_time:
        if at // DAY_MS != day:
            day, volume = at // DAY_MS, 0
        volume += random_order.randrange(0, 50)
        rows.append((at, volume if with_volume and random_order.random() < 0.8 else None))
    random_order.shuffle(rows)
    number = Series.objects.count()
    name, renamed, whole = f"N{number}", f"R{number}", f"W{number}"
    first, second = sorted(round(share * len(rows)) for share in shares)
    parts = [(name, rows[:first]), (f"NSE_EQ:{name}", rows[first:second])]
    parts.append((f"NSE_EQ:{renamed}", rows[second:]))
    writer = HistoryWriter(shards=[1], calendars=calendars(HOURS), grace_ms=0)
    key, other = InstrumentKey("NSE_EQ", renamed), InstrumentKey("NSE_EQ", whole)
    known = [equity(whole)]
    masters = [known, [*known, equity(name)], [*known, equity(renamed)]]
    for (stream, some), instruments in zip(parts, masters, strict=True):
        master(*instruments, former={"NSE_EQ": {name: key}} if stream == str(key) else None)
        while some:
            size = random_order.randrange(1, len(some) + 1)
            batch, some = some[:size], some[size:]
            store(writer, [(stream, *row) for row in batch])
            store(writer, [(str(other), *row) for row in batch])
    expected = [shown_of(other, interval) for interval in Interval]
    assert [shown_of(key, interval) for interval in Interval] == expected
    assert len(list(ticks(key=key))) == len(rows)
    join_series(series=series_to_join(), calendars=calendars(HOURS))
    assert [shown_of(key, interval) for interval in Interval] == expected
    assert len(list(ticks(key=key))) == len(rows)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@pytest.mark.parametrize("history", ["sqlite"], indirect=True)
@given(session=noisy_sessions(), split=st.floats(0, 1), seed=st.integers(0, 10**6))
def test_noise_of_before_leaves_no_volume(
    history: HistoryDatabase,
    master: Import,
    session: list[tuple[int, bool]],
    split: float,
    seed: int,
) -> None:
    """The day's volume is its last good reading, wherever noise and the change of names lie."""
    number = Series.objects.count()
    name = f"N{number}"
    rows = [(OPENING + at * 20_000, reading) for at, (reading, _) in enumerate(session)]
    at = round(split * len(rows))
    writer = HistoryWriter(shards=[1], calendars=calendars(HOURS), grace_ms=0)
    master()
    first, second = rows[:at], rows[at:]
    random.Random(seed).shuffle(second)
    for row in first:
        store(writer, [(name, *row)])
    master(equity(name))
    for row in second:
        store(writer, [(f"NSE_EQ:{name}", *row)])
    (day,) = candles(keys=[InstrumentKey("NSE_EQ", name)], interval=Interval.DAY)
    assert day.volume == rows[-1][1]


def test_many_names_that_change_at_once_go_on_in_parts(
    history: HistoryDatabase, master: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an import within a session, no transaction takes longer than the lease lasts."""
    monkeypatch.setattr("quotes.history.recording.writer._MOST_DAYS", 2)
    names = [f"N{number}" for number in range(7)]
    writer = HistoryWriter(shards=[1], calendars=calendars(HOURS), grace_ms=0)
    store(writer, [(name, OPENING, 100) for name in names])
    master(*map(equity, names))
    for at in (1, 2):
        entry = entry_of(writer, [(f"NSE_EQ:{name}", OPENING + at, 100 + at) for name in names])
        parts = list(store_in_parts(writer, [entry], now_ms=0))
        assert len(parts) == (4 if at == 1 else 1)
    for name in names:
        assert day_of(InstrumentKey("NSE_EQ", name)) == [(0, 102, 3)]
