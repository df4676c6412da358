from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.sessions import (
    HORIZON_DAYS,
    IST,
    Hours,
    Session,
    SpecialDay,
    market_status,
    trading_hours,
)

BEGIN = date(2020, 1, 1)
EQUITY = Hours(
    sessions=(
        Session("pre_open", time(9, 0), time(9, 15), BEGIN),
        Session("open", time(9, 15), time(15, 30), BEGIN),
        Session("open", time(9, 15), time(15, 40), date(2026, 8, 3)),
    ),
    special_days={
        date(2026, 1, 26): SpecialDay("Republic Day"),
        date(2026, 2, 1): SpecialDay("Budget", time(9, 15), time(15, 30)),
        date(2026, 11, 8): SpecialDay("Diwali", time(18, 0), time(19, 0)),
    },
)


def ist(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=IST)


@pytest.mark.parametrize(
    ("moment", "status", "next_status", "next_change"),
    [
        ("2026-07-31 08:59:59", "closed", "pre_open", "2026-07-31 09:00"),  # a Friday
        ("2026-07-31 09:00:00", "pre_open", "open", "2026-07-31 09:15"),
        ("2026-07-31 09:15:00", "open", "closed", "2026-07-31 15:30"),
        ("2026-07-31 15:29:59", "open", "closed", "2026-07-31 15:30"),
        ("2026-07-31 15:30:00", "closed", "pre_open", "2026-08-03 09:00"),
        ("2026-08-01 12:00:00", "closed", "pre_open", "2026-08-03 09:00"),
        ("2026-08-03 15:35:00", "open", "closed", "2026-08-03 15:40"),  # the new hours
        ("2026-01-25 20:00:00", "closed", "holiday", "2026-01-26 00:00"),
        ("2026-01-26 10:00:00", "holiday", "closed", "2026-01-27 00:00"),
        ("2026-02-01 10:00:00", "open", "closed", "2026-02-01 15:30"),  # a Sunday of trade
        ("2026-11-08 10:00:00", "closed", "open", "2026-11-08 18:00"),
        ("2026-11-08 18:30:00", "open", "closed", "2026-11-08 19:00"),
    ],
)
def test_status_and_what_comes_next(
    moment: str, status: str, next_status: str, next_change: str
) -> None:
    """A moment's status, the next one and when it begins, by the rows that are valid that day."""
    found = market_status("NSE_EQ", EQUITY, ist(moment))
    assert (found.status, found.next_status) == (status, next_status)
    assert found.next_change == ist(next_change)
    assert found.next_change.tzinfo is UTC
    assert found.next_change_ist is not None
    assert f"{found.next_change_ist:%Y-%m-%d %H:%M}" == next_change


def test_the_day_is_that_of_india() -> None:
    """20:00 UTC is already the next day in India, and the answer does not depend on the zone."""
    moment = datetime(2026, 1, 25, 20, 0, tzinfo=UTC)
    assert market_status("NSE_EQ", EQUITY, moment).status == "holiday"
    assert market_status("NSE_EQ", EQUITY, moment) == market_status(
        "NSE_EQ", EQUITY, moment.astimezone(IST)
    )
    assert market_status("NSE_EQ", EQUITY, moment).name == "Republic Day"


def test_a_moment_needs_a_time_zone() -> None:
    """A naive moment is refused: it could be meant in India or anywhere."""
    with pytest.raises(ValueError, match="needs a time zone, got "):
        market_status("NSE_EQ", EQUITY, datetime(2026, 1, 25))


def test_the_last_day_of_a_session_is_one_of_its_days() -> None:
    """A row is valid up to and including its last day."""
    hours = Hours(sessions=(Session("open", time(9), time(17), BEGIN, date(2026, 7, 31)),))
    assert market_status("CDS", hours, ist("2026-07-31 12:00")).status == "open"
    assert market_status("CDS", hours, ist("2026-07-31 17:00")).next_change is None


def test_a_market_without_hours_stays_closed() -> None:
    """No rows: closed, and no change in sight; rows that have ended count no more."""
    ended = Hours(sessions=(Session("open", time(9), time(17), BEGIN, date(2020, 12, 31)),))
    for hours in (Hours(), ended):
        found = market_status("CDS", hours, ist("2026-07-31 12:00"))
        assert (found.status, found.next_status, found.next_change) == ("closed", "", None)


