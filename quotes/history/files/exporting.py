"""Writing history into files: CSV, plain or gzipped, Parquet and Arrow, a batch at a time."""

import gzip
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from instruments.keys import InstrumentKey
from quotes.errors import BadHistoryQuery, quoted
from quotes.history.candles.intervals import Interval
from quotes.history.formats.arrow import arrow_stream, parquet_file, require_pyarrow
from quotes.history.formats.columns import iso_time
from quotes.history.formats.csv_text import csv_text
from quotes.history.queries.batched import HistoryQuery, read_batches
from quotes.history.queries.ranges import TimeRange
from quotes.history.series_names import series_names
from quotes.runtime.progress import Progress

_STANDARD_OUTPUT = Path("-")
_SUFFIXES = {".csv": "csv", ".parquet": "parquet", ".arrow": "arrow"}


@dataclass(frozen=True)
class Export:
    """The rows to export, and their format.

    Attributes:
        keys: instruments; empty: all instruments with history.
        interval: of candles; None: ticks.
        format: csv, parquet or arrow.
        times: ms or iso, in CSV.
    """

    keys: Sequence[InstrumentKey]
    interval: Interval | None
    span: TimeRange
    format: str
    times: str


def format_of_file(path: Path) -> str:
    """Return the format of a file by its name; raise BadHistoryQuery for other names."""
    suffix = Path(path.name.removesuffix(".gz")).suffix
    if suffix not in _SUFFIXES or (path.suffix == ".gz" and suffix != ".csv"):
        raise BadHistoryQuery(
            f"the file name must end in .csv, .csv.gz, .parquet or .arrow, got {quoted(path.name)}"
            ": rename the file, or set --format"
        )
    return _SUFFIXES[suffix]


def history_export(*, export: Export, path: Path, progress: Progress) -> int:
    """Write a file and return how many rows it has; the file appears once it is complete.

    Args:
        path: `-` is the standard output.

    Raises:
        BadHistoryQuery: an instrument has no history.
        FormatMissing: the format needs a package that is not installed.
        OSError: the file cannot be written.
    """
    if export.format != "csv":
        require_pyarrow()
    keys = _keys_with_history(export.keys)
    batches = _counted(_export_batches(export, keys), progress)
    ticks = export.interval is None
    if export.format == "csv":
        pieces = csv_text(batches, ticks=ticks, times=export.times)
    else:
        write = parquet_file if export.format == "parquet" else arrow_stream
        pieces = write(batches, ticks=ticks)
    with _opened(path) as file:
        for piece in pieces:
            file.write(piece)
    return progress.count


def _keys_with_history(keys: Sequence[InstrumentKey]) -> list[InstrumentKey]:
    if not keys:
        return series_names.keys_with_history()
    numbers = series_names.series_of(keys)
    without = [str(key) for key in keys if key not in numbers]
    if without:
        raise BadHistoryQuery(f"no history of these instruments: {', '.join(without)}")
    return list(numbers)


def _export_batches(export: Export, keys: Sequence[InstrumentKey]) -> Iterator[list[Any]]:
    for key in keys:
        yield from read_batches(HistoryQuery((key,), export.interval, export.span))


def _counted(batches: Iterator[list[Any]], progress: Progress) -> Iterator[list[Any]]:
    for rows in batches:
        yield rows
        last = rows[-1]
        time = last.start if hasattr(last, "start") else last.timestamp
        progress.add(len(rows), f"{last.key} {iso_time(time)[:10]}")


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes its name when all is written."""
    if path == _STANDARD_OUTPUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("xb") as raw:
            if path.suffix == ".gz":
                with gzip.GzipFile(fileobj=raw, mode="wb") as packed:
                    yield packed  # type: ignore[misc]
            else:
                yield raw
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
