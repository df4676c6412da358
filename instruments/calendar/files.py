"""Calendar files: CSV of special days and of sessions, read whole or refused; no I/O but reading.

A line is one day of one or several segments:

    date,segment,opens,closes,name,source
    2027-01-26,NSE_EQ NSE_INDEX NFO,,,Republic Day,NSE/CMTR/12345
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Any, BinaryIO, NamedTuple

from instruments.errors import BadFile, quoted
from instruments.keys import SEGMENTS
from instruments.sessions import CLOSING_AUCTION, OPEN, PRE_OPEN, SpecialDay

MAX_BYTES = 5_000_000
# More problems of one file are too many to read.
MAX_PROBLEMS = 20
PHASES = (PRE_OPEN, OPEN, CLOSING_AUCTION)
_DATE = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::00)?")
YES, NO = ("yes", "true", "1"), ("no", "false", "0", "")


class EntryKey(NamedTuple):
    """What a row of hours is found by.

    Attributes:
        segment: a segment's own code.
        phase: of a trading session; "" for a special day.
        date: the special day, or the first day of the session.
    """

    segment: str
    phase: str
    date: date

    def __str__(self) -> str:
        return " ".join(filter(None, (self.segment, self.phase, str(self.date))))


@dataclass(frozen=True, slots=True)
class CalendarRow:
    """What a calendar says of one special day or one session of one segment.

    Attributes:
        values: the other columns of its row in the table.
    """

    key: EntryKey
    values: Mapping[str, Any]


class CalendarProblems(BadFile):
    """A calendar file was refused; `problems` are sentences with line and column."""

    def __init__(self, problems: list[str]) -> None:
        shown = problems[:MAX_PROBLEMS]
        more = len(problems) - len(shown)
        super().__init__("; ".join(shown) + (f"; and {more:,} more" if more else ""))
        self.problems = problems


class _BadCell(ValueError):
    def __init__(self, column: str, reason: str) -> None:
        super().__init__(f"column {column}: {reason}")


@dataclass(frozen=True)
class _Layout:
    """The columns of one kind of file, and how a line becomes the values of a row."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    parse: Callable[[dict[str, str]], tuple[str, date, dict[str, Any]]]

    @property
    def columns(self) -> tuple[str, ...]:
        return self.required + self.optional


def read_holidays(file: BinaryIO) -> list[CalendarRow]:
    """Return the special days of a file.

    Raises:
        BadFile: the file is empty, too large, not text, or lacks a column.
        CalendarProblems: some lines are wrong; the text names line and column of each.
    """
    return _read(file, _HOLIDAYS)


def read_sessions(file: BinaryIO) -> list[CalendarRow]:
    """Return the sessions of a file; see `read_holidays` for the errors."""
    return _read(file, _SESSIONS)


def _read(file: BinaryIO, layout: _Layout) -> list[CalendarRow]:
    lines = _lines(file)
    _, header = next(lines, (0, []))
    columns = [cell.strip().lower() for cell in header]
    _check_columns(columns, layout)
    rows: list[CalendarRow] = []
    seen: dict[EntryKey, int] = {}  # key -> line
    problems: list[str] = []
    for number, cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        try:
            if len(cells) != len(columns):
                raise ValueError(f"a line must have {len(columns)} columns, got {len(cells)}")
            fields = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
            phase, day, values = layout.parse(
                {column: fields.get(column, "") for column in layout.columns}
            )
            for segment in _segments(fields["segment"]):
                key = EntryKey(segment, phase, day)
                if key in seen:
                    raise _BadCell("segment", f"{key} is on line {seen[key]} already")
                seen[key] = number
                rows.append(CalendarRow(key, values))
        except ValueError as error:
            problems.append(f"line {number}, {error}")
    if problems:
        raise CalendarProblems(problems)
    if not rows:
        raise BadFile("the file has no rows")
    return rows


