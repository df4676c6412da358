"""The calendar of the release agrees with itself, its sources, and days that are certain."""

import re
from datetime import date, time

import pytest

from instruments.calendar.loading import release_calendar
from instruments.keys import SEGMENTS
from instruments.sessions import Hours, Session, SpecialDay, day_plan, trading_hours

ROWS = release_calendar()
DAYS = {(row.key.segment, row.key.date): row.values for row in ROWS if not row.key.phase}
YEARS = range(2021, 2027)
EQUITY = ("NSE_EQ", "NSE_INDEX", "NFO", "BSE_EQ", "BSE_INDEX", "BFO")
CIRCULAR = re.compile(r"^(NSE/[A-Z]+/\d{5}|BSE 20\d{6}-\d+|MCX/TRD/\d+/\d{4})\b")


def hours(segment: str, day: date) -> tuple[time, time] | None:
    """Return the trading hours of a day by the calendar's special days, on usual hours."""
    usual = Hours(
        (Session("open", time(9), time(17), date(2020, 1, 1)),),
        {
            of: SpecialDay(
                **{name: value for name, value in values.items() if name in SpecialDay.__slots__}
            )
            for (code, of), values in DAYS.items()
            if code == segment
        },
    )
    assert day_plan(usual, day)[0] in ("closed", "holiday")
    return trading_hours(usual, day)


@pytest.mark.parametrize("year", YEARS)
def test_every_segment_has_every_year(year: int) -> None:
    """No segment is without its days."""
    for segment in SEGMENTS:
        assert 13 <= sum(1 for code, day in DAYS if code == segment and day.year == year) <= 30


def test_shares_indices_and_their_derivatives_share_their_days() -> None:
    """NSE and BSE close on the same days, and trade on the same days at week-ends."""
    of = {segment: {day for code, day in DAYS if code == segment} for segment in EQUITY}
    assert all(days == of["NSE_EQ"] for days in of.values())


def test_currencies_and_commodities_know_each_holiday_of_shares() -> None:
    """Both have every weekday on which shares do not trade; currencies are closed then."""
    closed = {day for (code, day), row in DAYS.items() if code == "NSE_EQ" and not row["opens"]}
    for day in closed:
        assert DAYS["CDS", day]["opens"] is DAYS["BCD", day]["opens"] is None
        assert ("MCX", day) in DAYS


def test_a_row_is_certain_only_by_a_circular() -> None:
    """Without the number of a circular it is provisional; every row has a source."""
    for row in ROWS:
        source = row.values["source"]
        assert source and (row.values["provisional"] or CIRCULAR.match(source)), row.key


@pytest.mark.parametrize(
    ("segment", "day", "expected"),
    [
        ("NSE_EQ", date(2024, 1, 22), None),
        ("NSE_EQ", date(2024, 5, 20), None),
        ("NFO", date(2024, 11, 20), None),
        ("BFO", date(2026, 1, 15), None),
        ("NSE_EQ", date(2023, 6, 29), None),
        ("NSE_EQ", date(2023, 6, 28), (time(9), time(17))),  # moved: a usual day
        ("CDS", date(2023, 9, 28), (time(9), time(17))),
        ("CDS", date(2025, 9, 8), None),
        ("CDS", date(2025, 9, 5), (time(9), time(17))),
        ("BSE_EQ", date(2024, 1, 20), (time(9, 15), time(15, 30))),
        ("CDS", date(2024, 1, 20), None),
        ("NSE_EQ", date(2024, 3, 2), (time(9, 15), time(12, 30))),
        ("NSE_EQ", date(2024, 5, 18), (time(9, 15), time(12, 40))),
        ("NSE_EQ", date(2025, 2, 1), (time(9, 15), time(15, 30))),
        ("MCX", date(2025, 2, 1), (time(9), time(17))),
        ("NSE_EQ", date(2026, 2, 1), (time(9, 15), time(15, 30))),
        ("CDS", date(2026, 2, 1), None),
        ("NSE_EQ", date(2021, 11, 4), (time(18, 15), time(19, 15))),
        ("MCX", date(2023, 11, 12), (time(18, 15), time(19, 15))),
        ("NSE_EQ", date(2024, 11, 1), (time(18), time(19))),
        ("BFO", date(2025, 10, 21), (time(13, 45), time(14, 45))),
        ("NSE_EQ", date(2021, 2, 24), (time(9, 15), time(17))),
        ("MCX", date(2026, 1, 1), (time(9), time(17))),
        ("MCX", date(2026, 1, 26), None),
        ("MCX", date(2026, 3, 3), (time(17), time(23, 55))),  # winter in the United States
        ("MCX", date(2026, 3, 26), (time(17), time(23, 30))),
        ("MCX", date(2026, 11, 10), (time(17), time(23, 55))),
        ("MCX", date(2024, 11, 1), (time(18), time(19))),
    ],
)
def test_days_that_are_often_missed(
    segment: str, day: date, expected: tuple[time, time] | None
) -> None:
    """Holidays that were added or moved, sessions at week-ends, Muhurat, and evenings on MCX."""
    assert hours(segment, day) == expected
