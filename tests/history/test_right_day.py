"""A day that is recorded while history is edited has the tables that plain Python computes.

The short form of `python -m benchmarks.right_day`, with the recorder in a thread and edits in the
test's own.
"""

import contextlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from io import StringIO
from pathlib import Path

import pytest
from redis import Redis

from benchmarks.right_day.days import read_recording, synthetic_day
from benchmarks.right_day.events import (
    HOLIDAY,
    Edit,
    ImportCandles,
    ImportTicks,
    Prune,
    Rebuild,
    Tick,
    hours_of,
)
from benchmarks.right_day.expected import Expected, longest_rising
from benchmarks.right_day.plan import Plan
from benchmarks.right_day.service import keep_text, tick_json, write_file
from benchmarks.right_day.tables import compare, day_statistics, stored_count
from instruments.keys import InstrumentKey
from instruments.sessions import Hours, Session, SpecialDay
from quotes.conf import conf
from quotes.history.candles.sessions import calendars
from quotes.history.files.import_files import HistoryFile
from quotes.history.files.import_rows import RowReader
from quotes.history.files.importing import history_import
from quotes.history.maintenance.pruning import prune_history
from quotes.history.maintenance.rebuilding import rebuild_candles
from quotes.history.maintenance.retention import parse_retention
from quotes.history.recording.recorder import Recorder
from quotes.runtime.clock import now_ms
from quotes.runtime.interrupts import Interrupt
from quotes.runtime.progress import Progress
from quotes.store.tick_log import LogRow
from quotes.ticks import encode_tick, parse_tick
from tests.history.conftest import HistoryDatabase
from tests.history.logs import log
from tests.history.test_recorder_lease import InThread
from tests.waiting import wait_until

HOURS = Hours(
    (Session("open", time(9, 15), time(15, 30), date(2000, 1, 1)),),
    {HOLIDAY: SpecialDay("Ambedkar Jayanti")},
)
CALENDARS = calendars(dict.fromkeys(("NSE_EQ", "BSE_EQ"), HOURS))
TODAY = datetime(2021, 5, 3, tzinfo=UTC)
EDITS = 10


class InProcess(InThread):
    """A recorder in a thread, the log as the bridge writes it, and edits in this thread."""

    def __init__(self, redis: Redis, history: HistoryDatabase, folder: Path) -> None:
        self.redis = redis
        self.history = history
        self.folder = folder
        self.published = 0
        self.shown: dict[str, tuple[int, int]] = {}
        self.start()

    def start(self) -> None:
        super().__init__(self.redis, self.history)

    def make_recorder(self, redis: Redis) -> Recorder:
        return Recorder(
            redis,
            interrupt=Interrupt(),
            report=lambda line: None,
            stream=StringIO(),
            calendars=lambda: CALENDARS,
        )

    def restart(self) -> None:
        self.__exit__()
        self.start()

    def publish(self, ticks: Sequence[Tick]) -> None:
        for at in range(0, len(ticks), 100):
            log(self.redis, [self.row(tick) for tick in ticks[at : at + 100]])
        self.published += len(ticks)

    def row(self, tick: Tick) -> LogRow:
        newest, seq = self.shown.get(tick.key, (0, 0))
        shown = tick.time >= newest
        if shown:
            seq += 1
            self.shown[tick.key] = (tick.time, seq)
        frame = encode_tick(parse_tick(tick_json(tick), now_ms=now_ms()))
        return (tick.key, 1, seq, tick.time, frame, shown, now_ms())

    def wait(self) -> None:
        wait_until(lambda: stored_count() == self.published, timeout_s=60)

    def edit(self, edit: Edit | None) -> None:
        match edit:
            case ImportTicks() | ImportCandles():
                history_import(
                    file=HistoryFile(write_file(self.folder / "import.csv", edit)),
                    reader=RowReader(resolve=InstrumentKey.parse, calendars=CALENDARS),
                    progress=Progress(stream=StringIO(), unit="rows", action="imported"),
                    warn=print,
                )
            case Prune():
                rules = parse_retention(keep_text(edit, TODAY))
                prune_history(rules=rules, today=TODAY.date())
            case Rebuild():
                self.rebuild(edit.first, edit.last)

    def rebuild(self, first: date, last: date) -> set[str]:
        """Return the days that cannot be checked; nothing may be wrong."""
        lines: list[str] = []
        found = rebuild_candles(
            first=first, last=last, calendars=CALENDARS, report_line=lines.append
        )
        assert found.wrong == 0, "\n".join(lines)
        return {line.partition(": their ticks")[0] for line in lines}


@pytest.mark.parametrize(
    ("history", "seed"),
    [("sqlite", 1), ("sqlite", 2), ("sqlite", 3), ("postgresql", 4)],
    indirect=["history"],
)
def test_tables_are_those_of_the_events(
    redis: Redis, history: HistoryDatabase, tmp_path: Path, seed: int
) -> None:
    """With imports, pruning, late, repeated and wrong ticks at random, on both databases."""
    # Late ticks are many here, and each takes several queries.
    ticks = 1_200 if history.vendor == "sqlite" else 400
    plan = Plan(synthetic_day(seed, symbols=4, ticks=ticks), seed=seed, steps=EDITS)
    expected = Expected(grace_ms=conf.candle_grace_ms)
    with InProcess(redis, history, tmp_path) as service:
        for step in plan.steps():
            service.publish(step.before)
            service.wait()
            service.publish(step.beside)
            service.edit(step.edit)
            if step.kills:
                service.restart()
            expected.publish(step.before)
            expected.edit(step.edit)
            expected.publish(step.beside)
        service.wait()
        # The statistics of the day follow a commit.
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not differences(expected, redis))
        assert differences(expected, redis) == []
        unproved = service.rebuild(date(2021, 4, 1), date(2021, 4, 16))
        assert unproved == expected.unproved()
        assert differences(expected, redis) == []


def differences(expected: Expected, redis: Redis) -> list[str]:
    return compare(expected, day_statistics(redis)).differences


@pytest.mark.parametrize(
    ("readings", "counting"),
    [([], ""), ([1, 1, 2], "yyy"), ([5, 1, 2], "nyy"), ([1, 9, 2, 3], "ynyy"), ([3, 1], "yn")],
)
def test_longest_rising_readings_count(readings: list[int], counting: str) -> None:
    """The earliest of several sequences as long."""
    assert longest_rising(readings) == [letter == "y" for letter in counting]


def test_recording_is_in_the_order_of_its_times(tmp_path: Path) -> None:
    """Ticks without a time have that of the row before; late ones stay where they came."""
    path = tmp_path / "day.csv"
    path.write_text(
        "timestamp,symbol,ltp,volume\n"
        "2021-04-16 09:15:02,TCS,3200.50,5\n"
        "1970-01-01 05:30:00,TCS,3200.55,6\n"
        "2021-04-16 09:15:01,TCS,3200.60,4\n"
        "2021-04-16 09:15:01,NIFTY 50,14500.00,0\n"
    )
    opens, _ = hours_of(date(2021, 4, 16))
    assert read_recording(path) == [
        Tick("NSE_INDEX:NIFTY 50", opens + 1000, "14500.00", 0),
        Tick("NSE_EQ:TCS", opens + 2000, "3200.50", 5),
        Tick("NSE_EQ:TCS", opens + 2000, "3200.55", 6),
        Tick("NSE_EQ:TCS", opens + 1000, "3200.60", 4),
    ]
