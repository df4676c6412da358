"""Files of ticks or candles to import, row by row as text: CSV, plain or gzipped, and Parquet.

A column may have any of several names: that of our exports, of recordings, or of vendors.
`import_rows.py` parses the rows.
"""

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import IO, Any

from quotes.errors import BadHistoryFile, quoted
from quotes.history.formats.arrow import require_pyarrow
from quotes.history.formats.csv_text import plain_name
from quotes.ticks import MAX_TICK_BYTES

# The longest tick, with each of its quotes doubled, and room for the other cells.
_MAX_LINE = 3 * MAX_TICK_BYTES
_BATCH_ROWS = 2000

# Our name of a column -> its other names.
ALIASES = {
    "instrument": ("symbol", "tradingsymbol", "key"),
    "time": ("timestamp", "start", "date", "datetime"),
    "price": ("ltp", "last_price"),
    "volume": (),
    "oi": ("open_interest",),
    **dict.fromkeys(("interval", "open", "high", "low", "close", "ticks"), ()),
    **dict.fromkeys(("position", "epoch", "seq", "shown", "others"), ()),
    # Of candles in a backup.
    **dict.fromkeys(("ends", "final", "revised", "day_volume", "fallen_from"), ()),
}
_COLUMN_OF = {alias: name for name, aliases in ALIASES.items() for alias in (name, *aliases)}
_TICK_NEEDS = frozenset({"time", "price"})
_CANDLE_NEEDS = frozenset({"time", "open", "high", "low", "close"})

Cells = Mapping[str, str]  # our name of a column -> its text; "": no value


class HistoryFile:
    """A file that can be read as often as needed.

    Attributes:
        ticks: whether it holds ticks; otherwise candles.
        columns: our names of the recognized columns.

    Raises:
        BadHistoryFile: it cannot be read, or has the columns of neither ticks nor candles.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._parquet = False
        with self._reading():
            with path.open("rb") as file:
                self._parquet = file.read(4) == b"PAR1"
            names = self._parquet_names() if self._parquet else self._csv_names()
        self._names = [_COLUMN_OF.get(name.strip().lower(), "") for name in names]
        self.columns = frozenset(self._names) - {""}
        repeated = {name for name in self.columns if self._names.count(name) > 1}
        if repeated:
            raise BadHistoryFile(f"{path} has several columns for {', '.join(sorted(repeated))}")
        if not (self.columns >= _TICK_NEEDS or self.columns >= _CANDLE_NEEDS):
            raise BadHistoryFile(
                f"{path} needs the columns time and price, or time, open, high, low and close, "
                f"got {quoted(','.join(names))}"
            )
        self.ticks = self.columns >= _TICK_NEEDS

    def rows(self) -> Iterator[tuple[int, Cells]]:
        """Yield the number of each row (in CSV: of its line) and its cells.

        Raises:
            BadHistoryFile: the file is damaged.
        """
        with self._reading():
            yield from self._parquet_rows() if self._parquet else self._csv_rows()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError) as error:
            raise BadHistoryFile(f"cannot read {self.path}: {error}") from error

    # -- CSV --------------------------------------------------------------------------------------

    @contextmanager
    def _opened(self) -> Iterator[IO[str]]:
        with self.path.open("rb") as raw:
            gzipped = raw.read(2) == b"\x1f\x8b"
        opener: Any = gzip.open if gzipped else open
        with opener(self.path, "rt", encoding="utf-8-sig", newline="") as file:
            yield file

    def _csv_names(self) -> list[str]:
        with self._opened() as file:
            return next(csv.reader(_bounded_lines(file)), [])

    def _csv_rows(self) -> Iterator[tuple[int, Cells]]:
        with self._opened() as file:
            reader = csv.reader(_bounded_lines(file))
            next(reader)
            for cells in reader:
                if cells:
                    # A row of another length is bad: its only cell has no name.
                    short = len(cells) != len(self._names)
                    row = dict(zip(self._names, cells, strict=False))
                    if "instrument" in row:
                        row["instrument"] = plain_name(row["instrument"])
                    yield reader.line_num, {"": "length"} if short else row

    # -- Parquet ----------------------------------------------------------------------------------

    def _parquet_names(self) -> list[str]:
        with self._parquet_file() as file:
            return list(file.schema_arrow.names)

    @contextmanager
    def _parquet_file(self) -> Iterator[Any]:
        pa = require_pyarrow()
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(self.path) as file:
                yield file
        except pa.ArrowException as error:
            raise BadHistoryFile(f"cannot read {self.path}: {error}") from error

    def _parquet_rows(self) -> Iterator[tuple[int, Cells]]:
        number = 0
        with self._parquet_file() as file:
            named = [(index, name) for index, name in enumerate(self._names) if name]
            for batch in file.iter_batches(_BATCH_ROWS):
                columns = [_values_of(batch.column(index)) for index, _ in named]
                for values in zip(*columns, strict=True):
                    number += 1
                    texts = map(_text_of, values)
                    yield number, dict(zip((name for _, name in named), texts, strict=True))


def _bounded_lines(file: IO[str]) -> Iterator[str]:
    """Yield the lines of a file; raise csv.Error for a line of _MAX_LINE characters."""
    for line in iter(partial(file.readline, _MAX_LINE), ""):
        if len(line) == _MAX_LINE:
            raise csv.Error(f"a line must be shorter than {_MAX_LINE} characters")
        yield line


def _values_of(column: Any) -> list[Any]:
    """Return the values of a column, times cut to milliseconds; with a zone, as Unix time."""
    pa = require_pyarrow()
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ms", tz=column.type.tz), safe=False)
        if column.type.tz is not None:
            column = column.cast(pa.int64())  # a tenth of the time that datetimes take
    values: list[Any] = column.to_pylist()
    return values


def _text_of(value: object) -> str:
    """Return the value as a cell of CSV; a binary number in its shortest form."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        text = format(value, "f")
        # Trailing zeros come from the scale of the column, not from the price.
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value)