def _lines(file: BinaryIO) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each line and its cells."""
    contents = file.read(MAX_BYTES + 1)
    if len(contents) > MAX_BYTES:
        raise BadFile(f"a calendar must have at most {MAX_BYTES:,} bytes")
    try:
        text = contents.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = contents.count(b"\n", 0, error.start) + 1
        raise BadFile("not UTF-8 text; save the file as CSV UTF-8", line=line) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        before = 0
        for cells in reader:
            yield before + 1, cells
            before = reader.line_num
    except csv.Error as error:
        raise BadFile(f"not CSV: {error}", line=reader.line_num) from error


def _check_columns(columns: list[str], layout: _Layout) -> None:
    if not any(columns):
        raise BadFile("the file is empty")
    missing = [name for name in layout.required if name not in columns]
    if missing:
        raise BadFile(
            f"the first line must name the columns; {', '.join(missing)} not found in "
            f"{quoted(','.join(columns))}",
            line=1,
        )
    for name in columns:
        if name not in layout.columns:
            raise BadFile(
                f"a column must be one of {', '.join(layout.columns)}, got {quoted(name)}", line=1
            )
        if columns.count(name) > 1:
            raise BadFile(f"column {name} is there twice", line=1)


def _holiday(fields: dict[str, str]) -> tuple[str, date, dict[str, Any]]:
    day = SpecialDay(
        name=_text(fields, "name", 100),
        **{
            name: _time(fields, name)
            for name in ("opens", "closes", "pre_opens", "pauses", "resumes")
        },
    )
    if not day.name:
        raise _BadCell("name", "the day needs a name")
    if day.problem:
        raise _BadCell("opens", day.problem)
    values = {
        **{name: getattr(day, name) for name in SpecialDay.__slots__},
        **_origin(fields),
    }
    return "", _date(fields, "date"), values


def _session(fields: dict[str, str]) -> tuple[str, date, dict[str, Any]]:
    phase = fields["phase"]
    if phase not in PHASES:
        raise _BadCell("phase", f"must be one of {', '.join(PHASES)}, got {quoted(phase)}")
    first = _date(fields, "valid_from")
    last = _date(fields, "valid_to") if fields["valid_to"] else None
    opens, closes = _time(fields, "opens"), _time(fields, "closes")
    if opens is None or closes is None or opens >= closes:
        raise _BadCell("closes", "a session needs both hours, closing after opening")
    if last is not None and last < first:
        raise _BadCell("valid_to", f"must not be before {first}, got {last}")
    return phase, first, {"opens": opens, "closes": closes, "valid_to": last, **_origin(fields)}


def _origin(fields: dict[str, str]) -> dict[str, Any]:
    return {
        "source": _text(fields, "source", 200),
        "provisional": _flag(fields, "provisional"),
    }


def _segments(cell: str) -> list[str]:
    codes = cell.split()
    for code in codes:
        if code not in SEGMENTS:
            raise _BadCell("segment", f"must be of {', '.join(SEGMENTS)}, got {quoted(code)}")
    if not codes:
        raise _BadCell("segment", "a day needs a segment")
    return codes


def _date(fields: dict[str, str], column: str) -> date:
    cell = fields[column]
    try:
        # 2026-W05-1 and 20260126 are dates to Python; another century is a slip of the hand.
        if not _DATE.fullmatch(cell):
            raise ValueError
        return date.fromisoformat(cell)
    except ValueError:
        raise _BadCell(column, f"must be a day as 2026-01-26, got {quoted(cell)}") from None


def _time(fields: dict[str, str], column: str) -> time | None:
    cell = fields[column]
    if not cell:
        return None
    found = _TIME.fullmatch(cell)
    if found is None:
        raise _BadCell(column, f"must be a time as 09:15, got {quoted(cell)}")
    return time(int(found[1]), int(found[2]))


def _text(fields: dict[str, str], column: str, longest: int) -> str:
    cell = fields[column]
    if len(cell) > longest:
        raise _BadCell(column, f"must have at most {longest} characters, got {len(cell)}")
    if not cell.isprintable():
        raise _BadCell(column, f"must be printable, got {quoted(cell)}")
    return cell


def _flag(fields: dict[str, str], column: str) -> bool:
    cell = fields[column].lower()
    if cell not in YES + NO:
        raise _BadCell(column, f"must be yes or no, got {quoted(cell)}")
    return cell in YES


_HOLIDAYS = _Layout(
    required=("date", "segment", "name"),
    optional=("opens", "closes", "pre_opens", "pauses", "resumes", "source", "provisional"),
    parse=_holiday,
)
_SESSIONS = _Layout(
    required=("valid_from", "segment", "phase", "opens", "closes"),
    optional=("valid_to", "source", "provisional"),
    parse=_session,
)
