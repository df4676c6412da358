"""History is kept for as long as the rules say, and no longer."""

import time
from collections.abc import Callable
from datetime import date

import pytest
from django.core.management import call_command
from django.db import connections
from redis import Redis

from quotes.errors import BadRetention
from quotes.history.maintenance.pruning import prune_history
from quotes.history.maintenance.retention import parse_retention
from quotes.history.models import Candle, Tick
from quotes.history.router import ALIAS
from quotes.history.tables.partitions import Partitions
from quotes.runtime.clock import DAY_MS
from tests.history.conftest import HistoryDatabase
from tests.history.logs import OPENING, log, log_row, record

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


@pytest.mark.parametrize("text", ["ticks", "ticks=", "ticks=0", "2m=5", "ticks=-1", "ticks=1.5"])
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
