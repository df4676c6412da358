"""Restoring history: rows as they were stored into empty tables, or those that are missing.

Ticks that are stored stay as they are, so backups that overlap add each tick once. Into tables with
history of their own, ticks and candles are imported as by `import_history`, which also makes the
candles that both have a part of.
"""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any

from django.db import connections, transaction

from instruments.errors import BadSymbol
from instruments.keys import InstrumentKey
from quotes.backup.folder import Backup, Interrupted, Stopped, never
from quotes.backup.history import (
    CANDLES,
    GAP_FIELDS,
    GAPS,
    POSITION_FIELDS,
    POSITIONS,
    SERIES,
    TICKS,
)
from quotes.errors import BadBackup, BadHistoryFile, QuotesError
from quotes.history.candles.bars import Bar
from quotes.history.candles.calendars import Calendars
from quotes.history.candles.deriving import CandleChange
from quotes.history.candles.intervals import Interval
from quotes.history.files.candle_import import CandleImport
from quotes.history.files.import_files import Cells, HistoryFile
from quotes.history.files.import_report import HistoryImportReport
from quotes.history.files.import_rows import RowReader
from quotes.history.files.tick_import import TickImport
from quotes.history.models import Candle, Gap, LogPosition, Series, Tick
from quotes.history.router import ALIAS
from quotes.history.rows import TickValues
from quotes.history.tables.log_positions import LOST, arrived_at
from quotes.history.tables.opening import open_tables
from quotes.store.tick_log import position_order
from quotes.ticks import decode_object

_BATCH_ROWS = 5000
_SERIES_ROWS = 500
_IMPORTED = (Interval.MINUTE, Interval.DAY)

Count = Callable[[int, str], object]


class HistoryRestore:
    """Restores history of one backup after another, the oldest first; for one thread.

    Attributes:
        ticks, candles: how many rows the backups have.
        refused: rows that an import into existing history did not take.
    """

    def __init__(self, *, count: Count, stopped: Stopped = never) -> None:
        self._count = count
        self._stopped = stopped
        self._tables = open_tables()
        self._tables.prepare()
        self._numbers: dict[str, int] = {}
        self.ticks = self.candles = self.refused = 0

    def restore(self, backup: Backup) -> None:
        """Write the rows of a backup; a candle of a later backup replaces one of an earlier.

        Raises:
            BadBackup: a row is not one of a backup.
            Interrupted: between two batches.
        """
        self._add_series(backup)
        for batch in _batches(_file(backup, TICKS), tick_of, self._stopped):
            self._insert([(self._number(key), *values) for key, values in batch])
            self.ticks += len(batch)
            self._count(len(batch), batch[-1][0])
        for batch in _batches(_file(backup, CANDLES), candle_of, self._stopped):
            changes = {
                (key, interval, bar.start): CandleChange(self._number(key), interval, bar)
                for key, interval, bar in batch
            }
            with transaction.atomic(using=ALIAS):
                self._tables.put_candles(list(changes.values()))
            self.candles += len(batch)
            self._count(len(batch), batch[-1][0])
        self._add_gaps(backup)
        self._add_positions(backup)

    def merge(self, backup: Backup) -> None:
        """Import what the tables do not have yet; raise BadBackup, Interrupted as `restore` does.

        Positions in the log stay those of this database.
        """
        self._add_series(backup)
        calendars = Calendars()()
        reader = RowReader(resolve=InstrumentKey.parse, calendars=calendars)
        report = HistoryImportReport(ticks=True)
        ticks = TickImport(calendars, report)
        for batch in _batches(_file(backup, TICKS), self._imported(reader.tick), self._stopped):
            if records := [record for record in batch if record is not None]:
                ticks.store(records)
                self._count(len(records), str(records[-1].key))
            self.ticks += len(batch)
        candles = CandleImport(calendars, HistoryImportReport(ticks=False))
        chosen = self._imported(reader.candle, only={one.label for one in _IMPORTED})
        for batch in _batches(_file(backup, CANDLES), chosen, self._stopped):
            if records := [record for record in batch if record is not None]:
                candles.store(records)
                self._count(len(records), str(records[-1].key))
            self.candles += len(batch)
        self._add_gaps(backup)

    def add_gaps(self, lasts: dict[int, str], *, now_ms: int) -> None:
        """Record that ticks are missing from the end of a shard's log until now.

        Args:
            lasts: shard -> the id of its last entry.
        """
        for shard, last in lasts.items():
            if arrived := arrived_at(last):
                gap = Gap(shard=shard, reason=LOST, begins=arrived, ends=max(arrived, now_ms))
                gap.found_at = now_ms
                self._tables.add_gap(gap)

    def _imported(self, read: Callable[[Cells], Any], only: set[str] | None = None) -> Any:
        def one(cells: Cells) -> Any:
            if only is not None and cells.get("interval") not in only:
                return None
            try:
                return read(cells)
            except BadHistoryFile:
                self.refused += 1
                return None

        return one

    def _insert(self, rows: list[TickValues]) -> None:
        """Store ticks, in one transaction unless their days need too many locks."""
        if not self._tables.make_room([row[1] for row in rows]) and len(rows) > 1:
            half = len(rows) // 2
            self._insert(rows[:half])
            self._insert(rows[half:])
            return
        with transaction.atomic(using=ALIAS):
            self._tables.insert_ticks(rows)

    def _number(self, key: str) -> int:
        try:
            return self._numbers[key]
        except KeyError:
            raise BadBackup(f"a row of history is of {key!r}, which is no series of it") from None

    def _add_series(self, backup: Backup) -> None:
        rows = backup.rows(SERIES, tuple[str, str])
        while chunk := [key for key, _ in islice(rows, _SERIES_ROWS)]:
            try:
                for key in chunk:
                    InstrumentKey.parse(key)
            except BadSymbol as error:
                raise BadBackup(f"a series of history has no valid name: {error}") from error
            self._numbers |= self._tables.series(chunk)

    def _add_gaps(self, backup: Backup) -> None:
        for row in backup.rows(GAPS, tuple[int, str, int, int, int | None, int]):
            values = dict(zip(GAP_FIELDS, row, strict=True))
            found_at = values.pop("found_at")
            if not Gap.objects.filter(**values).exists():
                self._tables.add_gap(Gap(**values, found_at=found_at))

    def _add_positions(self, backup: Backup) -> None:
        for row in backup.rows(POSITIONS, tuple[int, str, int, int, str, str, int]):
            values = dict(zip(POSITION_FIELDS, row, strict=True))
            stored = LogPosition.objects.filter(shard=values["shard"]).first()
            if stored is None or position_order(stored.entry_id) < position_order(row[1]):
                LogPosition(**values).save()


def filled_history() -> dict[str, int]:
    """Return what history is in the database, with the counts of small tables; 0: not counted."""
    found = {"series of history": Series.objects.count()}
    found = {name: count for name, count in found.items() if count}
    for name, model in (("ticks", Tick), ("candles", Candle)):
        if model._base_manager.using(ALIAS).exists():
            found[name] = 0
    return found


def clear_history() -> None:
    """Delete all history; in SQLite the space is used again."""
    models = (Tick, Candle, Gap, LogPosition, Series)
    with transaction.atomic(using=ALIAS), connections[ALIAS].cursor() as cursor:
        for model in models:
            table = model._meta.db_table
            if connections[ALIAS].vendor == "postgresql":
                cursor.execute(f"TRUNCATE {table}")
            else:
                cursor.execute(f"DELETE FROM {table}")  # noqa: S608


def _file(backup: Backup, name: str) -> HistoryFile | None:
    for suffix in ("parquet", "csv.gz"):
        record = backup.manifest.file(f"{name}.{suffix}")
        if record is not None:
            try:
                return HistoryFile(backup.file_path(record))
            except BadHistoryFile as error:
                raise BadBackup(str(error)) from error
    return None


def _batches(
    file: HistoryFile | None, read: Callable[[Cells], Any], stopped: Stopped
) -> Iterator[Sequence[Any]]:
    """Yield what is read of the rows of a file, in batches."""
    if file is None:
        return
    try:
        rows = (read(cells) for _, cells in file.rows())
        while batch := list(islice(rows, _BATCH_ROWS)):
            if stopped():
                raise Interrupted
            yield batch
    except (QuotesError, ValueError, ArithmeticError, KeyError) as error:
        if isinstance(error, BadBackup):
            raise
        raise BadBackup(f"{file.path.name} has a row that cannot be read: {error}") from error


def tick_of(cells: Cells) -> tuple[str, tuple[Any, ...]]:
    """Return key and values of a tick, each with the digits and the text that were stored."""
    others = cells["others"]
    if others:
        decode_object(others.encode())
    _ = Decimal(cells["price"])
    return cells["instrument"], (
        int(cells["time"]),
        int(cells["position"]),
        int(cells["epoch"]),
        int(cells["seq"]),
        cells["shown"] == "true",
        cells["price"],
        _whole(cells["volume"]),
        _whole(cells["oi"]),
        f",{others[1:-1]}" if others else None,
    )


def candle_of(cells: Cells) -> tuple[str, Interval, Bar]:
    opened, high, low, close = (Decimal(cells[name]) for name in ("open", "high", "low", "close"))
    bar = Bar(
        *(int(cells["time"]), int(cells["ends"]), opened, high, low, close),
        *(_whole(cells["volume"]), _whole(cells["oi"]), int(cells["ticks"])),
        volume_state=(int(cells["day_volume"]), int(cells["fallen_from"])),
        final=cells["final"] == "true",
        revised=cells["revised"] == "true",
    )
    return cells["instrument"], Interval.parse(cells["interval"]), bar


def _whole(text: str) -> int | None:
    return int(text) if text else None
