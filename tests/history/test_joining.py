"""join_series stores history in one series, and readers see no difference."""

from collections.abc import Iterator
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from redis import Redis

from instruments.keys import InstrumentKey
from quotes.history.candles.intervals import STORED, Interval
from quotes.history.candles.sessions import calendars
from quotes.history.maintenance.joining import JoinReport, join_series, series_to_join, size_of
from quotes.history.maintenance.rebuilding import rebuild_candles
from quotes.history.models import Candle, Series, Tick
from quotes.history.queries.selectors import candles, ticks
from quotes.history.recording.writer import HistoryWriter
from quotes.history.rows import CandleRow, TickRow
from quotes.history.tables.opening import open_tables
from quotes.runtime.clock import DAY_MS, date_of
from tests.history.conftest import HistoryDatabase
from tests.history.factories import candle, series
from tests.history.logs import HOURS, MINUTE, OPENING, log, log_row, record
from tests.history.masters import Import, replaced_master
from tests.history.test_joined_names import shown, store
from tests.instruments.factories import reliance

RELIANCE = InstrumentKey("NSE_EQ", "RELIANCE")
BARE = InstrumentKey("", "RELIANCE")


@pytest.fixture
def master() -> Iterator[Import]:
    with replaced_master() as use:
        use()
        yield use


@pytest.fixture
def two_names(redis: Redis, history: HistoryDatabase, master: Import) -> None:
    """Two days under the bare name, and the import within the second one."""
    for day in (OPENING - DAY_MS, OPENING):
        for minute in (-5, 0, 1, 7, 374, 375, 500):
            if day == OPENING and minute > 1:
                break
            volume = 1000 + minute
            log(redis, [log_row("RELIANCE", f"{100 + minute}", day + minute * MINUTE, volume)])
    record(redis)
    master(reliance())
    for minute in (1, 2, 7):
        log(redis, [log_row(price="150", timestamp=OPENING + minute * MINUTE + 9, volume=2000)])
    record(redis)


def join(**terms: object) -> JoinReport:
    return join_series(series=series_to_join(), calendars=calendars(HOURS), **terms)  # type: ignore[arg-type]


def read() -> tuple[list[CandleRow], list[TickRow]]:
    rows = [row for interval in STORED for row in candles(keys=[RELIANCE], interval=interval)]
    return rows, list(ticks(key=RELIANCE))


@pytest.mark.usefixtures("two_names")
def test_joining_changes_nothing_for_readers() -> None:
    """Candles and ticks are the same, in one series, which its ticks prove."""
    before = read()
    (one,) = series_to_join()
    assert (str(one), size_of(one).ticks) == ("RELIANCE -> NSE_EQ:RELIANCE", 10)
    report = join()
    assert (report.series, report.days, report.ticks) == (1, 2, 10)
    assert [shown(row) for row in read()[0]] == [shown(row) for row in before[0]]
    assert read()[1] == before[1]
    assert list(Series.objects.values_list("key", flat=True)) == [str(RELIANCE)]
    assert set(Tick.objects.values_list("series", flat=True)) == {Series.objects.get().pk}
    assert set(Candle.objects.values_list("series", flat=True)) == {Series.objects.get().pk}
    checked = rebuild_candles(
        first=date_of(OPENING - DAY_MS),
        last=date_of(OPENING),
        calendars=calendars(HOURS),
        repair=False,
    )
    assert (checked.days, checked.wrong, checked.unchecked) == (2, 0, 0)
    assert join() == JoinReport()


@pytest.mark.usefixtures("two_names")
def test_joining_can_be_interrupted_and_run_again() -> None:
    """After each day readers see all of it; the next run does the rest."""
    before = read()
    answers = iter([False, True])
    report = join(interrupt=lambda: next(answers))
    assert (report.days, report.series, report.is_interrupted) == (1, 0, True)
    assert [shown(row) for row in read()[0]] == [shown(row) for row in before[0]]
    assert read()[1] == before[1]
    assert (join().days, series_to_join()) == (1, [])
    assert [shown(row) for row in read()[0]] == [shown(row) for row in before[0]]


def test_running_recorder_goes_on_after_joining(history: HistoryDatabase, master: Import) -> None:
    """What it has in memory follows, and late ticks find the ticks that were moved."""
    writer = HistoryWriter(shards=[1], calendars=calendars(HOURS), grace_ms=0)
    store(writer, [("RELIANCE", OPENING, 100), ("RELIANCE", OPENING + 5, 120)])
    master(reliance())
    store(writer, [(str(RELIANCE), OPENING + 9, 130)])
    join()
    store(writer, [("RELIANCE", OPENING + MINUTE, 150), (str(RELIANCE), OPENING + 2, 110)])
    rows = candles(keys=[RELIANCE], interval=Interval.MINUTE)
    assert [(row.volume, row.ticks) for row in rows] == [(130, 4), (20, 1)]
    assert not series_to_join()


def test_candles_without_their_ticks_are_kept(history: HistoryDatabase, master: Import) -> None:
    """Pruned days have candles alone, which go on as they are."""
    prices = ("10", "12", "9", "11")
    Candle.objects.bulk_create(
        [
            candle(OPENING, BARE, prices=prices),
            candle(OPENING - 555 * MINUTE, BARE, Interval.DAY, prices=prices),
            candle(OPENING - 555 * MINUTE - DAY_MS, BARE, Interval.DAY, prices=prices),
            candle(
                OPENING - 555 * MINUTE - 5 * DAY_MS, BARE, Interval.DAY, prices=prices
            ),  # Sunday
        ]
    )
    master(reliance())
    assert len(list(candles(keys=[RELIANCE], interval=Interval.DAY))) == 3
    join()
    assert not Candle.objects.exclude(series=series(RELIANCE)).exists()
    assert len(list(candles(keys=[RELIANCE], interval=Interval.DAY))) == 3
    assert [row.ticks for row in candles(keys=[RELIANCE], interval=Interval.HOUR)] == [4]


def test_ticks_of_one_time_and_position_are_all_kept(
    history: HistoryDatabase, master: Import
) -> None:
    """Symbols that are in different shards have positions of their own."""
    open_tables().make_room([OPENING])
    for key, price in ((BARE, "10"), (RELIANCE, "11")):
        Tick.objects.create(
            series=series(key),
            timestamp=OPENING,
            position=1,
            epoch=1,
            seq=1,
            shown=True,
            price=price,
        )
    master(reliance())
    join()
    assert [row.price for row in ticks(key=RELIANCE)] == ["11", "10"]


@pytest.mark.django_db(databases=["default"])
def test_command_says_what_it_would_do(
    redis: Redis,
    history: HistoryDatabase,
    master: Import,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A dry run moves nothing; names choose."""
    monkeypatch.setattr("instruments.index.index.refresh", lambda: False)
    log(redis, [log_row("RELIANCE"), log_row("AAPL")])
    record(redis)

    def told(*args: str) -> str:
        out = StringIO()
        call_command("join_series", *args, stdout=out)
        return out.getvalue()

    assert told("--dry-run").startswith("all history is stored")
    master(reliance())
    assert "RELIANCE -> NSE_EQ:RELIANCE: 1 ticks" in told("--dry-run")
    assert "nothing was changed" in told("NSE:RELIANCE", "--dry-run")
    assert told("AAPL").startswith("all history is stored")
    assert Series.objects.filter(key="RELIANCE").exists()
    assert "1 of 1 series joined: 1 ticks" in told("RELIANCE")
    assert not Series.objects.filter(key="RELIANCE").exists()
    with pytest.raises(CommandError, match="not joined"):
        told("*")
