"""History is kept for as long as the rules say, and no longer."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connections
from redis import Redis

from quotes.errors import BadRetention
from quotes.history.maintenance import pruning, shrinking
from quotes.history.maintenance.pruner import Pruner
from quotes.history.maintenance.pruning import prune_history
from quotes.history.maintenance.retention import parse_retention
from quotes.history.maintenance.shrinking import shrink
from quotes.history.models import Candle, Tick
from quotes.history.router import ALIAS
from quotes.history.tables.partitions import Partitions
from quotes.runtime.clock import DAY_MS
from quotes.runtime.interrupts import Interrupt
from tests.history.conftest import HistoryDatabase
from tests.history.logs import MINUTE, OPENING, log, log_row, record

HOUR_MS = 60 * MINUTE
# The day after the last of three sessions.
TODAY = date(2021, 4, 17)


@pytest.fixture
def recorded(redis: Redis, history: HistoryDatabase) -> HistoryDatabase:
    """Wednesday to Friday of a share and an index."""
    for day in (-2, -1, 0):
        for key in ("NSE_EQ:RELIANCE", "NSE_INDEX:NIFTY 50"):
            log(redis, [log_row(key, timestamp=OPENING + day * DAY_MS + n) for n in range(3)])
    record(redis)
    return history


@pytest.mark.parametrize(
    ("rules", "ticks", "minutes", "days"),
    [
        ("", 18, 6, 6),
        ("ticks=2", 6, 6, 6),
        ("ticks=1", 0, 6, 6),
        ("ticks=4", 18, 6, 6),
        ("1m=3", 18, 4, 6),
        ("NSE_EQ:ticks=2", 12, 6, 6),
        ("ticks=3, NSE_INDEX:ticks=2, 1d=2, NSE_EQ:1m=1", 9, 3, 2),
    ],
)
def test_rules_say_what_stays(
    recorded: HistoryDatabase, rules: str, ticks: int, minutes: int, days: int
) -> None:
    """Each kind of each segment by the rule of its own, or else by that of all segments."""
    report = prune_history(rules=parse_retention(rules), today=TODAY)
    assert Tick.objects.count() == ticks
    assert Candle.objects.filter(interval=1).count() == minutes
    assert Candle.objects.filter(interval=1440).count() == days
    assert Candle.objects.filter(interval=5).count() == 6
    assert report.candles == 12 - minutes - days
    if recorded.vendor == "sqlite":
        assert (report.partitions, report.ticks) == (0, 18 - ticks)


@pytest.mark.parametrize("history", ["postgresql"], indirect=True)
def test_whole_days_go_as_partitions(recorded: HistoryDatabase) -> None:
    """In PostgreSQL a day that nobody keeps is dropped, not deleted row by row."""
    partitions = Partitions(connections[ALIAS])
    before = set(partitions.existing())
    report = prune_history(rules=parse_retention("ticks=2"), today=TODAY)
    assert (report.partitions, report.ticks) == (2, 0)
    assert len(before.difference(partitions.existing())) == 2
    assert Tick.objects.count() == 6


# The last tick of `day` was at 15:20 in India.
DAY = [OPENING + hour * HOUR_MS for hour in range(6)]


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ("ticks=1h", 1),  # from 14:00 on
        ("ticks=3h", 3),
        ("ticks=24h", 6),
        ("ticks=1, NSE_EQ:ticks=2h", 2),
        ("ticks=2h, NSE_EQ:ticks=1", 6),
    ],
)
def test_rules_in_hours_keep_whole_hours(
    redis: Redis, history: HistoryDatabase, rules: str, kept: int
) -> None:
    """They count back from the beginning of this hour; days go on from midnight."""
    log(redis, [log_row(timestamp=at, seq=n) for n, at in enumerate(DAY, 1)])
    record(redis)
    now = DAY[-1] + HOUR_MS - 10 * MINUTE
    report = prune_history(rules=parse_retention(rules), today=date(2021, 4, 16), now_ms=now)
    assert report.ticks == 6 - kept
    assert list(Tick.objects.values_list("timestamp", flat=True)) == DAY[6 - kept :]


def test_candles_of_today_do_not_change_with_their_ticks_gone(
    redis: Redis, history: HistoryDatabase
) -> None:
    """Nor do later ticks make them wrong, or a late one of a candle without ticks."""
    rows = [
        log_row(timestamp=at + n * MINUTE, price=f"{100 + n}.5", volume=10 * (6 * hour + n + 1))
        for hour, at in enumerate(DAY)
        for n in range(6)
    ]
    log(redis, rows[:30])
    record(redis)
    before = candles()
    assert prune_history(
        rules=parse_retention("ticks=1h"), today=date(2021, 4, 16), now_ms=DAY[4] + 40 * MINUTE
    ).ticks
    assert candles() == before
    log(redis, [*rows[30:], log_row(timestamp=DAY[0] + 1000, price="99.5", volume=11)])
    record(redis)
    after = candles()
    for at, (low, high, ticks, volume) in before.items():
        interval, start = at
        if interval == 1440:
            assert after[at] == (Decimal("99.5"), high, 37, 360)
        elif start <= DAY[0] + 1000 < start + interval * MINUTE:
            assert after[at] == (Decimal("99.5"), high, ticks + 1, volume)
        elif start + interval * MINUTE <= DAY[5]:
            assert after[at] == (low, high, ticks, volume)


def candles() -> dict[tuple[int, int], tuple[Decimal, Decimal, int, int]]:
    """Return low, high, ticks and volume of each stored candle."""
    fields = ("interval", "start", "low", "high", "ticks", "volume")
    return {tuple(row[:2]): tuple(row[2:]) for row in Candle.objects.values_list(*fields)}


def test_others_write_between_two_batches(
    recorded: HistoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recorder waits for one batch at most; pruning ends after it on Ctrl-C."""
    monkeypatch.setattr(pruning, "_BATCH_ROWS", 2)
    counts: list[int] = []

    def pause(seconds: float) -> None:
        assert seconds < 5
        assert not connections[ALIAS].in_atomic_block
        assert connections[ALIAS].get_autocommit()
        if recorded.vendor == "sqlite":
            path = recorded.url.removeprefix("sqlite:///")
            with closing(sqlite3.connect(path, timeout=0)) as other, other:
                other.execute("UPDATE history_logposition SET n = n")
        counts.append(Tick.objects.count())

    rules = parse_retention("NSE_EQ:ticks=1")
    prune_history(rules=rules, today=TODAY, pause=pause)
    assert counts == [16, 14, 12, 10, 9]
    rules = parse_retention("NSE_INDEX:ticks=1")
    report = prune_history(
        rules=rules, today=TODAY, pause=pause, stopped=lambda: Tick.objects.count() == 7
    )
    assert report.ticks == 2


