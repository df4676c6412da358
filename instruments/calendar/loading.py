"""Bringing the tables of hours up to date with a calendar, without touching what operators decided.

A row that nobody changed since a calendar put it there is replaced. A row that was added or edited
by hand stays, and one that was deleted comes back only with a file that an operator imports.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from pathlib import Path
from typing import Any, BinaryIO

from django.db import transaction
from django.db.models import Model

from instruments import models
from instruments.calendar.files import (
    CalendarRow,
    EntryKey,
    read_holidays,
    read_sessions,
)
from instruments.services import master_bump

RELEASE, FILE = "release", "file"
FOLDER = Path(__file__).parent
# A report names the first rows of each kind, and counts all.
KEPT_EXAMPLES = 20


@dataclass
class CalendarReport:
    """What loading a calendar did, or would do.

    Attributes:
        added, changed, unchanged: rows of the calendar by what they meant for the tables.
        edited: rows that stay as an operator entered or edited them, though the calendar differs.
        deleted: rows that an operator deleted, and that stay deleted.
        years: year -> how many of the calendar's days are in it.
        examples: kind -> the first rows of it.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    edited: int = 0
    deleted: int = 0
    years: Counter[int] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    dry_run: bool = False

    @property
    def writes(self) -> int:
        """How many rows are written, or would be."""
        return self.added + self.changed

    def count(self, kind: str, key: EntryKey) -> None:
        """Count a row of a kind, and keep its name if it is among the first."""
        setattr(self, kind, getattr(self, kind) + 1)
        kept = self.examples.setdefault(kind, [])
        if len(kept) < KEPT_EXAMPLES:
            kept.append(str(key))

    def __str__(self) -> str:
        counts = [f"{getattr(self, kind):,} {kind}" for kind in ("added", "changed", "unchanged")]
        if self.edited:
            counts.append(f"{self.edited:,} left as operators have them")
        if self.deleted:
            counts.append(f"{self.deleted:,} left out because operators deleted them")
        text = ", ".join(counts)
        if self.years:
            days = ", ".join(f"{number:,} of {year}" for year, number in sorted(self.years.items()))
            text += f" (days: {days})"
        return f"{text}; nothing was changed, this was a dry run" if self.dry_run else text


@dataclass(frozen=True)
class CalendarTables:
    """The tables that a calendar is loaded into: those of today, or of a migration's time."""

    holidays: Any = models.Holiday
    sessions: Any = models.TradingSession
    entries: Any = models.CalendarEntry
    database: str = "default"

    def stored(self) -> dict[EntryKey, Model]:
        """Return the stored rows by key."""
        found: dict[EntryKey, Model] = {}
        for day in self._rows(self.holidays):
            found[EntryKey(day.segment_id, "", day.date)] = day
        for row in self._rows(self.sessions):
            found[EntryKey(row.segment_id, row.phase, row.valid_from)] = row
        return found

    def entered(self) -> dict[EntryKey, Any]:
        """Return what calendars have loaded so far, by key."""
        entries = self._rows(self.entries)
        return {EntryKey(one.segment_id, one.phase, one.date): one for one in entries}

    def new(self, key: EntryKey) -> Any:
        """Return an empty row of the right table for a key."""
        if key.phase:
            return self.sessions(segment_id=key.segment, phase=key.phase, valid_from=key.date)
        return self.holidays(segment_id=key.segment, date=key.date)

    def add(self, rows: list[Any]) -> None:
        """Store new rows of either table."""
        for model in (self.holidays, self.sessions):
            self._rows(model).bulk_create([row for row in rows if type(row) is model])

    def note(
        self, digests: Mapping[EntryKey, str], origin: str, entered: Mapping[EntryKey, Any]
    ) -> None:
        """Note what a calendar has put into the rows of these keys."""
        new = []
        for key, digest in digests.items():
            entry = entered.get(key) or self.entries(
                segment_id=key.segment, phase=key.phase, date=key.date
            )
            entry.digest, entry.origin = digest, origin
            if key in entered:
                entry.save(using=self.database)
            else:
                new.append(entry)
        self._rows(self.entries).bulk_create(new)

    def _rows(self, model: Any) -> Any:
        return model.objects.using(self.database).order_by()


def release_calendar() -> list[CalendarRow]:
    """Return the special days and sessions that the release knows."""
    with (FOLDER / "holidays.csv").open("rb") as holidays:
        days = read_holidays(holidays)
    with (FOLDER / "sessions.csv").open("rb") as sessions:
        return days + read_sessions(sessions)


