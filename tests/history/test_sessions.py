"""Trading days, and the candles, weeks and months in which a moment lies."""

from datetime import date, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.sessions import Hours, Session, SpecialDay
from quotes.history.candles.intervals import Interval
from quotes.history.candles.sessions import Calendar, period_of
from quotes.runtime.clock import midnight_of
from tests.history.logs import MINUTE

EVENING = Hours(
    (Session("open", time(9), time(23, 30), date(2000, 1, 1)),),
    {
        date(2021, 4, 14): SpecialDay("Ambedkar Jayanti"),
        date(2021, 11, 4): SpecialDay("Diwali", time(18, 15), time(19, 20)),
    },
)


@pytest.mark.parametrize(
    ("day", "hour", "minute", "span"),
    [
        ((2021, 4, 16), 9, 0, ("09:00", "10:00")),
        ((2021, 4, 16), 23, 29, ("23:00", "23:30")),
        ((2021, 4, 16), 23, 30, ("23:00", "23:30")),
        ((2021, 4, 16), 23, 31, None),
        ((2021, 4, 16), 8, 59, None),
        ((2021, 4, 14), 12, 0, None),
        ((2021, 4, 17), 12, 0, None),
        ((2021, 11, 4), 18, 14, None),
        ((2021, 11, 4), 19, 19, ("19:15", "19:20")),
    ],
)
def test_candles_follow_the_sessions(
    day: tuple[int, int, int], hour: int, minute: int, span: tuple[str, str] | None
) -> None:
    """Aligned to the opening, short at the close, none on holidays and weekends."""
    midnight = midnight_of(date(*day))
    moment = midnight + (60 * hour + minute) * MINUTE
    found = Calendar(EVENING).day_of(moment)
    if span is None:
        assert found is None
    else:
        assert found is not None
        clock = tuple(
            f"{at // MINUTE // 60:02}:{at // MINUTE % 60:02}"
            for at in (edge - midnight for edge in found.span(Interval.HOUR, moment))
        )
        assert clock == span


CASH = Hours(
    (
        Session("open", time(9, 15), time(15, 30), date(2000, 1, 1)),
        Session("closing_auction", time(15, 15), time(15, 35), date(2026, 8, 3)),
    ),
    {
        date(2024, 3, 2): SpecialDay(
            "Recovery site", time(9, 15), time(12, 30), time(9), time(10), time(11, 30)
        )
    },
)


@pytest.mark.parametrize(
    ("day", "hour", "minute", "minutes"),
    [
        ((2026, 7, 31), 15, 30, ("15:29", "15:30")),
        ((2026, 7, 31), 15, 31, None),
        ((2026, 8, 3), 15, 31, ("15:31", "15:32")),  # the price of the auction
        ((2026, 8, 3), 15, 35, ("15:34", "15:35")),
        ((2026, 8, 3), 15, 36, None),
        ((2024, 3, 2), 9, 14, None),
        ((2024, 3, 2), 9, 15, ("09:15", "09:16")),
        ((2024, 3, 2), 12, 29, ("12:29", "12:30")),
    ],
)
def test_candles_follow_the_hours_of_their_day(
    day: tuple[int, int, int], hour: int, minute: int, minutes: tuple[str, str] | None
) -> None:
    """A closing auction is in candles from its first day on; older days keep their hours."""
    midnight = midnight_of(date(*day))
    found = Calendar(CASH).day_of(midnight + (60 * hour + minute) * MINUTE)
    if minutes is None:
        assert found is None
    else:
        assert found is not None
        start, end = found.span(Interval.MINUTE, midnight + (60 * hour + minute) * MINUTE)
        assert minutes == tuple(
            f"{at // MINUTE // 60:02}:{at // MINUTE % 60:02}"
            for at in (start - midnight, end - midnight)
        )


@given(st.integers(10**12, 2 * 10**12), st.sampled_from(list(Interval)[:7]), st.booleans())
def test_every_moment_of_a_day_is_in_one_candle(
    moment: int, interval: Interval, round_the_clock: bool
) -> None:
    """Its start is in it too, its end in another, and shorter candles lie within longer ones."""
    calendar = Calendar(None if round_the_clock else EVENING, all_hours=True)
    day = calendar.day_of(moment)
    assert day is not None
    start, ends = day.span(interval, moment)
    assert start <= moment < ends and ends - start <= interval.step_ms
    assert day.span(interval, start) == day.span(interval, ends - 1) == (start, ends)
    minute = day.span(Interval.MINUTE, moment)
    assert start <= minute[0] < minute[1] <= ends


@pytest.mark.parametrize(
    ("interval", "day", "first", "following"),
    [
        (Interval.WEEK, date(2021, 4, 16), date(2021, 4, 12), date(2021, 4, 19)),
        (Interval.WEEK, date(2021, 4, 12), date(2021, 4, 12), date(2021, 4, 19)),
        (Interval.MONTH, date(2021, 12, 31), date(2021, 12, 1), date(2022, 1, 1)),
        (Interval.MONTH, date(2024, 2, 29), date(2024, 2, 1), date(2024, 3, 1)),
    ],
)
def test_weeks_and_months_are_those_of_india(
    interval: Interval, day: date, first: date, following: date
) -> None:
    """From Monday, and from the first, at midnight."""
    midnight = midnight_of(day)
    expected = (midnight_of(first), midnight_of(following))
    assert period_of(interval, midnight) == period_of(interval, midnight + 1000) == expected
