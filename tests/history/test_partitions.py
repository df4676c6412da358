"""Partitions of ticks in PostgreSQL: few, whatever dates publishers send."""

from datetime import date
from itertools import pairwise

import psycopg
import pytest
from django.db import connections

from quotes.history.router import ALIAS
from quotes.history.tables import partitions as module
from quotes.history.tables.partitions import Partitions
from quotes.runtime.clock import DAY_MS, date_of_day, day_of_date, midnight_of, now_ms
from tests.history.conftest import HistoryDatabase

pytestmark = pytest.mark.parametrize("history", ["postgresql"], indirect=True)

TODAY = date(2026, 11, 27)


@pytest.fixture
def partitions(history: HistoryDatabase, monkeypatch: pytest.MonkeyPatch) -> Partitions:
    monkeypatch.setattr(module, "now_ms", lambda: midnight_of(TODAY))
    found = Partitions(connections[ALIAS])
    found.prepare()
    return found


def names(partitions: Partitions) -> list[str]:
    return [one.name.removeprefix("history_tick_") for one in partitions.existing()]


def release_one(history: HistoryDatabase, day: date) -> None:
    """Make the partition of a day as release 0.1.0 does."""
    name, start = f"history_tick_d{day:%Y%m%d}", midnight_of(day)
    with psycopg.connect(history.url) as connection:
        connection.execute(f"CREATE TABLE {name} (LIKE history_tick INCLUDING ALL)")
        connection.execute(
            f"ALTER TABLE history_tick ATTACH PARTITION {name}"
            f" FOR VALUES FROM ({start}) TO ({start + DAY_MS})"
        )


def test_near_days_have_partitions_of_their_own(
    partitions: Partitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Today and tomorrow in advance, others with their first tick."""
    monkeypatch.setattr(module, "_MOST_FAR_DAYS", 0)
    assert names(partitions) == ["early", "d20261127", "d20261128"]
    days = [date(2026, 8, 19), date(2026, 11, 26), date(2027, 1, 3)]
    assert partitions.ensure([midnight_of(day) for day in days]) == 3
    assert {"d20260819", "d20261126", "d20270103"} < set(names(partitions))


def test_a_few_other_days_have_their_own_too(
    partitions: Partitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days that were recorded long ago and are imported are dropped as a whole as well."""
    monkeypatch.setattr(module, "_MOST_FAR_DAYS", 2)
    partitions.ensure([midnight_of(date(2015, 3, day)) for day in (2, 3, 4, 9)])
    assert names(partitions)[1:4] == ["d20150302", "d20150303", "s20150304"]


def test_other_days_share_one_for_each_year(
    partitions: Partitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The years 1970 to 9999 leave some hundred partitions, and no day is in two."""
    monkeypatch.setattr(module, "_MOST_FAR_DAYS", 5)
    first, last = day_of_date(date(1970, 1, 1)), day_of_date(date(9999, 12, 31))
    stamps = [midnight_of(date_of_day(day)) for day in range(first, last, 13)]
    count = partitions.ensure(stamps)
    assert count < 140
    found = partitions.existing()
    assert all(one.end <= other.first for one, other in pairwise(found))
    assert {"early", "s20050101", "s20260101", "late"} < set(names(partitions))
    # As many as before: all of them are there.
    again = Partitions(connections[ALIAS])
    again.prepare()
    assert again.ensure(stamps) == count
    assert again.existing() == found


def test_partitions_of_release_one_stay(
    partitions: Partitions, history: HistoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that has old days one by one gets shared partitions around them."""
    monkeypatch.setattr(module, "_MOST_FAR_DAYS", 3)
    for day in (date(2015, 3, 2), date(2015, 3, 3), date(2015, 3, 5)):
        release_one(history, day)
    days = [date(2015, month, 4) for month in range(1, 13)]
    assert partitions.ensure([midnight_of(day) for day in days]) == 3
    assert names(partitions)[1:7] == [
        *("s20150101", "d20150302", "d20150303"),
        *("s20150304", "d20150305", "s20150306"),
    ]


def test_near_days_go_on_beside_shared_ones(
    partitions: Partitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days that were near when a year's other days got theirs have their own, later too."""
    monkeypatch.setattr(module, "_MOST_FAR_DAYS", 0)
    partitions.ensure([midnight_of(date(2026, 3, 1)), midnight_of(date(2027, 12, 24))])
    assert {"s20260101", "s20270307"} < set(names(partitions))
    monkeypatch.setattr(module, "now_ms", lambda: midnight_of(date(2026, 12, 10)))
    days = [date(2026, 8, 19), date(2026, 8, 25), date(2026, 12, 1), date(2027, 3, 7)]
    assert partitions.ensure([midnight_of(day) for day in days]) == 3
    assert {"s20260819", "d20261201", "s20270307"} < set(names(partitions))


def test_shared_partitions_are_dropped_as_a_whole(
    partitions: Partitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once all of their days are past; the days before 2000 are deleted row by row."""
    monkeypatch.setattr(module, "_MOST_FAR_DAYS", 0)
    days = [date(1980, 1, 1), date(2010, 1, 1), date(2020, 1, 1), date(2026, 11, 1)]
    partitions.ensure([midnight_of(day) for day in days])
    assert partitions.drop_before(day_of_date(date(2020, 6, 1))) == 1
    assert names(partitions) == ["early", "s20200101", "d20261101", "d20261127", "d20261128"]
    assert partitions.drop_before(day_of_date(date(2026, 11, 2))) == 2
    partitions.prepare()
    assert partitions.ensure([midnight_of(date(2020, 1, 1)), now_ms()]) == 2