CASH = Hours(
    sessions=(
        Session("pre_open", time(9, 0), time(9, 15), BEGIN),
        Session("open", time(9, 15), time(15, 30), BEGIN),
        Session("closing_auction", time(15, 15), time(15, 35), date(2026, 8, 3)),
        Session("closing_auction", time(15, 30), time(15, 40), date(2026, 12, 7)),
    ),
    special_days={
        date(2024, 3, 2): SpecialDay(
            "Recovery site", time(9, 15), time(12, 30), time(9), time(10), time(11, 30)
        ),
        date(2026, 11, 8): SpecialDay("Diwali", time(18, 15), time(19, 15), time(18)),
    },
)


@pytest.mark.parametrize(
    ("moment", "next_open"),
    [
        ("2026-07-31 08:59:59", "2026-07-31 09:15"),
        ("2026-07-31 09:05:00", "2026-07-31 09:15"),
        ("2026-07-31 09:15:00", "2026-08-03 09:15"),  # open: the next day of trade
        ("2026-07-31 16:00:00", "2026-08-03 09:15"),
        ("2026-01-25 20:00:00", "2026-01-27 09:15"),  # a holiday between
        ("2026-01-31 10:00:00", "2026-02-01 09:15"),  # a Sunday of trade
        ("2026-11-08 10:00:00", "2026-11-08 18:00"),
    ],
)
def test_when_it_opens_next(moment: str, next_open: str) -> None:
    """The next opening may come after a pre-open, a holiday or a weekend."""
    assert market_status("NSE_EQ", EQUITY, ist(moment)).next_open == ist(next_open)


def test_without_hours_nothing_opens() -> None:
    """A segment that trades no more opens at no time."""
    assert market_status("CDS", Hours(), ist("2026-07-31 10:00")).next_open is None


@pytest.mark.parametrize(
    ("moment", "status", "next_status", "next_change"),
    [
        ("2026-07-31 15:32", "closed", "pre_open", "2026-08-03 09:00"),  # before the auction began
        ("2026-08-03 15:20", "open", "closing_auction", "2026-08-03 15:30"),  # others still trade
        ("2026-08-03 15:30", "closing_auction", "closed", "2026-08-03 15:35"),
        ("2026-12-04 15:36", "closed", "pre_open", "2026-12-07 09:00"),
        ("2026-12-07 15:36", "closing_auction", "closed", "2026-12-07 15:40"),
        ("2024-03-02 09:05", "pre_open", "open", "2024-03-02 09:15"),  # a Saturday of two sessions
        ("2024-03-02 09:59", "open", "closed", "2024-03-02 10:00"),
        ("2024-03-02 11:00", "closed", "open", "2024-03-02 11:30"),
        ("2024-03-02 12:29", "open", "closed", "2024-03-02 12:30"),
        ("2026-11-08 18:05", "pre_open", "open", "2026-11-08 18:15"),
        ("2026-11-08 19:15", "closed", "pre_open", "2026-11-09 09:00"),  # no auction on that day
    ],
)
def test_auctions_and_days_of_two_sessions(
    moment: str, status: str, next_status: str, next_change: str
) -> None:
    """A closing auction follows the hours from its first day on; a pause is closed."""
    found = market_status("NSE_EQ", CASH, ist(moment))
    assert (found.status, found.next_status) == (status, next_status)
    assert found.next_change == ist(next_change)


@pytest.mark.parametrize(
    ("day", "hours"),
    [
        (date(2026, 7, 31), (time(9, 15), time(15, 30))),
        (date(2026, 8, 3), (time(9, 15), time(15, 35))),
        (date(2026, 12, 7), (time(9, 15), time(15, 40))),
        (date(2024, 3, 2), (time(9, 15), time(12, 30))),
        (date(2026, 11, 8), (time(18, 15), time(19, 15))),
        (date(2026, 8, 1), None),
    ],
)
def test_trading_hours_are_those_of_the_day(day: date, hours: tuple[time, time] | None) -> None:
    """They end with the closing auction, and have the pause of a day in them."""
    assert trading_hours(CASH, day) == hours


@pytest.mark.parametrize(
    "day",
    [
        SpecialDay("X", time(9), time(17), time(9)),
        SpecialDay("X", time(9), time(17), time(18)),
        SpecialDay("X", time(9), time(17), None, time(10)),
        SpecialDay("X", time(9), time(17), None, time(11), time(10)),
        SpecialDay("X", time(9), time(17), None, time(8), time(10)),
        SpecialDay("X", time(9), time(17), None, time(10), time(17)),
    ],
)
def test_what_cannot_be_within_a_day_is_ignored(day: SpecialDay) -> None:
    """A pre-open or pause that does not fit the hours, as the release before may leave it."""
    assert day.problem
    hours = Hours(special_days={date(2026, 1, 26): day})
    found = market_status("MCX", hours, ist("2026-01-26 09:00"))
    assert (found.status, found.next_change) == ("open", ist("2026-01-26 17:00"))


times = st.times(time(0, 0), time(23, 59)).map(lambda t: t.replace(second=0, microsecond=0))
spans = st.tuples(times, times).filter(lambda pair: pair[0] < pair[1])
days = st.dates(date(2026, 1, 1), date(2026, 2, 28))


@st.composite
def sessions(draw: st.DrawFn) -> Session:
    opens, closes = draw(spans)
    return Session(
        draw(st.sampled_from(["open", "pre_open", "closing_auction"])),
        opens,
        closes,
        draw(days),
        draw(st.none() | days),
    )


@st.composite
def special_days(draw: st.DrawFn) -> SpecialDay:
    opens, closes = draw(st.just((None, None)) | spans)
    some = st.none() | times
    return SpecialDay("special", opens, closes, draw(some), draw(some), draw(some))


all_hours = st.builds(
    Hours,
    sessions=st.lists(sessions(), max_size=5, unique_by=lambda s: (s.phase, s.valid_from)).map(
        tuple
    ),
    special_days=st.dictionaries(days, special_days(), max_size=5),
)
moments = st.datetimes(datetime(2026, 1, 1), datetime(2026, 3, 1)).map(
    lambda naive: naive.replace(tzinfo=IST)
)


def plain_status(hours: Hours, moment: datetime) -> str:
    """The status by the words of the rule, moment by moment, without a plan of the day."""
    day, clock = moment.astimezone(IST).date(), moment.astimezone(IST).time()
    special = hours.special_days.get(day)
    if special is not None:
        if special.opens is None or special.closes is None:
            return "holiday"
        paused = (
            special.pauses is not None
            and special.resumes is not None
            and special.opens < special.pauses <= clock < special.resumes < special.closes
        )
        if special.opens <= clock < special.closes:
            return "closed" if paused else "open"
        early = special.pre_opens is not None and special.pre_opens <= clock < special.opens
        return "pre_open" if early else "closed"
    if day.weekday() in (5, 6):
        return "closed"
    for phase in ("open", "closing_auction", "pre_open"):
        begun = sorted(
            (row for row in hours.sessions if row.phase == phase and row.valid_from <= day),
            key=lambda row: row.valid_from,
        )
        for row in begun[-1:]:
            if row.valid_to is not None and row.valid_to < day:
                continue
            if row.opens <= clock < row.closes:
                return phase
    return "closed"


@given(all_hours, moments, st.lists(st.floats(0, 1), max_size=5))
def test_nothing_changes_before_the_next_change(
    hours: Hours, moment: datetime, fractions: list[float]
) -> None:
    """The status holds at every moment up to the next change, and is the next status at it."""
    found = market_status("NSE_EQ", hours, moment)
    assert found.status == plain_status(hours, moment)
    end = found.next_change or moment + timedelta(days=HORIZON_DAYS)
    assert end > moment
    tick = timedelta(microseconds=1)
    between = [moment + fraction * (end - tick - moment) for fraction in fractions]
    for each in (*between, end - tick):
        assert plain_status(hours, each) == found.status
        if found.next_change is not None:
            assert market_status("NSE_EQ", hours, each).next_change == found.next_change
    if found.next_change is not None:
        assert plain_status(hours, end) == found.next_status != found.status
