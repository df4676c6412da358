"""Ranges of time as people and programs write them, and their greatest length; pure rules.

A moment is ISO 8601, in Indian time unless it has an offset, or Unix milliseconds. A date alone
means the whole day in India: its beginning at the start of a range, its end at the end of a range.
"""

import re
from datetime import date, datetime
from functools import lru_cache
from typing import NamedTuple

from django.core.exceptions import ImproperlyConfigured

from quotes.errors import BadHistoryQuery, quoted
from quotes.history.candles.intervals import LABELS, Interval
from quotes.runtime.clock import DAY_MS, day_number, midnight_of, midnight_of_day, unix_ms

TICKS = "ticks"
LEAST_MS = 100_000_000_000  # a smaller number is in seconds
MOST_MS = 253_402_280_000_000  # the last days of the year 9999

_MILLISECONDS = re.compile(r"[0-9]{1,15}", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
# A plus sign that was not escaped arrives as a space.
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,6})?)?)"
    r"(Z|[+ -][0-9]{2}:?[0-9]{2})?",
    re.ASCII,
)


class TimeRange(NamedTuple):
    """A range of time in Unix milliseconds; the end is exclusive."""

    start: int
    end: int


def parse_range(start: str, end: str, *, now_ms: int) -> TimeRange:
    """Parse the range between two moments.

    Args:
        start: empty: the beginning of the Indian day on which the range ends.
        end: empty: now.

    Raises:
        BadHistoryQuery: a text is not a moment, or the end is not after the start.
    """
    ends = parse_moment("to", end, ends=True) if end else now_ms + 1
    starts = parse_moment("from", start) if start else midnight_of_day(day_number(ends - 1))
    if starts >= ends:
        raise BadHistoryQuery(f"from must be before to, got {quoted(start)} and {quoted(end)}")
    return TimeRange(starts, ends)


def parse_moment(name: str, text: str, *, ends: bool = False) -> int:
    """Return the Unix milliseconds of a moment.

    Args:
        name: of the parameter, for errors.
        ends: whether a date alone means the end of its day.

    Raises:
        BadHistoryQuery: the text is not a moment.
    """
    if _MILLISECONDS.fullmatch(text):
        number = int(text)
        if number < LEAST_MS:
            raise BadHistoryQuery(f"{name} must be in milliseconds, not seconds, got {number}")
    else:
        number = _iso_ms(name, text, ends=ends)
    if number > MOST_MS:
        raise BadHistoryQuery(f"{name} must be before the year 10000, got {quoted(text)}")
    return number


def _iso_ms(name: str, text: str, *, ends: bool) -> int:
    try:
        if _DATE.fullmatch(text):
            return midnight_of(date.fromisoformat(text)) + ends * DAY_MS
        match = _MOMENT.fullmatch(text)
        if match is None:
            raise ValueError
        day, time, offset = match.groups()
        offset = (offset or "+05:30").replace(" ", "+")
        moment = datetime.fromisoformat(f"{day}T{time.replace(',', '.')}{offset}")
        return unix_ms(moment)
    except (ValueError, OverflowError):
        raise BadHistoryQuery(
            f"{name} must be a date, a date and time (Indian time unless it has an offset) or Unix "
            f"milliseconds, got {quoted(text)}"
        ) from None


def check_length(span: TimeRange, interval: Interval | None, limits: str) -> None:
    """Raise BadHistoryQuery if a range is longer than the limits allow.

    Args:
        interval: of candles; None: ticks.
        limits: as QUOTES_HISTORY_MAX_DAYS.
    """
    name = interval.label if interval else TICKS
    most = parse_limits(limits)[name]
    if span.end - span.start > most * DAY_MS:
        what = f"{name} candles" if interval else name
        days = -(-(span.end - span.start) // DAY_MS)
        raise BadHistoryQuery(
            f"a range of {what} is at most {most} days long (QUOTES_HISTORY_MAX_DAYS), got {days}"
        )


@lru_cache(maxsize=8)
def parse_limits(text: str) -> dict[str, int]:
    """Return the greatest number of days for ticks and for each interval's label.

    Raises:
        ImproperlyConfigured: the setting is malformed, or does not name all of them.
    """
    limits: dict[str, int] = {}
    for part in text.split(","):
        name, _, days = part.strip().partition("=")
        if not _MILLISECONDS.fullmatch(days) or not int(days):
            raise ImproperlyConfigured(
                f"QUOTES_HISTORY_MAX_DAYS must be like ticks=7,1m=60, got {quoted(part)}"
            )
        limits[name] = int(days)
    wanted = {TICKS, *LABELS.values()}
    if set(limits) != wanted:
        odd = ", ".join(sorted(wanted ^ set(limits)))
        raise ImproperlyConfigured(
            f"QUOTES_HISTORY_MAX_DAYS must name ticks and each interval; missing or unknown: {odd}"
        )
    return limits
