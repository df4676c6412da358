"""The pure rules of history: volumes, sessions, intervals, places in the log, announcements."""

from datetime import date, time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.keys import InstrumentKey
from instruments.sessions import Hours, Session, SpecialDay
from quotes.errors import BadInterval
from quotes.history.candles.bars import Bar
from quotes.history.candles.deriving import Change
from quotes.history.candles.intervals import Interval
from quotes.history.candles.sessions import Calendar, period_of
from quotes.history.candles.volumes import SESSION_START, advance
from quotes.history.recording.announcements import (
    MAX_PENDING,
    PendingCandles,
    candle_group,
    candle_messages,
)
from quotes.history.tables.log_positions import BEGINNING, follow, pass_over
from quotes.runtime.clock import midnight_of
from tests.history.logs import MINUTE, OPENING

EVENING = Hours(
    (Session("open", time(9), time(23, 30), date(2000, 1, 1)),),
    {
        date(2021, 4, 14): SpecialDay("Ambedkar Jayanti"),
        date(2021, 11, 4): SpecialDay("Diwali", time(18, 15), time(19, 20)),
    },
)


@pytest.mark.parametrize(
    ("readings", "traded"),
    [
        ([100, 150, 150, 180], [100, 50, 0, 30]),
        ([100, 90, 120], [100, 0, 20]),  # late
        ([100, 0, 120], [100, 0, 20]),  # a feed that does not know
        ([0, 0, 5], [0, 0, 5]),
        ([100, 10, 30], [100, 10, 20]),  # began anew
        ([100, 0, 10, 30], [100, 0, 10, 20]),
        ([100, 10, 130, 140], [100, 10, 30, 10]),  # a bad reading
        ([100, 10, 60, 130], [100, 10, 50, 70]),  # grew past the old height
        ([100, 50, 101], [100, 0, 1]),
    ],
)
def test_volume_is_made_of_differences(readings: list[int], traded: list[int]) -> None:
    """Each reading adds what was traded since those before."""
    standing, found = SESSION_START, []
    for reading in readings:
        amount, standing = advance(standing, reading)
        found.append(amount)
    assert found == traded


@given(st.lists(st.integers(1, 10**9)))
def test_rising_volume_adds_up_to_its_last_reading(readings: list[int]) -> None:
    """Whatever was repeated or late by less than half, the sum is the exchange's."""
    rising = sorted(readings)
    total, standing = 0, SESSION_START
    for reading in rising:
        for one in (reading, reading - reading // 3, reading):
            amount, standing = advance(standing, one)
            assert amount >= 0
            total += amount
    assert total == max(rising, default=0)


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


@pytest.mark.parametrize(
    ("name", "interval"),
    [("1m", 1), ("minute", 1), ("5minute", 5), ("60m", 60), ("day", 1440), ("1d", 1440)],
)
def test_intervals_have_our_names_and_kites(name: str, interval: int) -> None:
    """Both mean the same."""
    assert Interval.parse(name) == interval
    assert Interval.parse(Interval(interval).label) == interval


@pytest.mark.parametrize("name", ["", "2m", "1D", "m", "5", "1M "])
def test_other_names_are_refused(name: str) -> None:
    """The text lists what there is."""
    with pytest.raises(BadInterval, match=f"1m, 3m, .* 1w, 1M, was '{name}'"):
        Interval.parse(name)


@given(st.lists(st.tuples(st.integers(1, 50), st.sampled_from("rrrtlu")), max_size=30))
def test_positions_grow_and_nothing_is_missing_unsaid(steps: list[tuple[int, str]]) -> None:
    """Read, trimmed, lost, unreadable: each tick's position is new, each hole is told."""
    place, log_n, entry, newest = BEGINNING, 0, 0, 0
    for count, what in steps:
        entry += 1
        if what == "t":
            log_n += count
            continue
        if what == "l":
            log_n = 0
            continue
        log_n += count
        known = place.n
        if what == "u":
            place, missing = pass_over(place, f"{entry}-0", log_n)
            assert missing.reason == "unreadable"
        else:
            place, gap = follow(place, f"{entry}-0", log_n, count)
            assert (gap is None) == (log_n - count == known)
            if gap is not None and gap.reason == "trimmed":
                assert gap.ticks == log_n - count - known
            assert place.base + place.n - count >= newest
        newest = max(newest, place.base + place.n)
        assert place.n == log_n or what == "u"


def change(interval: Interval, start: int, *, series: int = 1) -> Change:
    price = Decimal("10.50")
    ends = start + interval.step_ms
    return Change(series, interval, Bar(start, ends, price, price, price, price, 5, None, 1))


def test_messages_have_each_interval_once_and_in_order() -> None:
    """A candle that became final comes before the one that follows it."""
    changes = [
        change(Interval.MINUTE, OPENING + MINUTE),
        change(Interval.MINUTES_5, OPENING),
        change(Interval.MINUTE, OPENING),
    ]
    first, second = candle_messages("NSE_EQ:RELIANCE", changes)
    assert list(first["candles"]) == ["1m", "5m"] and list(second["candles"]) == ["1m"]
    assert f'"start":{OPENING},' in first["candles"]["1m"]
    assert '"open":10.50,' in first["candles"]["1m"]
    assert f'"start":{OPENING + MINUTE},' in second["candles"]["1m"]


def test_pending_candles_wait_for_their_turn_and_are_bounded() -> None:
    """At most once a second for each instrument; while catching up only the newest of each."""
    pending = PendingCandles(every_s=1)
    pending.add([change(Interval.MINUTE, OPENING), change(Interval.MINUTE, OPENING, series=2)])
    assert set(pending.take_due(10.0)) == {1, 2}
    pending.add([change(Interval.MINUTE, OPENING + n * MINUTE) for n in range(2 * MAX_PENDING)])
    assert pending.take_due(10.9) == {}
    (changes,) = pending.take_due(11.0).values()
    assert len(changes) == MAX_PENDING and changes[-1].bar.start > changes[0].bar.start > OPENING
    many = [change(Interval.MINUTE, OPENING + n * MINUTE) for n in range(9)]
    pending.add(many, newest_only=True)
    assert pending.take_due(20.0) == {1: many[-1:]}


def test_group_names_of_candles_are_valid() -> None:
    """Fewer than 100 characters, however long the symbol."""
    short = candle_group(InstrumentKey("NSE_EQ", "M&M"))
    assert short == "candles." + InstrumentKey("NSE_EQ", "M&M").group_name
    long = {candle_group(InstrumentKey("NSE_EQ", "₹" * 20 + str(n))) for n in range(9)}
    assert len(long) == 9 and all(len(name) < 100 for name in long)
