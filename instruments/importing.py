"""Bringing the master up to date with a file of instruments, all of it or nothing.

What files look like is in `formats/`; single rows are saved by `services.py`.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from instruments.bulk import Writer
from instruments.formats.reading import FileEntry, Rejection
from instruments.formats.rows import MasterRow
from instruments.import_report import ImportReport
from instruments.models import Instrument, MasterVersion, Segment
from instruments.renaming import find_renames, former_name_add, instrument_rename
from instruments.services import master_bump

# Rows that are looked up and written together; SQLite takes 999 parameters in a statement.
BATCH = 900

# What a row of a file may say, in the order of changes.
FILE_FIELDS = (
    *("name", "instrument_type", "underlying", "expiry", "strike", "lot_size", "tick_size"),
    *("exchange_token", "instrument_token", "isin"),
)
TEXTS = frozenset(("name", "underlying", "isin"))
WRITTEN = (
    *FILE_FIELDS,
    "segment_id",
    "symbol",
    "active",
    "last_seen",
    "master_version",
    "first_seen",
)
# In these None means none; in the others, that the file has no such field.
_ALWAYS_IN_FILE = frozenset(("instrument_type", "underlying", "expiry", "strike"))


class StoredInstrument(NamedTuple):
    """An instrument of the file, as the master has it."""

    id: int
    active: bool
    first_seen: datetime
    # in the order of FILE_FIELDS
    values: tuple[Any, ...]


def instruments_import(
    *,
    rows: Iterable[FileEntry],
    deactivate_missing: bool = False,
    skip_bad_rows: bool = False,
    dry_run: bool = False,
) -> ImportReport:
    """Update the master from the rows of a file, in one transaction.

    An instrument is identified by its segment and symbol; one that was inactive becomes active
    again. One whose symbol or ISIN has changed (`renaming.py`) is found by the former one, too.
    Fields that the file does not have stay. If anything changed, the master gets a new
    version.

    Args:
        rows: a `formats.reading.MasterFile`, or the like; read once, in batches.
        deactivate_missing: instruments of the segments in the file that the file does not have
            become inactive; none do if a row was rejected.
        skip_bad_rows: leave out rows that cannot be instruments; else a single one means that
            nothing is changed.
        dry_run: do it all, then undo it.

    Raises:
        BadFile: from the rows; nothing was changed.
    """
    report = ImportReport(dry_run=dry_run)
    with transaction.atomic():
        # Imports wait for one another here, so that what one has looked up stays true.
        list(MasterVersion.objects.select_for_update().filter(pk=1))
        Import(report).run(rows, deactivate_missing=deactivate_missing)
        report.refused = bool(report.rejected) and not skip_bad_rows
        if report.refused or dry_run:
            transaction.set_rollback(True)
    return report


class Import:
    """One import under way, within its transaction."""

    def __init__(self, report: ImportReport) -> None:
        self.report = report
        # Every row that the file has carries this time in the end, and no other row does.
        self.now: datetime = timezone.now()
        self.segments = set(Segment.objects.values_list("code", flat=True))
        self.seen: set[tuple[str, str]] = set()
        # segment -> tokens that an instrument did not have before
        self.taken: dict[str, list[int]] = {}
        # Rows whose symbols no active instrument had, in segments that had some.
        self.appeared: list[MasterRow] = []
        self.filled = set(
            Instrument.objects.filter(active=True)
            .order_by()
            .values_list("segment", flat=True)
            .distinct()
        )
        self.version = 0
        self.inserting, self.updating = Writer(WRITTEN), Writer((*WRITTEN, "id"))

    def run(self, rows: Iterable[FileEntry], *, deactivate_missing: bool) -> None:
        good = self.good(rows)
        while batch := list(islice(good, BATCH)):
            self.write(batch)
        self.follow_renames(whole_file=deactivate_missing)
        self.release_tokens()
        if deactivate_missing:
            self.report.kept_missing = bool(self.report.rejected)
            if not self.report.kept_missing:
                self.deactivate()

    def good(self, rows: Iterable[FileEntry]) -> Iterator[MasterRow]:
        """Yield the rows that count, and count the others."""
        for entry in rows:
            if isinstance(entry, Rejection):
                self.report.reject(entry)
            elif (row := entry[1]) is None or row.segment not in self.segments:
                self.report.outside += 1
            elif (key := (row.segment, row.symbol)) in self.seen:
                self.report.repeated += 1
            else:
                self.seen.add(key)
                self.report.segments[row.segment] += 1
                yield row

    def write(self, batch: list[MasterRow]) -> None:
        stored = self.stored(batch)
        new, changed, unchanged = [], [], []
        for row in batch:
            found = stored.get((row.segment, row.symbol))
            values = tuple(getattr(row, name) for name in FILE_FIELDS)
            if found is None:
                new.append(self.created(row, values))
            elif changes := self.changes(found, values):
                changed.append(self.changed(row, found, changes))
            else:
                unchanged.append(found.id)
        if new:
            self.inserting.insert(new)
        if changed:
            self.updating.upsert(changed)
        if unchanged:
            Instrument.objects.filter(pk__in=unchanged).update(last_seen=self.now)
        self.report.new += len(new)
        self.report.changed += len(changed)
        self.report.unchanged += len(unchanged)

    def stored(self, batch: list[MasterRow]) -> dict[tuple[str, str], StoredInstrument]:
        """Return the stored instruments of the rows: the active one, or the one last seen."""
        symbols: dict[str, list[str]] = {}
        for row in batch:
            symbols.setdefault(row.segment, []).append(row.symbol)
        return {
            (segment, found[0]): StoredInstrument(found[1], found[2], found[3], found[4:])
            for segment, wanted in symbols.items()
            for found in Instrument.objects.filter(segment=segment, symbol__in=wanted)
            .order_by("active", "last_seen")
            .values_list("symbol", "id", "active", "first_seen", *FILE_FIELDS)
        }

    def changes(self, found: StoredInstrument, values: tuple[object, ...]) -> dict[str, object]:
        """Return the fields that differ in the file: field -> its new value."""
        changes = {
            name: new
            for name, old, new in zip(FILE_FIELDS, found.values, values, strict=True)
            if new != old and (new is not None or name in _ALWAYS_IN_FILE)
        }
        return changes if found.active else {**changes, "active": True}

    def created(self, row: MasterRow, values: tuple[Any, ...]) -> list[Any]:
        self.took_token(row)
        self.note_appearance(row)
        self.report.example("new", f"{row.segment}:{row.symbol}")
        # A text that the file does not have is empty, anything else is null.
        written = [
            "" if value is None and name in TEXTS else value
            for name, value in zip(FILE_FIELDS, values, strict=True)
        ]
        return [*written, *self.frame(row), self.now]

    def changed(
        self, row: MasterRow, found: StoredInstrument, changes: dict[str, Any]
    ) -> list[Any]:
        if "exchange_token" in changes or "active" in changes:
            self.took_token(row)
        if "active" in changes:
            self.note_appearance(row)
        before = dict(zip(FILE_FIELDS, found.values, strict=True))
        if before["isin"] and changes.get("isin"):
            self.bumped()
            former_name_add(segment=row.segment, name=before["isin"], instrument_id=found.id)
        differences = ", ".join(
            f"{name} {before.get(name, 'no')} -> {new}" for name, new in changes.items()
        )
        self.report.example("changed", f"{row.segment}:{row.symbol}: {differences}")
        values = [changes.get(name, value) for name, value in before.items()]
        return [*values, *self.frame(row), found.first_seen, found.id]

    def frame(self, row: MasterRow) -> tuple[Any, ...]:
        return row.segment, row.symbol, True, self.now, self.bumped()

    def note_appearance(self, row: MasterRow) -> None:
        if row.segment in self.filled:
            self.appeared.append(row)

    def took_token(self, row: MasterRow) -> None:
        if row.exchange_token is not None:
            self.taken.setdefault(row.segment, []).append(row.exchange_token)

    def follow_renames(self, *, whole_file: bool) -> None:
        """Let instruments that the file has under other symbols go on with these."""
        missing = ~Q(last_seen=self.now)
        for old, new, is_proven in find_renames(self.appeared, missing, whole_file=whole_file):
            kind = "renamed" if is_proven else "perhaps renamed"
            self.report.example(kind, f"{old} -> {new.segment}:{new.symbol}")
            if is_proven:
                instrument_rename(
                    old=old, segment=new.segment, symbol=new.symbol, version=self.bumped()
                )
                self.report.renamed += 1

    def release_tokens(self) -> None:
        """Take their tokens from instruments of older files whose tokens others have now."""
        for segment, tokens in self.taken.items():
            for start in range(0, len(tokens), BATCH):
                losing = Instrument.objects.filter(
                    segment=segment,
                    exchange_token__in=tokens[start : start + BATCH],
                    active=True,
                ).exclude(last_seen=self.now)
                keys = [str(instrument) for instrument in losing]
                if keys:
                    losing.update(
                        exchange_token=None, instrument_token=None, master_version=self.bumped()
                    )
                for key in keys:
                    self.report.example("released", key)
                self.report.released += len(keys)

    def deactivate(self) -> None:
        missing = Instrument.objects.filter(
            segment__in=list(self.report.segments), active=True
        ).exclude(last_seen=self.now)
        for instrument in missing[:100]:
            self.report.example("deactivated", str(instrument))
        if missing.exists():
            self.report.deactivated = missing.update(active=False, master_version=self.bumped())

    def bumped(self) -> int:
        """Return the version of the master that this import makes; it moves at the first change."""
        self.version = self.version or master_bump()
        return self.version
