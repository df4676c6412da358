"""The clock: days in India, and moments there and back."""

import time
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotes.runtime.clock import (
    DAY_MS,
    IST,
    date_of,
    date_of_day,
    day_number,
    day_of_date,
    india_time,
    midnight_of,
    midnight_of_day,
    ms_of_day,
    now_ms,
    today_in_india,
    unix_ms,
)

# From the year 1 to the year 9999, a day inside either end.
moments = st.integers(-62_135_500_000_000, 253_402_200_000_000)


def test_now_is_in_milliseconds() -> None:
    """The present is that of the system's clock, in whole milliseconds."""
    before = time.time()
    assert int(before * 1000) <= now_ms() <= time.time() * 1000
    assert abs(datetime.now(UTC) - india_time(now_ms())) < timedelta(minutes=1)


def test_today_is_the_date_in_india() -> None:
    before = date_of(now_ms())
    assert before <= today_in_india() <= date_of(now_ms())


@pytest.mark.parametrize(
    ("utc", "day"),
    [
        ("2024-04-04T18:29:59.999", date(2024, 4, 4)),
        ("2024-04-04T18:30:00.000", date(2024, 4, 5)),
        ("2024-04-05T00:00:00.000", date(2024, 4, 5)),
        ("2024-04-05T18:29:59.999", date(2024, 4, 5)),
        ("2023-12-31T18:30:00.000", date(2024, 1, 1)),
        ("2024-02-28T18:30:00.000", date(2024, 2, 29)),
        ("1969-12-31T18:29:59.999", date(1969, 12, 31)),
        ("1969-12-31T18:30:00.000", date(1970, 1, 1)),
    ],
)
def test_a_day_begins_at_midnight_in_india(utc: str, day: date) -> None:
    """18:30 UTC is the next day in India, the millisecond before it is not."""
    timestamp = unix_ms(datetime.fromisoformat(utc).replace(tzinfo=UTC))
    assert date_of(timestamp) == day
    assert day_number(timestamp) == (day - date(1970, 1, 1)).days
    assert midnight_of(day) <= timestamp < midnight_of(day) + DAY_MS


@given(st.dates())
def test_a_date_has_a_number_and_a_midnight(day: date) -> None:
    """Date, number and midnight lead to each other, and agree with aware datetimes."""
    number = day_of_date(day)
    assert date_of_day(number) == day
    assert midnight_of(day) == midnight_of_day(number)
    assert (date_of(midnight_of(day)), day_number(midnight_of(day))) == (day, number)
    assert date_of(midnight_of(day) + DAY_MS - 1) == day
    if day > date.min:
        assert midnight_of(day) == unix_ms(datetime.combine(day, time_of_day.min, IST))
        assert date_of(midnight_of(day) - 1) == day - timedelta(days=1)


@given(moments)
def test_a_moment_and_its_time_in_india(timestamp: int) -> None:
    """A moment comes back from its datetime, on the date that the arithmetic says."""
    moment = india_time(timestamp)
    assert unix_ms(moment) == timestamp
    assert (moment.tzinfo, moment.date()) == (IST, date_of(timestamp))
    assert ms_of_day(moment.time()) == (timestamp - midnight_of(moment.date())) // 1000 * 1000
