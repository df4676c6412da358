"""The trading hours of a segment as UDF writes them: the usual session, and the days unlike it.

    session           0915-1530           Monday to Friday; two sessions of a day have a comma
    session_holidays  20240122,20240126   weekdays without trading
    corrections       1800-1900:20241101;0915-1230:20240302,20240518

A correction is of any day with other hours than `session`: a Muhurat evening, a Saturday, a weekday
before hours changed. A closing auction is part of the session, since candles have its minutes; a
pre-open is not. A segment without hours trades around the clock.
"""

from collections.abc import Iterator
from datetime import date, time
from typing import NamedTuple

from instruments.index import index
from instruments.sessions import ONE_DAY, OPEN, PRE_OPEN, Hours, day_plan
from quotes.conf import conf
from quotes.runtime.clock import today_in_india

ALL_DAY = "24x7"
# Days are listed from January of the year that is this many years back, to the end of the next.
_YEARS_BACK = 5


class UdfHours(NamedTuple):
    """The texts of a segment's hours; see the module."""

    session: str
    session_holidays: str = ""
    corrections: str = ""


def udf_hours(segment: str) -> UdfHours:
    """Return the hours of a segment by the master of this process."""
    if conf.candles_all_hours:
        return UdfHours(ALL_DAY)
    hours, today = index.hours.get(segment), today_in_india()
    if hours is None:
        return UdfHours(ALL_DAY)
    kept = _kept.get(segment)
    if kept is None or kept[0] is not hours or kept[1] != today:
        kept = _kept[segment] = (hours, today, make_hours(hours, today))
    return kept[2]


# Segment -> its hours as the master has them, the day, and their texts, which take some 20 ms.
_kept: dict[str, tuple[Hours, date, UdfHours]] = {}


def make_hours(hours: Hours, today: date) -> UdfHours:
    """Return the texts of hours.

    Args:
        today: the Indian date; `session` is that of today, or of Monday at a weekend.
    """
    usual = _session_text(Hours(hours.sessions), _weekday(today))
    if not usual:
        return UdfHours(ALL_DAY)
    holidays: list[str] = []
    corrections: dict[str, list[str]] = {}
    for day in _days(today):
        found = _session_text(hours, day)
        if found == (usual if day.weekday() < 5 else ""):
            continue
        days = corrections.setdefault(found, []) if found else holidays
        days.append(f"{day:%Y%m%d}")
    texts = (f"{session}:{','.join(days)}" for session, days in corrections.items())
    return UdfHours(usual, ",".join(holidays), ";".join(texts))


def closing_time(segment: str, day: date) -> time | None:
    """Return when trading ends on a day; None if nothing trades then, or hours are not known."""
    hours = index.hours.get(segment)
    periods = _periods(hours, day) if hours is not None else []
    return periods[-1][1] if periods else None


def _weekday(day: date) -> date:
    while day.weekday() >= 5:
        day += ONE_DAY
    return day


def _days(today: date) -> Iterator[date]:
    day, last = date(today.year - _YEARS_BACK, 1, 1), date(today.year + 1, 12, 31)
    while day <= last:
        yield day
        day += ONE_DAY


def _session_text(hours: Hours, day: date) -> str:
    """Return the sessions of a day, as `0915-1140,1545-1700`; "" if nothing trades."""
    return ",".join(f"{opens:%H%M}-{closes:%H%M}" for opens, closes in _periods(hours, day))


def _periods(hours: Hours, day: date) -> list[tuple[time, time]]:
    """Return from when to when prices are made on a day, in order; what meets is one period.

    An auction alone is no session.
    """
    plan = [period for period in day_plan(hours, day)[1] if period[0] != PRE_OPEN]
    begins = min((opens for phase, opens, _ in plan if phase == OPEN), default=None)
    if begins is None:
        return []
    found: list[tuple[time, time]] = []
    for opens, closes in sorted((max(opens, begins), closes) for _, opens, closes in plan):
        if found and opens <= found[-1][1]:
            found[-1] = (found[-1][0], max(closes, found[-1][1]))
        elif opens < closes:
            found.append((opens, closes))
    return found
