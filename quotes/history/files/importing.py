"""Bringing files of ticks and candles into history, so that doing it twice changes nothing.

A file is read twice: first all of it is checked, then it is written, some thousand rows in a
transaction. What happens to ticks and to candles is in `tick_import.py` and `candle_import.py`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from django.db import Error

from quotes.errors import BadHistoryFile, HistoryDown
from quotes.history.files.candle_import import CandleImport
from quotes.history.files.import_files import HistoryFile
from quotes.history.files.import_report import ImportReport
from quotes.history.files.import_rows import RowReader
from quotes.history.files.tick_import import TickImport
from quotes.history.formats.columns import iso_time
from quotes.runtime.progress import Progress

BATCH_ROWS = 5000
TOLD_ROWS = 20


class Writer(Protocol):
    """What stores the records of a file."""

    def store(self, records: list[Any]) -> None:
        """Store records in one transaction, those that are there already left out."""


@dataclass
class Records:
    """The records of a file, read anew each time; bad rows are told and counted.

    Attributes:
        complain: called with a sentence for each of the first bad rows.
    """

    file: HistoryFile
    reader: RowReader
    complain: Callable[[str], object]
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
                if self.bad <= TOLD_ROWS:
                    self.complain(f"row {number}: {error}")
                elif self.bad == TOLD_ROWS + 1:
                    self.complain("further bad rows are counted only")
                continue
            yield record


def history_import(
    *,
    file: HistoryFile,
    reader: RowReader,
    progress: Progress,
    complain: Callable[[str], object],
    skip_bad: bool = False,
    dry_run: bool = False,
) -> ImportReport:
    """Import a file and return what that did.

    Args:
        skip_bad: leave bad rows out; else with any of them nothing is written.
        dry_run: check the file only.

    Raises:
        BadHistoryFile: the file cannot be read, or a row is bad.
        HistoryDown: the database failed; a part may be written, importing again goes on.
    """
    records = Records(file, reader, complain)
    for _ in records:
        pass
    report = ImportReport(ticks=file.ticks, rows=records.rows, bad=records.bad)
    if records.bad and not skip_bad:
        raise BadHistoryFile(
            f"{records.bad:,} of {records.rows:,} rows of {file.path} are bad, nothing was "
            f"written; the first is {records.first}"
        )
    if dry_run:
        return report
    records.complain = lambda sentence: None
    try:
        writer: Writer = (TickImport if file.ticks else CandleImport)(reader.calendars, report)
        for batch in batches(records):
            writer.store(batch)
            last = batch[-1]
            time = last.timestamp if file.ticks else last.bar.start
            progress.add(len(batch), f"{last.key} {iso_time(time)[:10]}")
    except Error as error:
        raise HistoryDown(f"the database of history failed: {error}") from error
    if (records.rows, records.bad) != (report.rows, report.bad):
        raise BadHistoryFile(f"{file.path} was changed while it was read: import it again")
    return report


def batches(records: Records) -> Iterator[list[Any]]:
    batch = []
    for record in records:
        batch.append(record)
        if len(batch) == BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch
