"""Importing files of ticks and candles; importing a file twice changes nothing.

A file is read twice: first all rows are checked, then they are written, some thousand in a
transaction. `tick_import.py` and `candle_import.py` write the records.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from django.db import Error

from quotes.errors import BadHistoryFile, HistoryDown
from quotes.history.files.candle_import import CandleImport
from quotes.history.files.import_files import HistoryFile
from quotes.history.files.import_report import HistoryImportReport
from quotes.history.files.import_rows import RowReader
from quotes.history.files.tick_import import TickImport
from quotes.history.formats.columns import iso_time
from quotes.runtime.progress import Progress

_BATCH_ROWS = 5000
_MAX_WARNINGS = 20


class _RecordWriter(Protocol):
    """Stores the records of a file."""

    def store(self, records: list[Any]) -> None:
        """Store the records that are new, in one transaction."""


@dataclass
class _Records:
    """The records of a file; each iteration reads the file again, and counts and reports bad rows.

    Attributes:
        warn: called with a sentence for each of the first bad rows.
    """

    file: HistoryFile
    reader: RowReader
    warn: Callable[[str], object]
    rows: int = 0
    bad: int = 0
    first: str = ""

    def __iter__(self) -> Iterator[Any]:
        self.rows = self.bad = 0
        reader = replace(self.reader)
        read = reader.tick if self.file.ticks else reader.candle
        for number, cells in self.file.rows():
            self.rows += 1
            try:
                record = read(cells)
            except BadHistoryFile as error:
                self.bad += 1
                self.first = self.first or f"row {number}: {error}"
                if self.bad <= _MAX_WARNINGS:
                    self.warn(f"row {number}: {error}")
                elif self.bad == _MAX_WARNINGS + 1:
                    self.warn("more bad rows follow; they are only counted")
                continue
            yield record


def history_import(
    *,
    file: HistoryFile,
    reader: RowReader,
    progress: Progress,
    warn: Callable[[str], object],
    skip_bad: bool = False,
    dry_run: bool = False,
) -> HistoryImportReport:
    """Import a file and return the counts of its rows.

    Args:
        warn: called with a sentence for each of the first bad rows.
        skip_bad: skip bad rows; otherwise one bad row stops the import before it writes.
        dry_run: only check the file.

    Raises:
        BadHistoryFile: the file cannot be read, or a row is bad.
        HistoryDown: the database failed; some rows may be stored: import the file again.
    """
    records = _Records(file, reader, warn)
    for _ in records:
        pass
    report = HistoryImportReport(ticks=file.ticks, rows=records.rows, bad=records.bad)
    if records.bad and not skip_bad:
        raise BadHistoryFile(
            f"{records.bad:,} of {records.rows:,} rows of {file.path} are bad, and nothing "
            f"was written; the first is {records.first}"
        )
    if dry_run:
        return report
    records.warn = lambda sentence: None
    try:
        writer: _RecordWriter = (TickImport if file.ticks else CandleImport)(
            reader.calendars, report
        )
        for batch in _batches(records):
            writer.store(batch)
            last = batch[-1]
            time = last.timestamp if file.ticks else last.bar.start
            progress.add(len(batch), f"{last.key} {iso_time(time)[:10]}")
    except Error as error:
        raise HistoryDown(f"the history database failed: {error}") from error
    if (records.rows, records.bad) != (report.rows, report.bad):
        raise BadHistoryFile(f"{file.path} changed during the import: import it again")
    return report


def _batches(records: _Records) -> Iterator[list[Any]]:
    batch = []
    for record in records:
        batch.append(record)
        if len(batch) == _BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch
