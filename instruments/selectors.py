"""Reads of the instrument master from the database, with the rules applied.

Names are resolved by `instruments/index.py`, which does not touch the database.
"""

from datetime import datetime

from django.db import connection
from django.db.models import Q, QuerySet
from django.utils import timezone

from instruments.keys import SEGMENTS
from instruments.loading import load_hours
from instruments.models import Instrument
from instruments.sessions import IST, Hours, MarketStatus, market_status

# Sorts after every character that a symbol can hold.
LAST_CHARACTER = "\U0010ffff"


def market_statuses(
    *, segments: tuple[str, ...] = SEGMENTS, moment: datetime | None = None
) -> list[MarketStatus]:
    """Return what each segment is doing at a moment, as a status of `instruments/sessions.py`.

    Args:
        segments: their codes, in the order of the answer.
        moment: aware, in any time zone; None: now.
    """
    at = moment or timezone.now()
    hours = load_hours(segments, first_day=at.astimezone(IST).date())
    return [market_status(segment, hours.get(segment, Hours()), at) for segment in segments]


def instruments_beginning(*, prefix: str) -> QuerySet[Instrument]:
    """Return the instruments whose symbol begins so, active or not; an index finds them.

    Args:
        prefix: in the exchange's spelling; small letters find capital ones.
    """
    prefix = prefix.upper()
    found = Instrument.objects.filter(symbol__startswith=prefix)
    if connection.vendor == "sqlite":
        # SQLite's LIKE takes no index; the order of its text is that of the characters.
        found = found.filter(symbol__gte=prefix, symbol__lt=prefix + LAST_CHARACTER)
    return found


def instruments_matching(*, text: str) -> QuerySet[Instrument]:
    """Return the instruments that have every word of the text in their symbol or name."""
    found = Instrument.objects.all()
    for word in text.split()[:8]:
        found = found.filter(Q(symbol__icontains=word) | Q(name__icontains=word))
    return found
