"""Reading a whole file: which format it is, and its rows one at a time."""

from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from instruments.errors import BadFile, quoted
from instruments.formats import angel, dhan, fyers, kite, upstox
from instruments.formats.cells import Fields
from instruments.formats.naming import MonthEnds, month_ends, named
from instruments.formats.rows import BadRow, MasterRow, Unnamed, check_row
from instruments.formats.source import Record, csv_records, is_json, json_records, unpacked


class Layout(NamedTuple):
    """How one kind of file of one vendor is told from others and parsed."""

    vendor: str
    columns: frozenset[str]
    parse: Callable[[Fields], MasterRow | Unnamed | None]
    # A first pass looks for the monthly expiries, see naming.py.
    surveyed: bool = False


CSV_LAYOUTS = (
    Layout("kite", kite.COLUMNS, kite.parse),
    Layout("upstox", upstox.CSV_COLUMNS, upstox.parse_csv),
    Layout("dhan", dhan.COMPACT_COLUMNS, dhan.parse_compact, surveyed=True),
    Layout("dhan", dhan.DETAILED_COLUMNS, dhan.parse_detailed, surveyed=True),
    Layout("angel", angel.COLUMNS, angel.parse, surveyed=True),
)
# Without a header: told by what its first row holds.
FYERS_CSV = Layout("fyers", frozenset(fyers.CSV_COLUMNS), fyers.parse)
JSON_LAYOUTS = (
    Layout("upstox", upstox.COLUMNS, upstox.parse),
    Layout("angel", angel.COLUMNS, angel.parse, surveyed=True),
    Layout("fyers", fyers.COLUMNS, fyers.parse),
    Layout("kite", kite.COLUMNS, kite.parse),
)
FORMATS = ("kite", "upstox", "angel", "dhan", "fyers")


class Rejection(NamedTuple):
    """A row that cannot be an instrument: its line, its number among the rows, and why."""

    line: int
    record: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}, record {self.record}: {self.reason}"


class RowPosition(NamedTuple):
    """The line of a row in the file, and its number among the rows."""

    line: int
    record: int


# A row and its position; None instead of the row if it is of no segment of ours.
FileEntry = tuple[RowPosition, MasterRow | None] | Rejection


class MasterFile:
    """A vendor's file; iterating reads it from the beginning, one row at a time.

    Args:
        file: a seekable binary file, plain or gzip; it stays the caller's to close.
        vendor: one of FORMATS, or empty to recognise it by the header or the first record.
        max_bytes: the most unpacked bytes that are read.

    Raises:
        BadFile: the file is empty, broken, too large, or of no format or another one than said;
            while it is created or while it is read.
    """

    def __init__(self, file: BinaryIO, *, vendor: str = "", max_bytes: int) -> None:
        self.file = file
        self.max_bytes = max_bytes
        # From the cells of a row to its fields; None: they are named already (JSON).
        self.header: list[str] | None = None
        self.has_header = False
        self.layout = self.recognise(vendor)

    @property
    def vendor(self) -> str:
        """The vendor whose format the file has."""
        return self.layout.vendor

    def records(self) -> Iterator[Record]:
        stream = unpacked(self.file, max_bytes=self.max_bytes)
        try:
            return json_records(stream) if is_json(stream) else csv_records(stream)
        except BadFile as error:
            error.line = 1
            raise

    def recognise(self, vendor: str) -> Layout:
        first = next(self.records(), None)
        if first is None:
            raise BadFile("the file is empty")
        layouts: tuple[Layout, ...]
        if isinstance(first.fields, dict):
            layouts, columns = JSON_LAYOUTS, list(first.fields)
        elif is_fyers_row(first.fields):
            layouts, columns = (FYERS_CSV,), list(fyers.CSV_COLUMNS)
            self.header = columns
        else:
            layouts, columns = CSV_LAYOUTS, [cell.strip() for cell in first.fields]
            self.header, self.has_header = columns, True
        fitting = [layout for layout in layouts if layout.columns <= set(columns)]
        if not fitting:
            raise BadFile(
                f"not an instrument file of {' or '.join(FORMATS)}: "
                f"it begins with {quoted(','.join(columns))}",
                line=first.line,
            )
        if vendor and fitting[0].vendor != vendor:
            raise BadFile(
                f"this is a file of {fitting[0].vendor}, not of {vendor}", line=first.line
            )
        return fitting[0]

    def __iter__(self) -> Iterator[FileEntry]:
        ends = month_ends(self.unnamed()) if self.layout.surveyed else {}
        rows = 0
        for record in self.data():
            rows += 1
            position = RowPosition(record.line, record.number - self.has_header)
            try:
                yield position, self.row(record, ends)
            except BadRow as error:
                yield Rejection(*position, str(error))
        if not rows:
            raise BadFile("the file has no rows")

    def data(self) -> Iterator[Record]:
        records = self.records()
        if self.has_header:
            next(records)
        return records

    def row(self, record: Record, ends: MonthEnds) -> MasterRow | None:
        row = self.layout.parse(self.fields(record))
        if isinstance(row, Unnamed):
            row = named(row, ends)
        return row and check_row(row)

    def fields(self, record: Record) -> Fields:
        cells = record.fields
        if isinstance(cells, dict):
            return cells
        header = self.header or []
        if self.has_header and len(cells) != len(header):
            raise BadRow(f"a row must have {len(header)} columns, got {len(cells)}")
        if len(cells) < len(header):
            raise BadRow(f"a row must have at least {len(header)} columns, got {len(cells)}")
        return dict(zip(header, cells, strict=False))

    def unnamed(self) -> Iterator[Unnamed]:
        for record in self.data():
            try:
                row = self.layout.parse(self.fields(record))
            except BadRow:
                continue
            if isinstance(row, Unnamed):
                yield row


def is_fyers_row(cells: list[str]) -> bool:
    """Tell whether a row is one of Fyers' files, which have no header."""
    if len(cells) < len(fyers.CSV_COLUMNS):
        return False
    row = dict(zip(fyers.CSV_COLUMNS, cells, strict=False))
    return row["fyToken"].isdigit() and ":" in row["symTicker"] and row["segment"].isdigit()
