"""The partitions of the table of ticks in PostgreSQL: one for each Indian day.

They are created apart and then attached, which does not wait for readers of the table.
"""

import re
from collections.abc import Iterable
from datetime import date

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from quotes.history.router import ALIAS
from quotes.runtime.clock import date_of_day, day_number, day_of_date, midnight_of_day, now_ms

_PREFIX = "history_tick_d"
_EARLY = "history_tick_early"
# One partition has all ticks before this day: a wrong clock does not make thousands of them.
_FIRST_DAY = day_of_date(date(2000, 1, 1))
_DAYS_AHEAD = 2
_NAME = re.compile(_PREFIX + r"(\d{4})(\d\d)(\d\d)")
# An arbitrary number: its holder makes partitions, others wait.
_LOCK = 5_007_321

EXISTING = (
    "SELECT child.relname FROM pg_inherits"
    " JOIN pg_class child ON child.oid = inhrelid"
    " WHERE inhparent = 'history_tick'::regclass"
)


def _name_of(day: int) -> str:
    """Return the name of the partition of a day, counted from 1970 in India."""
    return f"{_PREFIX}{date_of_day(day):%Y%m%d}"


class Partitions:
    """Makes the partitions that ticks need, and drops old ones."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._existing: set[int] = set()
        self._pending: set[int] = set()  # made in the open transaction

    def prepare(self) -> None:
        """Make the partitions of the coming days, in a transaction of its own."""
        self._existing = self.existing()
        today = day_number(now_ms())
        with transaction.atomic(using=ALIAS):
            self._make({_FIRST_DAY - 1, *range(today, today + _DAYS_AHEAD)} - self._existing)
        self.committed()

    def ensure(self, timestamps: Iterable[int]) -> None:
        """Make the partitions of ticks, in the open transaction."""
        days = {max(day_number(stamp), _FIRST_DAY - 1) for stamp in timestamps}
        if not days <= self._existing:
            self._make(days - self._existing)

    def committed(self) -> None:
        """Note that the transaction was committed."""
        self._existing |= self._pending
        self._pending = set()

    def existing(self) -> set[int]:
        """Return the days that have a partition; _FIRST_DAY - 1 stands for all earlier days."""
        with self._connection.cursor() as cursor:
            cursor.execute(EXISTING)
            names = [name for (name,) in cursor.fetchall()]
        days = {_FIRST_DAY - 1} if _EARLY in names else set()
        for name in names:
            if found := _NAME.fullmatch(name):
                year, month, day = map(int, found.groups())
                days.add(day_of_date(date(year, month, day)))
        return days

    def drop_before(self, day: int) -> int:
        """Drop the partitions of earlier days and return how many; not within a transaction."""
        dropped = sorted(one for one in self.existing() if _FIRST_DAY <= one < day)
        for one in dropped:
            with self._connection.cursor() as cursor:
                # Neither waits for readers of other days, nor blocks them.
                cursor.execute(
                    f"ALTER TABLE history_tick DETACH PARTITION {_name_of(one)} CONCURRENTLY"
                )
                cursor.execute(f"DROP TABLE {_name_of(one)}")
        return len(dropped)

    def _make(self, days: set[int]) -> None:
        if not days:
            return
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            # Another process may have made some meanwhile.
            for day in sorted(days - self.existing()):
                start, end = str(midnight_of_day(day)), str(midnight_of_day(day + 1))
                name = _name_of(day)
                if day < _FIRST_DAY:
                    name, start = _EARLY, "MINVALUE"
                cursor.execute(f"CREATE TABLE {name} (LIKE history_tick INCLUDING ALL)")
                cursor.execute(
                    f"ALTER TABLE history_tick ATTACH PARTITION {name}"
                    f" FOR VALUES FROM ({start}) TO ({end})"
                )
        self._pending |= days