def test_the_pruner_applies_days_once_a_day_and_hours_always(
    recorded: HistoryDatabase, redis: Redis
) -> None:
    """After a failure it applies all again; a clock that it cannot ask deletes nothing early."""
    rules = parse_retention("1m=1, ticks=1h")
    pruner = Pruner(redis, rules, interrupt=Interrupt(), every_s=60)
    report = pruner.prune_due()
    assert report.ticks or report.partitions
    assert report.candles == 6
    log(redis, [log_row(timestamp=OPENING + 5 * DAY_MS, seq=9)])
    record(redis)
    report = pruner.prune_due()
    assert (report.ticks or report.partitions, report.candles) == (1, 0)
    assert Pruner(redis, rules, interrupt=Interrupt(), every_s=60).prune_due().candles == 1


@pytest.mark.parametrize("history", ["sqlite"], indirect=True)
def test_a_file_gets_smaller(
    redis: Redis, history: HistoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Free pages go back to the disk, but for those that will be used again."""
    monkeypatch.setattr(shrinking, "_KEPT_BYTES", 1 << 16)
    path = Path(history.url.removeprefix("sqlite:///"))
    padding = b',"x":"' + b"x" * 4000 + b'"'
    log(redis, [log_row(timestamp=OPENING + n, seq=n, others=padding) for n in range(1, 1000)])
    record(redis)
    large = file_bytes(path)
    assert large > 4_000_000
    prune_history(rules=parse_retention("ticks=1"), today=TODAY)
    pauses: list[float] = []
    freed = shrink(pause=pauses.append)
    assert large - file_bytes(path) == freed
    assert file_bytes(path) < large / 5
    assert len(pauses) > 1
    assert shrink() == 0
    wal = Path(f"{path}-wal")
    assert not wal.exists() or wal.stat().st_size <= 64 << 20


@pytest.mark.parametrize("history", ["sqlite"], indirect=True)
def test_a_file_of_an_earlier_release_uses_its_space_again(
    redis: Redis, history: HistoryDatabase
) -> None:
    """It was made without auto_vacuum: it stays as large, and does not grow."""
    path = Path(history.url.removeprefix("sqlite:///"))
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("PRAGMA auto_vacuum = NONE")
        cursor.execute("VACUUM")
    sizes = []
    for _ in range(3):
        first = Tick.objects.count() + 1
        rows = [
            log_row(timestamp=OPENING + n, seq=n, others=b',"x":"%s"' % (b"x" * 2000))
            for n in range(first, first + 500)
        ]
        log(redis, rows)
        record(redis)
        prune_history(rules=parse_retention("ticks=1"), today=TODAY)
        assert shrink() == 0
        sizes.append(file_bytes(path))
    assert sizes[0] == sizes[1] == sizes[2]


def file_bytes(path: Path) -> int:
    """Return the size of a database whose WAL is in it."""
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


@pytest.mark.parametrize(
    "text",
    [
        *("ticks", "ticks=", "ticks=0", "2m=5", "ticks=-1", "ticks=1.5", "ticks=1 h", "ticks=h"),
        *("ticks=1d", "ticks=0h", "ticks=999999", "ticks=\u0661", "=3"),
    ],
)
def test_rule_that_is_none_is_refused(text: str) -> None:
    """The text says what a rule is and what was given."""
    with pytest.raises(BadRetention, match=f"got '{text}'"):
        parse_retention(f"1m=3, {text}")


@pytest.mark.parametrize("ahead_s", [172_800, -172_800])
def test_wrong_clock_deletes_nothing_early(
    redis: Redis, history: HistoryDatabase, set_clock: Callable[[float], None], ahead_s: int
) -> None:
    """Only what is old by this machine's clock and by Redis's goes."""
    now = time.time_ns() // 1_000_000
    times = [now - days * DAY_MS for days in (0, 1, 9)]
    log(redis, [log_row("AAPL", timestamp=at) for at in times])
    record(redis)
    set_clock(ahead_s)
    call_command("prune_history", "--keep", "ticks=2")
    kept = set(Tick.objects.values_list("timestamp", flat=True))
    assert kept == set(times[:2])
