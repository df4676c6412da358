"""The partitions of the table of ticks in PostgreSQL.

Each Indian day of the last months has a partition of its own, which is dropped as a whole when no
rule keeps it. So have other days while there are few: publishers may send any date, and a
transaction locks every partition that it writes or reads. After that, other days share one for each
year. All days before 2000 share one, as do those from 2100 on.

    history_tick_d20261127  one day, under the name that release 0.1.0 also gives it
    history_tick_s20150101  several days of a year, from this one on
    history_tick_early      before 2000
    history_tick_late       from 2100 on

Partitions are created apart and then attached, which does not wait for readers of the table.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from quotes.history.router import ALIAS
from quotes.runtime.clock import date_of_day, day_number, day_of_date, midnight_of_day, now_ms

_DAY_PREFIX = "history_tick_d"
_SHARED_PREFIX = "history_tick_s"
_EARLY = "history_tick_early"
_LATE = "history_tick_late"
_FIRST_DAY = day_of_date(date(2000, 1, 1))
_LAST_DAY = day_of_date(date(2099, 12, 31))
# Before and after all days.
_MIN_DAY, _MAX_DAY = -(2**40), 2**40
# Days that have partitions of their own: so many before and after today.
_NEAR_DAYS = 100
_DAYS_AHEAD = 2  # are made in advance
# With as many other days that have partitions of their own, no more get one.
_MOST_FAR_DAYS = 100
# Partitions that are made in one transaction: each takes about five locks until its end.
_MADE_AT_ONCE = 16
_BOUNDS = re.compile(r"FOR VALUES FROM \((?:MINVALUE|'(-?\d+)')\) TO \((?:MAXVALUE|'(-?\d+)')\)")
# An arbitrary number: its holder makes partitions, others wait.
_LOCK = 5_007_321

EXISTING = (
    "SELECT child.relname, pg_get_expr(child.relpartbound, child.oid) FROM pg_inherits"
    " JOIN pg_class child ON child.oid = inhrelid"
    " WHERE inhparent = 'history_tick'::regclass"
)


class Partition(NamedTuple):
    """A partition of ticks.

    Attributes:
        first, end: its days, counted from 1970 in India; the end is exclusive.
    """

    first: int
    end: int
    name: str


class Partitions:
    """Makes the partitions that ticks need, and drops old ones."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._existing: list[Partition] = []  # by time
        self._starts: list[int] = []

    def prepare(self) -> None:
        """Make the partitions of the coming days; not within a transaction."""
        self._note(self.existing())
        today = day_number(now_ms())
        self._make({_FIRST_DAY - 1, *range(today, today + _DAYS_AHEAD)})

    def ensure(self, timestamps: Iterable[int]) -> int:
        """Make the partitions of ticks, and return how many partitions these ticks are in.

        Not within a transaction.
        """
        days = {day_number(stamp) for stamp in timestamps}
        self._make(days)
        return len({self._find(day) for day in days})

    def existing(self) -> list[Partition]:
        """Return the partitions, by time."""
        with self._connection.cursor() as cursor:
            cursor.execute(EXISTING)
            return sorted(_partitions_of(cursor.fetchall()))

    def drop_before(self, day: int) -> int:
        """Drop the partitions of earlier days and return how many; not within a transaction.

        That of all days before 2000 stays.
        """
        dropped = [one for one in self.existing() if one.first >= _FIRST_DAY and one.end <= day]
        for one in dropped:
            with self._connection.cursor() as cursor:
                # Neither waits for readers of other days, nor blocks them.
                cursor.execute(f"ALTER TABLE history_tick DETACH PARTITION {one.name} CONCURRENTLY")
                cursor.execute(f"DROP TABLE {one.name}")
        return len(dropped)

    def _note(self, existing: list[Partition]) -> None:
        self._existing = existing
        self._starts = [one.first for one in existing]

    def _find(self, day: int) -> Partition | None:
        """Return the partition of a day."""
        at = bisect_right(self._starts, day) - 1
        if at >= 0 and day < self._existing[at].end:
            return self._existing[at]
        return None

    def _make(self, days: set[int]) -> None:
        """Make the partitions of those days that have none."""
        today = day_number(now_ms())
        while missing := [day for day in sorted(days) if self._find(day) is None]:
            with transaction.atomic(using=ALIAS), self._connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                # Another process may have made some meanwhile.
                self._note(self.existing())
                made = 0
                for day in missing:
                    if made < _MADE_AT_ONCE and self._find(day) is None:
                        self._create(cursor, self._new(day, today))
                        made += 1

    def _create(self, cursor: CursorWrapper, new: Partition) -> None:
        start, end = _bound(new.first), _bound(new.end)
        cursor.execute(f"CREATE TABLE {new.name} (LIKE history_tick INCLUDING ALL)")
        cursor.execute(
            f"ALTER TABLE history_tick ATTACH PARTITION {new.name}"
            f" FOR VALUES FROM ({start}) TO ({end})"
        )
        self._note(sorted([*self._existing, new]))

    def _new(self, day: int, today: int) -> Partition:
        """Return the partition to make for a day that has none."""
        near = range(today - _NEAR_DAYS, today + _NEAR_DAYS)
        far_days = sum(one.end == one.first + 1 and one.first not in near for one in self._existing)
        first, end, name = _stretch(day, near, alone=far_days < _MOST_FAR_DAYS)
        # Partitions that exist take their days out of it.
        at = bisect_right(self._starts, day)
        if at:
            first = max(first, self._existing[at - 1].end)
        if at < len(self._existing):
            end = min(end, self._existing[at].first)
        if name is None:
            name = f"{_SHARED_PREFIX}{date_of_day(first):%Y%m%d}"
        return Partition(first, end, name)


def _stretch(day: int, near: range, *, alone: bool) -> tuple[int, int, str | None]:
    """Return first day and end of the days that share a partition with a day.

    Args:
        near: the days that have one of their own.
        alone: whether another day may have one of its own too.

    Returns:
        These, and the name of the partition if it is fixed.
    """
    if day < _FIRST_DAY:
        return _MIN_DAY, _FIRST_DAY, _EARLY
    if day > _LAST_DAY:
        return _LAST_DAY + 1, _MAX_DAY, _LATE
    if alone or day in near:
        return day, day + 1, f"{_DAY_PREFIX}{date_of_day(day):%Y%m%d}"
    year = date_of_day(day).year
    first, end = day_of_date(date(year, 1, 1)), day_of_date(date(year + 1, 1, 1))
    if day < near.start:
        return first, min(end, near.start), None
    return max(first, near.stop), end, None


def _bound(day: int) -> str:
    if day == _MIN_DAY:
        return "MINVALUE"
    if day == _MAX_DAY:
        return "MAXVALUE"
    return str(midnight_of_day(day))


def _partitions_of(rows: Iterable[tuple[str, str]]) -> Iterable[Partition]:
    """Yield the partitions of EXISTING; one that an operator made may have other bounds."""
    for name, bounds in rows:
        if found := _BOUNDS.fullmatch(bounds or ""):
            start, end = found.groups()
            yield Partition(
                _MIN_DAY if start is None else day_number(int(start)),
                _MAX_DAY if end is None else day_number(int(end) - 1) + 1,
                name,
            )
