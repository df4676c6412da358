"""Gaps of the calendar: years in which a segment has no holidays yet."""

from collections import Counter
from datetime import date

from instruments.keys import SEGMENTS
from instruments.models import Holiday
from instruments.sessions import today_in_india

# Each segment has more than ten in a year; one or two that were entered early are no calendar.
FEWEST_DAYS = 5
# Exchanges publish the coming year's holidays in December.
DECEMBER = 12


def calendar_warnings(today: date | None = None) -> list[str]:
    """Return a sentence for each year whose holidays some segments lack, with its cure.

    The current year is looked for always, the coming one from 1 December.

    Args:
        today: the Indian date, for tests.

    Raises:
        DatabaseError: the database cannot be read, or has not been migrated.
    """
    day = today or today_in_india()
    years = [day.year, day.year + 1] if day.month == DECEMBER else [day.year]
    rows = Holiday.objects.filter(date__range=(date(years[0], 1, 1), date(years[-1], 12, 31)))
    found = Counter(
        (segment, held.year) for segment, held in rows.order_by().values_list("segment", "date")
    )
    warnings = []
    for year in years:
        lacking = [one for one in SEGMENTS if found[one, year] < FEWEST_DAYS]
        if lacking:
            warnings.append(
                f"the holidays of {year} are missing for {', '.join(lacking)}, and their markets "
                "count as open on every weekday: run `manage.py import_holidays FILE`, or enter "
                "them in admin"
            )
    return warnings