def calendar_import(*, file: BinaryIO, dry_run: bool = False) -> CalendarReport:
    """Load a file of special days: all of it, or nothing.

    Raises:
        BadFile: the file or some of its lines are wrong; nothing was changed.
    """
    return _load_and_bump(read_holidays(file), origin=FILE, dry_run=dry_run)


def calendar_release(*, dry_run: bool = False) -> CalendarReport:
    """Load the calendar of the release."""
    return _load_and_bump(release_calendar(), origin=RELEASE, dry_run=dry_run)


def _load_and_bump(rows: list[CalendarRow], *, origin: str, dry_run: bool) -> CalendarReport:
    with transaction.atomic():
        # First the version, whose row stays locked: two imports wait for each other.
        master_bump()
        report = load_calendar(rows, CalendarTables(), origin=origin)
        report.dry_run = dry_run
        if dry_run or not report.writes:
            transaction.set_rollback(True)
    return report


def load_calendar(
    rows: list[CalendarRow], tables: CalendarTables, *, origin: str
) -> CalendarReport:
    """Bring the tables up to date with a calendar; for the caller's transaction.

    Args:
        origin: RELEASE or FILE. A release changes only what a release has loaded, a file also what
            a release has: an operator's file knows better.
    """
    report = CalendarReport()
    stored, entered = tables.stored(), tables.entered()
    new: list[Any] = []
    digests: dict[EntryKey, str] = {}
    for row in rows:
        if not row.key.phase:
            report.years[row.key.date.year] += 1
        kind = _kind(row, stored.get(row.key), entered.get(row.key), origin)
        report.count(kind, row.key)
        if kind not in ("added", "changed"):
            continue
        target: Any = stored.get(row.key) or tables.new(row.key)
        for name, value in row.values.items():
            setattr(target, name, value)
        if kind == "changed":
            target.save(using=tables.database)
        else:
            new.append(target)
        digests[row.key] = digest_of(row.values)
    tables.add(new)
    tables.note(digests, origin, entered)
    return report


def _kind(row: CalendarRow, stored: Any, entry: Any, origin: str) -> str:
    """Return what a row of a calendar means for the tables, as a name of CalendarReport."""
    if stored is None:
        return "deleted" if entry is not None and origin == RELEASE else "added"
    if values_of(stored, row.values) == dict(row.values):
        return "unchanged"
    untouched = entry is not None and entry.digest == stored_digest(stored)
    if untouched and (origin == FILE or entry.origin == RELEASE):
        return "changed"
    return "edited"


def note_loaded(stored: Iterable[Any], tables: CalendarTables) -> None:
    """Note that sessions are as a release has loaded them, so that a newer one may replace them."""
    digests = {
        EntryKey(row.segment_id, row.phase, row.valid_from): stored_digest(row) for row in stored
    }
    tables.note(digests, RELEASE, tables.entered())


def unload_calendar(
    tables: CalendarTables, *, keep: Collection[EntryKey | tuple[str, str, date]]
) -> None:
    """Delete the rows that releases have loaded and nobody changed since, for older releases.

    Args:
        keep: keys of rows that stay.
    """
    stored = tables.stored()
    for key, entry in tables.entered().items():
        row: Any = stored.get(key)
        if row is None or key in keep or entry.origin != RELEASE:
            continue
        if entry.digest == stored_digest(row):
            row.delete(using=tables.database)


HOLIDAY_FIELDS = (
    *("name", "opens", "closes", "pre_opens", "pauses", "resumes", "source", "provisional"),
)
SESSION_FIELDS = ("opens", "closes", "valid_to", "source", "provisional")


def values_of(stored: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return these columns of a stored row."""
    return {name: getattr(stored, name) for name in names}


def stored_digest(stored: Any) -> str:
    """Return the digest of what a stored row says."""
    names = SESSION_FIELDS if hasattr(stored, "phase") else HOLIDAY_FIELDS
    return digest_of(values_of(stored, names))


def digest_of(values: Mapping[str, Any]) -> str:
    """Return a digest of the values of a row that says whether they are the same."""
    parts = [f"{name}={_plain(value)}" for name, value in sorted(values.items())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _plain(value: Any) -> str:
    if isinstance(value, time | date):
        return value.isoformat()
    return "" if value is None else str(value)
