"""Market hours: what a segment is doing at a moment and when that changes; pure rules.

The rows they work on are kept by operators, see `instruments/models/sessions.py`. Hours and days
are those of India, UTC+5:30 all year.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone

from instruments.errors import quoted

IST = timezone(timedelta(hours=5, minutes=30), "IST")

OPEN, PRE_OPEN, CLOSED, HOLIDAY = "open", "pre_open", "closed", "holiday"

# Longer than any market stays closed; beyond it no next change is looked for.
HORIZON_DAYS = 60
ONE_DAY = timedelta(days=1)


def today_in_india() -> date:
    """Return the date in India now."""
    return datetime.now(IST).date()


@dataclass(frozen=True, slots=True)
class Session:
    """The hours of one phase (open or pre_open) of weekdays, from a day on; see `Hours`."""

    phase: str
    opens: time
    closes: time
    valid_from: date
    valid_to: date | None = None


@dataclass(frozen=True, slots=True)
class SpecialDay:
    """A day that is not like the others: closed, or open in these hours and no others."""

    name: str
    opens: time | None = None
    closes: time | None = None


@dataclass(frozen=True, slots=True)
class Hours:
    """The hours of one segment.

    Of the sessions of one phase the one counts that began last; it counts no longer than its
    `valid_to`. Saturdays and Sundays are closed unless they are special days with hours.
    """

    sessions: tuple[Session, ...] = ()
    special_days: Mapping[date, SpecialDay] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MarketStatus:
    """What a segment is doing.

    Attributes:
        status: open, pre_open, closed or holiday.
        name: the special day's name, "" on other days.
        next_status, next_change: what comes next and when, in UTC; "" and None when nothing
            changes within 60 days.
    """

    segment: str
    status: str
    name: str
    next_status: str
    next_change: datetime | None

    @property
    def next_change_ist(self) -> datetime | None:
        """The moment of the next change on Indian clocks."""
        return self.next_change and self.next_change.astimezone(IST)


def market_status(segment: str, hours: Hours, moment: datetime) -> MarketStatus:
    """Return what the segment is doing at a moment.

    Args:
        moment: aware, in any time zone.

    Raises:
        ValueError: the moment has no time zone.
    """
    if moment.utcoffset() is None:
        raise ValueError(f"a moment needs a time zone, was {quoted(moment)}")
    local = moment.astimezone(IST)
    status, next_status, next_change = CLOSED, "", None
    for begins, stage in stages(hours, local.date()):
        if begins <= local:
            status = stage
        elif stage != status:
            next_status, next_change = stage, begins.astimezone(UTC)
            break
    special = hours.special_days.get(local.date())
    return MarketStatus(segment, status, special.name if special else "", next_status, next_change)


def stages(hours: Hours, first_day: date) -> Iterator[tuple[datetime, str]]:
    """Yield when each stage of the coming days begins, and its status, in order.

    The first begins at midnight (IST) of the first day; a stage may be like the one before it.
    """
    for number in range(HORIZON_DAYS + 1):
        day = first_day + number * ONE_DAY
        rest, periods = day_plan(hours, day)
        edges = {time.min, *(edge for _, opens, closes in periods for edge in (opens, closes))}
        for edge in sorted(edges):
            # The plan lists the open session last: where the two overlap the market is open.
            status = rest
            for phase, opens, closes in periods:
                if opens <= edge < closes:
                    status = phase
            yield datetime.combine(day, edge, IST), status


def day_plan(hours: Hours, day: date) -> tuple[str, list[tuple[str, time, time]]]:
    """Return a day's status out of hours, and its phases: status, opening, closing."""
    special = hours.special_days.get(day)
    if special is not None:
        if special.opens is None or special.closes is None:
            return HOLIDAY, []
        return CLOSED, [(OPEN, special.opens, special.closes)]
    if day.weekday() >= 5:
        return CLOSED, []
    plan = []
    for phase in (PRE_OPEN, OPEN):
        rows = [row for row in hours.sessions if row.phase == phase and row.valid_from <= day]
        latest = max(rows, key=lambda row: row.valid_from, default=None)
        if latest is not None and (latest.valid_to is None or day <= latest.valid_to):
            plan.append((phase, latest.opens, latest.closes))
    return CLOSED, plan
