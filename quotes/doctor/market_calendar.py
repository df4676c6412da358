"""The calendar: whether holidays are entered, provisional hours, and the sessions of today."""

import datetime
from collections.abc import Iterator

from django.db.models import Max

from instruments.calendar.coverage import calendar_warnings
from instruments.loading import load_hours
from instruments.models import Holiday
from instruments.sessions import Hours, today_in_india, trading_hours
from quotes.doctor.deployment import Deployment
from quotes.doctor.findings import Finding, Level, from_sentence, ok, warning

# Days ahead in which hours that nobody has confirmed are worth a look.
_SOON_DAYS = 21
# One segment of each group of hours.
_SHOWN = ("NSE_EQ", "MCX")
PAGE = "a-new-holiday"
_CURE = "run `manage.py import_holidays FILE`, or enter them in admin"


def check_calendar(deployment: Deployment) -> Iterator[Finding]:
    """Check the calendar, and say what today is."""
    today = today_in_india()
    for sentence in calendar_warnings():
        yield from_sentence(Level.WARNING, sentence, _CURE, PAGE)
    soon = today + datetime.timedelta(days=_SOON_DAYS)
    provisional = (
        Holiday.objects.filter(provisional=True, date__range=(today, soon))
        .order_by("date")
        .values_list("date", "name", "segment_id")
    )
    days: dict[tuple[datetime.date, str], list[str]] = {}
    for date, name, segment in provisional:
        days.setdefault((date, name), []).append(segment)
    for (date, name), segments in days.items():
        yield warning(
            f"the hours of {date} ({name}) are provisional for {', '.join(segments)}",
            "correct them in admin by the circular of the exchange",
            PAGE,
        )
    last = Holiday.objects.aggregate(last=Max("date"))["last"]
    hours = load_hours(_SHOWN, first_day=today)
    states = ", ".join(f"{one} {_today(hours.get(one, Hours()), today)}" for one in _SHOWN)
    yield ok(f"today, {today:%a %Y-%m-%d}: {states}; special days are entered up to {last}")


def _today(hours: Hours, today: datetime.date) -> str:
    traded = trading_hours(hours, today)
    special = hours.special_days.get(today)
    name = f" ({special.name})" if special else ""
    if traded is None:
        return f"closed{name}"
    return f"{traded[0]:%H:%M}-{traded[1]:%H:%M}{name}"
