"""The clock: Unix milliseconds, and days as India counts them, UTC+5:30 all year.

Times are whole Unix milliseconds. A day has a number: how many days after 1970-01-01 it is.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from time import time_ns

from instruments.sessions import IST, today_in_india

__all__ = (
    "DAY_MS",
    "IST",
    "IST_MS",
    "MINUTE_MS",
    "date_of",
    "date_of_day",
    "day_number",
    "day_of_date",
    "india_time",
    "midnight_of",
    "midnight_of_day",
    "ms_of_day",
    "now_ms",
    "today_in_india",
    "unix_ms",
    "utc_time",
)

MINUTE_MS = 60_000
DAY_MS = 86_400_000
IST_MS = 19_800_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_IN_INDIA = _EPOCH.astimezone(IST)
_FIRST_DATE = _EPOCH.date()


def now_ms() -> int:
    """Return the present as Unix milliseconds."""
    return time_ns() // 1_000_000


def unix_ms(moment: datetime) -> int:
    """Return the Unix milliseconds of an aware datetime, rounded down."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def india_time(timestamp: int) -> datetime:
    """Return a moment as an aware datetime in India.

    Raises:
        OverflowError: it is after the year 9999 or before the year 1.
    """
    return _EPOCH_IN_INDIA + timedelta(milliseconds=timestamp)


def utc_time(timestamp: int) -> datetime:
    """Return a moment as an aware datetime, UTC."""
    return _EPOCH + timedelta(milliseconds=timestamp)


def day_number(timestamp: int) -> int:
    """Return the number of the day in India on which a moment falls."""
    return (timestamp + IST_MS) // DAY_MS


def day_of_date(day: date) -> int:
    """Return the number of a date."""
    return (day - _FIRST_DATE).days


def date_of_day(number: int) -> date:
    """Return the date of a day by its number."""
    return _FIRST_DATE + timedelta(days=number)


def date_of(timestamp: int) -> date:
    """Return the date in India at a moment."""
    return date_of_day(day_number(timestamp))


def midnight_of_day(number: int) -> int:
    """Return when a day begins in India, by its number."""
    return number * DAY_MS - IST_MS


def midnight_of(day: date) -> int:
    """Return when a date begins in India."""
    return midnight_of_day(day_of_date(day))


@lru_cache(maxsize=64)
def ms_of_day(clock: time) -> int:
    """Return how many milliseconds after midnight a time of day is, in whole seconds."""
    return ((clock.hour * 60 + clock.minute) * 60 + clock.second) * 1000
