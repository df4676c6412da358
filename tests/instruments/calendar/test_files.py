"""Calendar files: what they may say, and what is refused by line and column."""

import io
from datetime import date, time

import pytest

from instruments.calendar.files import (
    MAX_BYTES,
    CalendarProblems,
    EntryKey,
    read_holidays,
    read_sessions,
)
from instruments.errors import BadFile

HEADER = "date,segment,opens,closes,pre_opens,pauses,resumes,name,source,provisional\n"


def holidays(text: str) -> dict[EntryKey, dict[str, object]]:
    return {row.key: dict(row.values) for row in read_holidays(io.BytesIO(text.encode()))}


def test_a_line_is_a_day_of_each_of_its_segments() -> None:
    """Every column becomes the value of the row; empty hours mean closed all day."""
    rows = holidays(
        HEADER
        + "2024-03-02,NSE_EQ NFO,09:15,12:30,09:00,10:00,11:30,Recovery site,NSE/CMTR/1,yes\n"
        + "2024-03-08,MCX,,,,,,Mahashivratri,,no\n"
    )
    assert rows[EntryKey("NFO", "", date(2024, 3, 2))] == {
        **{"opens": time(9, 15), "closes": time(12, 30), "pre_opens": time(9)},
        **{"pauses": time(10), "resumes": time(11, 30), "name": "Recovery site"},
        **{"source": "NSE/CMTR/1", "provisional": True},
    }
    assert set(rows) == {
        *(EntryKey(segment, "", date(2024, 3, 2)) for segment in ("NSE_EQ", "NFO")),
        EntryKey("MCX", "", date(2024, 3, 8)),
    }
    closed = rows[EntryKey("MCX", "", date(2024, 3, 8))]
    assert (closed["opens"], closed["closes"], closed["provisional"]) == (None, None, False)


@pytest.mark.parametrize(
    "text",
    [
        "date,segment,name\n2027-01-26,MCX,Republic Day\n",
        "\ufeffname,SEGMENT, date \r\nRepublic Day, MCX ,2027-01-26\r\n\r\n,,\r\n",
        'segment,name,date\nMCX,"Republic Day",2027-01-26\n',
    ],
)
def test_columns_may_come_in_any_order_and_as_spreadsheets_write_them(text: str) -> None:
    """Order, case, spaces, a byte-order mark, Windows line ends and empty lines do not matter."""
    ((key, values),) = holidays(text).items()
    assert (key, values["name"]) == (EntryKey("MCX", "", date(2027, 1, 26)), "Republic Day")


@pytest.mark.parametrize("cell", ["09:15", "9:15", "09:15:00"])
def test_times_may_be_written_as_spreadsheets_do(cell: str) -> None:
    """Without the leading zero, or with seconds that are zero."""
    ((_, values),) = holidays(HEADER + f"2027-01-26,MCX,{cell},17:00,,,,X,,\n").items()
    assert values["opens"] == time(9, 15)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("26/01/2027,MCX,,,,,,X,,", "column date: must be a day as 2026-01-26, got '26/01/2027'"),
        ("20270126,MCX,,,,,,X,,", "column date: must be a day as 2026-01-26, got '20270126'"),
        ("2027-02-29,MCX,,,,,,X,,", "column date: must be a day"),
        ("2027-W05-1,MCX,,,,,,X,,", "column date: must be a day"),
        ("0227-01-26,MCX,,,,,,X,,", "column date: must be a day"),
        ("2027-01-26,MCX,1_0:15,17:00,,,,X,,", "column opens: must be a time as 09:15"),
        ("2027-01-26,MCX,09:15:30,17:00,,,,X,,", "column opens: must be a time as 09:15"),
        ("2027-01-26,MCX,24:00,17:00,,,,X,,", "column opens: must be a time as 09:15"),
        (",MCX,,,,,,X,,", "column date: must be a day as 2026-01-26, got ''"),
        ("2027-01-26,NSE,,,,,,X,,", "column segment: must be of NSE_EQ, BSE_EQ, NFO"),
        ("2027-01-26,,,,,,,X,,", "column segment: a day needs a segment"),
        ("2027-01-26,MCX MCX,,,,,,X,,", "column segment: MCX 2027-01-26 is on line 2 already"),
        ("2027-01-26,MCX,9.15,17:00,,,,X,,", "column opens: must be a time as 09:15, got '9.15'"),
        ("2027-01-26,MCX,09:15,25:00,,,,X,,", "column closes: must be a time as 09:15"),
        ("2027-01-26,MCX,09:15,,,,,X,,", "column opens: Give both hours"),
        ("2027-01-26,MCX,17:00,09:00,,,,X,,", "column opens: Give both hours, closing after"),
        ("2027-01-26,MCX,17:00,17:00,,,,X,,", "column opens: Give both hours, closing after"),
        ("2027-01-26,MCX,,,09:00,,,X,,", "column opens: A pre-open needs hours"),
        ("2027-01-26,MCX,09:00,17:00,09:00,,,X,,", "column opens: A pre-open needs hours"),
        ("2027-01-26,MCX,09:00,17:00,,10:00,,X,,", "column opens: A pause needs both"),
        ("2027-01-26,MCX,09:00,17:00,,11:00,10:00,X,,", "column opens: A pause needs both"),
        ("2027-01-26,MCX,09:00,17:00,,10:00,17:00,X,,", "column opens: A pause needs both"),
        ("2027-01-26,MCX,,,,,,,,", "column name: the day needs a name"),
        (f"2027-01-26,MCX,,,,,,{'x' * 101},,", "column name: must have at most 100 characters"),
        ("2027-01-26,MCX,,,,,,a\x07b,,", "column name: must be printable"),
        (f"2027-01-26,MCX,,,,,,X,{'x' * 201},", "column source: must have at most 200"),
        ("2027-01-26,MCX,,,,,,X,,maybe", "column provisional: must be yes or no, got 'maybe'"),
        ("2027-01-26,MCX,,", "a line must have 10 columns, got 4"),
    ],
)
def test_a_bad_line_is_named_with_its_column(line: str, problem: str) -> None:
    """The text says where the fault is, what is allowed and what it got."""
    with pytest.raises(CalendarProblems) as caught:
        holidays(HEADER + line + "\n")
    assert f"line 2, {problem}" in str(caught.value)


