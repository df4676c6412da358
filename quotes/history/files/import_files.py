"""Files of ticks or candles that are to be imported: row by row as text, whatever wrote them.

CSV, plain or gzipped, and Parquet. Columns go by several names, those of our own exports, of
recordings and of vendors among them. What a row means is not here but in `import_rows.py`.
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
from quotes.runtime.clock import unix_ms

MAX_LINE = 32_768
BATCH_ROWS = 2000

# Our name of a column -> what else it is called.
ALIASES = {
    "instrument": ("symbol", "tradingsymbol", "key"),
    "time": ("timestamp", "start", "date", "datetime"),
    "price": ("ltp", "last_price"),
    "volume": (),
    "oi": ("open_interest",),
    **dict.fromkeys(("interval", "open", "high", "low", "close", "ticks"), ()),
    **dict.fromkeys(("position", "epoch", "seq", "shown", "others"), ()),
}
OURS = {alias: name for name, aliases in ALIASES.items() for alias in (name, *aliases)}
TICK_NEEDS = frozenset({"time", "price"})
CANDLE_NEEDS = frozenset({"time", "open", "high", "low", "close"})

Cells = Mapping[str, str]  # our name of a column -> its text; "": no value


class HistoryFile:
    """A file that can be read as often as needed.

    Attributes:
        ticks: whether it holds ticks; else candles.
        columns: our names of those columns that are known.

    Raises:
        BadHistoryFile: it cannot be read, or its columns are those of neither.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parquet = False
        with self.reading():
            with path.open("rb") as file:
                self.parquet = file.read(4) == b"PAR1"
            names = self.parquet_names() if self.parquet else self.csv_names()
        self.names = [OURS.get(name.strip().lower(), "") for name in names]
        self.columns = frozenset(self.names) - {""}
        repeated = {name for name in self.columns if self.names.count(name) > 1}
        if repeated:
            raise BadHistoryFile(f"{path} has two columns that mean {', '.join(sorted(repeated))}")
        if not (self.columns >= TICK_NEEDS or self.columns >= CANDLE_NEEDS):
            raise BadHistoryFile(
                f"{path} needs a time and a price, or a time, open, high, low and close among its "
                f"columns, was {quoted(','.join(names))}"
            )
        self.ticks = self.columns >= TICK_NEEDS

    def rows(self) -> Iterator[tuple[int, Cells]]:
        """Yield the number of each row (of CSV: its line) and its cells.

        Raises:
            BadHistoryFile: the file is damaged.
        """
        with self.reading():
            yield from self.parquet_rows() if self.parquet else self.csv_rows()

    @contextmanager
    def reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError) as error:
            raise BadHistoryFile(f"cannot read {self.path}: {error}") from error

    # -- CSV --------------------------------------------------------------------------------------

    @contextmanager
    def opened(self) -> Iterator[IO[str]]:
        with self.path.open("rb") as raw:
            gzipped = raw.read(2) == b"\x1f\x8b"
        opener: Any = gzip.open if gzipped else open
        with opener(self.path, "rt", encoding="utf-8-sig", newline="") as file:
            yield file

    def csv_names(self) -> list[str]:
        with self.opened() as file:
            return next(csv.reader(bounded(file)), [])

    def csv_rows(self) -> Iterator[tuple[int, Cells]]:
        with self.opened() as file:
            reader = csv.reader(bounded(file))
            next(reader)
            for cells in reader:
                if cells:
                    # A row of another length has cells without names: it is found to be bad.
                    short = len(cells) != len(self.names)
                    row = dict(zip(self.names, cells, strict=False))
                    yield reader.line_num, {"": "length"} if short else row

    # -- Parquet ----------------------------------------------------------------------------------

    def parquet_names(self) -> list[str]:
        with self.parquet_file() as file:
            return list(file.schema_arrow.names)

    @contextmanager
    def parquet_file(self) -> Iterator[Any]:
        pa = require_pyarrow()
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(self.path) as file:
                yield file
        except pa.ArrowException as error:
            raise BadHistoryFile(f"cannot read {self.path}: {error}") from error

    def parquet_rows(self) -> Iterator[tuple[int, Cells]]:
        number = 0
        with self.parquet_file() as file:
            known = [(place, name) for place, name in enumerate(self.names) if name]
            for batch in file.iter_batches(BATCH_ROWS):
                columns = [values_of(batch.column(place)) for place, _ in known]
                for values in zip(*columns, strict=True):
                    number += 1
                    texts = map(text_of, values)
                    yield number, dict(zip((name for _, name in known), texts, strict=True))


def bounded(file: IO[str]) -> Iterator[str]:
    """Yield the lines of a file, none of them endless."""
    for line in iter(partial(file.readline, MAX_LINE), ""):
        if len(line) == MAX_LINE:
            raise csv.Error(f"a line has fewer than {MAX_LINE} characters")
        yield line


def values_of(column: Any) -> list[Any]:
    """Return the values of a column, times cut to milliseconds."""
    pa = require_pyarrow()
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ms", tz=column.type.tz), safe=False)
    values: list[Any] = column.to_pylist()
    return values


def text_of(value: object) -> str:
    """Return what a cell of CSV would hold; of a binary number its shortest form."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        if value.tzinfo is None:
            return value.isoformat()
        return str(unix_ms(value))
    if isinstance(value, Decimal):
        text = format(value, "f")
        # The zeros are the column's, not the price's.
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value)
