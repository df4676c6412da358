"""The partitions of the table of ticks in PostgreSQL: one for each Indian day.

They are attached, not created in place: that does not wait for those who read the table.
"""

import re
from collections.abc import Iterable
from datetime import date

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from quotes.history.router import ALIAS
from quotes.runtime.clock import date_of_day, day_number, day_of_date, midnight_of_day, now_ms

PREFIX = "history_tick_d"
EARLY = "history_tick_early"
# Before this there is one partition for all: a clock gone wrong does not make thousands.
FIRST_DAY = day_of_date(date(2000, 1, 1))
DAYS_AHEAD = 2
NAME = re.compile(PREFIX + r"(\d{4})(\d\d)(\d\d)")
# Any number: who holds it makes partitions, others wait.
LOCK = 5_007_321

EXISTING = (
    "SELECT child.relname FROM pg_inherits"
    " JOIN pg_class child ON child.oid = inhrelid"
    " WHERE inhparent = 'history_tick'::regclass"
)


def name_of(day: int) -> str:
    """Return the name of the partition of a day, counted from 1970 in India."""
    return f"{PREFIX}{date_of_day(day):%Y%m%d}"


class Partitions:
    """Makes the partitions that ticks need."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.known: set[int] = set()
        self.pending: set[int] = set()  # made in the transaction that is open

    def prepare(self) -> None:
        """Make the partitions of the coming days, in a transaction of its own."""
        self.known = self.existing()
        today = day_number(now_ms())
        with transaction.atomic(using=ALIAS):
            self.make({FIRST_DAY - 1, *range(today, today + DAYS_AHEAD)} - self.known)
        self.committed()

    def ensure(self, timestamps: Iterable[int]) -> None:
        """Make the partitions of ticks, in the transaction that is open."""
        days = {max(day_number(stamp), FIRST_DAY - 1) for stamp in timestamps}
        if not days <= self.known:
            self.make(days - self.known)

    def committed(self) -> None:
        """Take note that the transaction was committed."""
        self.known |= self.pending
        self.pending = set()

    def existing(self) -> set[int]:
        """Return the days that have a partition; the one before the first stands for the early."""
        with self.connection.cursor() as cursor:
            cursor.execute(EXISTING)
            names = [name for (name,) in cursor.fetchall()]
        days = {FIRST_DAY - 1} if EARLY in names else set()
        for name in names:
            if found := NAME.fullmatch(name):
                year, month, day = map(int, found.groups())
                days.add(day_of_date(date(year, month, day)))
        return days

    def drop_before(self, day: int) -> int:
        """Drop the partitions of the days before one; return how many; not in a transaction."""
        dropped = sorted(one for one in self.existing() if FIRST_DAY <= one < day)
        for one in dropped:
            with self.connection.cursor() as cursor:
                # Does not wait for those who read other days, nor they for it.
                cursor.execute(
                    f"ALTER TABLE history_tick DETACH PARTITION {name_of(one)} CONCURRENTLY"
                )
                cursor.execute(f"DROP TABLE {name_of(one)}")
        return len(dropped)

    def make(self, days: set[int]) -> None:
        if not days:
            return
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            # Another may have made some meanwhile.
            for day in sorted(days - self.existing()):
                start, end = str(midnight_of_day(day)), str(midnight_of_day(day + 1))
                name = name_of(day)
                if day < FIRST_DAY:
                    name, start = EARLY, "MINVALUE"
                cursor.execute(f"CREATE TABLE {name} (LIKE history_tick INCLUDING ALL)")
                cursor.execute(
                    f"ALTER TABLE history_tick ATTACH PARTITION {name}"
                    f" FOR VALUES FROM ({start}) TO ({end})"
                )
        self.pending |= days