def test_all_bad_lines_are_found_at_once() -> None:
    """Lines are counted as an editor counts them, over cells of several lines too."""
    with pytest.raises(CalendarProblems) as caught:
        holidays(
            HEADER
            + '2027-01-26,MCX,,,,,,"two\nlines",,\n'
            + "2027-01-27,MCX,,,,,,X,,\n2027-01-28,XCM,,,,,,X,,\n"
            + "2027-02-01,MCX,,,,,,X,,maybe\n" * 30
        )
    assert [one.split(",")[0] for one in caught.value.problems[:3]] == [
        "line 2",
        "line 5",
        "line 6",
    ]
    assert len(caught.value.problems) == 32
    assert str(caught.value).endswith("; and 12 more")


@pytest.mark.parametrize(
    ("contents", "problem"),
    [
        (b"", "the file is empty"),
        (b"\n", "the file is empty"),
        (b"date,segment,name\n", "the file has no rows"),
        (b"date,name\n2027-01-26,X\n", "line 1: the first line must name the columns; segment"),
        (
            b"2027-01-26,MCX,X\n",
            "line 1: the first line must name the columns; date, segment, name",
        ),
        (
            b"date,segment,name,opened\n",
            "line 1: a column must be one of date, segment, name, opens",
        ),
        (b"date,segment,name,date\n", "line 1: column date is there twice"),
        (b"date,segment,name\n2027-01-26,MCX,\xff\n", "line 2: not UTF-8 text"),
        (b'date,segment,name\n2027-01-26,MCX,"X\n', "line 2: not CSV"),
        (b"date,segment,name\n" + b"x" * MAX_BYTES, "a calendar must have at most 5,000,000 bytes"),
    ],
)
def test_what_is_no_calendar_is_refused(contents: bytes, problem: str) -> None:
    """Empty, other or broken files are refused with the line."""
    with pytest.raises(BadFile) as caught:
        read_holidays(io.BytesIO(contents))
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("2026-08-03,NFO,opened,09:15,15:40,,,", "column phase: must be one of pre_open, open"),
        ("2026-08-03,NFO,open,09:15,,,,", "column closes: a session needs both hours"),
        ("2026-08-03,NFO,open,09:15,09:15,,,", "column closes: a session needs both hours"),
        ("2026-08-03,NFO,open,09:15,15:40,2026-08-02,,", "column valid_to: must not be before"),
        ("2026-8-3,NFO,open,09:15,15:40,,,", "column valid_from: must be a day"),
    ],
)
def test_a_bad_session_is_named(line: str, problem: str) -> None:
    """Sessions are checked as special days are."""
    header = "valid_from,segment,phase,opens,closes,valid_to,source,provisional\n"
    with pytest.raises(CalendarProblems) as caught:
        read_sessions(io.BytesIO((header + line).encode()))
    assert f"line 2, {problem}" in str(caught.value)
