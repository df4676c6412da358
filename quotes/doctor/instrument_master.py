"""The instrument master: its size, its age in days of trade, and contracts that have expired."""

import datetime
from collections.abc import Iterator

from django.db.models import Max

from instruments.loading import load_hours
from instruments.models import Instrument
from instruments.sessions import IST, Hours, today_in_india, trading_hours
from quotes.doctor.deployment import Deployment
from quotes.doctor.findings import Finding, ok, warning

# Exchanges list new contracts daily; an import a day is the rule.
_MOST_DAYS_OF_TRADE = 1
_LOOK_BACK_DAYS = 30
PAGE = "expiry-day"
_IMPORT = "run `manage.py import_instruments FILE` with today's file"


def check_instruments(deployment: Deployment) -> Iterator[Finding]:
    """Check what names are resolved by."""
    today = today_in_india()
    active = Instrument.objects.filter(active=True)
    count = active.count()
    if not count:
        yield warning(
            "the instrument master is empty: each name is a stream of its own", _IMPORT, PAGE
        )
        return
    if expired := active.filter(expiry__lt=today).count():
        yield warning(f"{expired} contracts have expired and are still active", _IMPORT, PAGE)
    seen = active.aggregate(last=Max("last_seen"))["last"].astimezone(IST).date()
    missed = _days_of_trade(seen, today)
    if missed > _MOST_DAYS_OF_TRADE:
        number = f"{missed} days" if missed <= _LOOK_BACK_DAYS else "more than a month"
        yield warning(
            f"the master is of {seen}, {number} of trade ago: new contracts have no names",
            _IMPORT,
            PAGE,
        )
    expiring = active.filter(expiry=today).count()
    today_text = f"; {expiring} contracts expire today" if expiring else ""
    yield ok(f"{count:,} are active, the newest import is of {seen}{today_text}")


def _days_of_trade(seen: datetime.date, today: datetime.date) -> int:
    """Return on how many days after one, up to another, shares trade."""
    first = max(seen, today - datetime.timedelta(days=2 * _LOOK_BACK_DAYS))
    hours = load_hours(("NSE_EQ",), first_day=first).get("NSE_EQ", Hours())
    days = (first + datetime.timedelta(days=one) for one in range(1, (today - first).days + 1))
    return sum(trading_hours(hours, day) is not None for day in days)
