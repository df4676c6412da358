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
# The last prices of the day are made: nothing trades continuously any more.
CLOSING_AUCTION = "closing_auction"
STATUSES = (OPEN, PRE_OPEN, CLOSING_AUCTION, CLOSED, HOLIDAY)

# Longer than any market stays closed; beyond it no next change is looked for.
HORIZON_DAYS = 60
ONE_DAY = timedelta(days=1)


def today_in_india() -> date:
    """Return the date in India now."""
    return datetime.now(IST).date()


@dataclass(frozen=True, slots=True)
class Session:
    """The hours of one phase (open, pre_open, closing_auction) of weekdays; see `Hours`."""

    phase: str
    opens: time
    closes: time
    valid_from: date
    valid_to: date | None = None


@dataclass(frozen=True, slots=True)
class SpecialDay:
    """A day that is not like the others: closed, or open in these hours and no others.

    Attributes:
        pre_opens: when a pre-open begins; it ends at the opening.
        pauses, resumes: the end of the first of two sessions, and the beginning of the second.
    """

    name: str
    opens: time | None = None
    closes: time | None = None
    pre_opens: time | None = None
    pauses: time | None = None
    resumes: time | None = None

    @property
    def problem(self) -> str:
        """What is wrong with the hours, as a sentence; "" if nothing is."""
        opens, closes = self.opens, self.closes
        if (opens is None) != (closes is None) or (opens and closes and opens >= closes):
            return "Give both hours, closing after opening, or neither."
        if self.pre_opens is not None and self.pre_open is None:
            return "A pre-open needs hours, and begins before the opening."
        if (self.pauses is not None or self.resumes is not None) and self.pause is None:
            return "A pause needs both its times, within the day's hours."
        return ""

    @property
    def pre_open(self) -> tuple[time, time] | None:
        """The hours of the pre-open, if there is one."""
        if self.opens is None or self.pre_opens is None or self.pre_opens >= self.opens:
            return None
        return self.pre_opens, self.opens

    @property
    def pause(self) -> tuple[time, time] | None:
        """When nothing trades between two sessions; None if there is one session."""
        opens, closes, pauses, resumes = self.opens, self.closes, self.pauses, self.resumes
        if opens is None or closes is None or pauses is None or resumes is None:
            return None
        return (pauses, resumes) if opens < pauses < resumes < closes else None


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
        status: open, pre_open, closing_auction, closed or holiday.
        name: the special day's name, "" on other days.
        next_status, next_change: what comes next and when, in UTC; "" and None when nothing
            changes within 60 days.
        next_open: when continuous trading begins next, in UTC; None if not within 60 days.
    """

    segment: str
    status: str
    name: str
    next_status: str
    next_change: datetime | None
    next_open: datetime | None = None

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
        raise ValueError(f"a moment needs a time zone, got {quoted(moment)}")
    local = moment.astimezone(IST)
    status, next_status, next_change = CLOSED, "", None
    next_open, before = None, CLOSED
    for begins, stage in stages(hours, local.date()):
        if begins <= local:
            status = stage
        elif next_change is None and stage != status:
            next_status, next_change = stage, begins.astimezone(UTC)
        if begins > local and stage == OPEN != before:
            next_open = begins.astimezone(UTC)
            break
        before = stage
    special = hours.special_days.get(local.date())
    name = special.name if special else ""
    return MarketStatus(segment, status, name, next_status, next_change, next_open)


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
    """Return a day's status out of hours, and its phases: status, opening, closing.

    A phase may have several periods, in order. Where phases overlap the last one counts.
    """
    special = hours.special_days.get(day)
    if special is not None:
        if special.opens is None or special.closes is None:
            return HOLIDAY, []
        plan = [(PRE_OPEN, *special.pre_open)] if special.pre_open else []
        pauses, resumes = special.pause or (special.closes, special.closes)
        plan.append((OPEN, special.opens, pauses))
        if resumes < special.closes:
            plan.append((OPEN, resumes, special.closes))
        return CLOSED, plan
    if day.weekday() >= 5:
        return CLOSED, []
    plan = []
    for phase in (PRE_OPEN, CLOSING_AUCTION, OPEN):
        rows = [row for row in hours.sessions if row.phase == phase and row.valid_from <= day]
        latest = max(rows, key=lambda row: row.valid_from, default=None)
        if latest is not None and (latest.valid_to is None or day <= latest.valid_to):
            plan.append((phase, latest.opens, latest.closes))
    return CLOSED, plan


def quiet_hours(hours: Hours, day: date) -> list[tuple[time, time]]:
    """Return the parts of the trading hours without continuous trading: pauses and auctions."""
    traded = trading_hours(hours, day)
    if traded is None:
        return []
    quiet, (at, closes) = [], traded
    for phase, begins, ends in day_plan(hours, day)[1]:
        if phase == OPEN:
            if begins > at:
                quiet.append((at, begins))
            at = ends
    return [*quiet, (at, closes)] if at < closes else quiet


def trading_hours(hours: Hours, day: date) -> tuple[time, time] | None:
    """Return when trading begins and ends on a day, a closing auction included.

    None if nothing trades that day. A pre-open is no part of it, a pause between two sessions is.
    """
    _, plan = day_plan(hours, day)
    opens = min((opens for phase, opens, _ in plan if phase == OPEN), default=None)
    if opens is None:
        return None
    return opens, max(closes for phase, _, closes in plan if phase != PRE_OPEN)
