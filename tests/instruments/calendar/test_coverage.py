"""A year without holidays is named before it makes markets look open."""

from datetime import date

import pytest

from instruments.calendar.coverage import calendar_warnings
from instruments.keys import SEGMENTS
from instruments.models import Holiday

pytestmark = pytest.mark.django_db


def enter(year: int, *segments: str, days: int = 5) -> None:
    Holiday.objects.bulk_create(
        Holiday(segment_id=segment, date=date(year, 2, day + 1), name="X")
        for segment in segments
        for day in range(days)
    )


@pytest.mark.parametrize("day", [date(2021, 1, 1), date(2026, 11, 30), date(2025, 12, 31)])
def test_years_of_the_release_are_there(day: date) -> None:
    """The release knows 2021 to 2026, and the coming year is looked for in December."""
    assert calendar_warnings(day) == []


def test_the_coming_year_is_missing_from_december() -> None:
    """From 1 December each segment without holidays of the coming year is named."""
    (warning,) = calendar_warnings(date(2026, 12, 1))
    assert warning.startswith(f"the holidays of 2027 are missing for {', '.join(SEGMENTS)}")
    assert "import_holidays FILE" in warning
    enter(2027, *(one for one in SEGMENTS if one != "MCX"))
    (warning,) = calendar_warnings(date(2026, 12, 31))
    assert "2027 are missing for MCX, and" in warning
    enter(2027, "MCX")
    assert calendar_warnings(date(2026, 12, 31)) == []


def test_the_current_year_is_missing_at_once() -> None:
    """In a year without holidays the warning is there from its first day."""
    assert "holidays of 2027" in calendar_warnings(date(2027, 1, 1))[0]
    assert [one[:24] for one in calendar_warnings(date(2027, 12, 1))] == [
        "the holidays of 2027 are",
        "the holidays of 2028 are",
    ]


def test_one_early_day_is_no_calendar() -> None:
    """A single special day that was entered early does not hide that the rest is missing."""
    enter(2027, *SEGMENTS, days=1)
    assert "holidays of 2027" in calendar_warnings(date(2026, 12, 1))[0]
