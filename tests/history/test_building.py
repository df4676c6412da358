"""Candles kept up to date tick by tick are those that all the ticks make at once."""

from collections.abc import Iterable
from datetime import date, time
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from instruments.sessions import Hours, Session
from quotes.history.candles.bars import Bar, Point, merge
from quotes.history.candles.building import CandleBuilder
from quotes.history.candles.deriving import CandleChange, RemovedCandle
from quotes.history.candles.intervals import STORED, Interval
from quotes.history.candles.sessions import Calendar, calendars
from quotes.runtime.clock import DAY_MS
from tests.history.noise import noisy_sessions

DAY = 1_618_531_200_000 + 4 * 3_600_000 - 15 * 60_000  # 2021-04-16 09:15 in India
NSE = Hours((Session("open", time(9, 15), time(15, 30), date(2000, 1, 1)),))


class Memory:
    """A store of ticks and candles in memory."""

    def __init__(self) -> None:
        self.ticks: list[Point] = []
        self.stored: dict[tuple[Interval, int], Bar] = {}

    def points(self, series: int, start: int, end: int) -> list[Point]:
        return [point for point in self.ticks if start <= point[0] < end]

    def bars(
        self, series: int, intervals: Iterable[Interval], start: int, end: int
    ) -> list[tuple[Interval, Bar]]:
        wanted = set(intervals)
        return [
            (interval, bar)
            for (interval, at), bar in sorted(self.stored.items())
            if interval in wanted and start <= at < end
        ]

    def last_bar(self, series: int, start: int, end: int) -> Bar | None:
        found = self.bars(series, [Interval.MINUTE], start, end)
        return found[-1][1] if found else None

    def take(self, changes: list[CandleChange], removed: Iterable[RemovedCandle] = ()) -> None:
        for one in removed:
            del self.stored[one.interval, one.start]
        for change in changes:
            self.stored[change.interval, change.bar.start] = change.bar


def built(batches: Iterable[list[Point]], *, restart_every: int = 0) -> Memory:
    memory = Memory()
    hours = calendars({"NSE_EQ": NSE})
    builder = CandleBuilder(memory, hours, grace_ms=0)
    for number, batch in enumerate(batches, 1):
        inside = [point for point in batch if hours["NSE_EQ"].day_of(point[0])]
        memory.ticks += inside
        if inside:
            memory.take(builder.apply("NSE_EQ", 1, inside))
        if restart_every and number % restart_every == 0:
            builder = CandleBuilder(memory, hours, grace_ms=0)
    return memory


def seen(memory: Memory) -> dict[tuple[Interval, int], tuple[object, ...]]:
    return {at: (*bar.values, bar.ends, bar.volume_state) for at, bar in memory.stored.items()}


# Event times over two sessions, many of them close together; the day's volume, mostly rising, with
# repeats, falls and no volume at all.
moments = st.one_of(
    st.integers(0, 90_000),
    st.integers(0, 22_560_000),
    st.integers(22_490_000, 22_570_000),
    st.integers(0, 10_000).map(lambda ms: ms + 3 * DAY_MS),
)
readings = st.one_of(st.just(-1), st.just(0), st.integers(1, 30), st.integers(100, 120))
prices = st.integers(95, 105).map(lambda paise: Decimal(paise) / 100)
feeds = st.lists(st.tuples(moments, readings, prices), max_size=60)


@st.composite
def two_arrivals(draw: st.DrawFn) -> tuple[list[list[Point]], list[list[Point]], int]:
    """The same ticks in two orders and two cuts into batches."""
    ticks = {
        (DAY + at, volume): (DAY + at, volume, price) for at, volume, price in draw(feeds)
    }.values()
    points: list[Point] = [
        (at, volume, number, price, None) for number, (at, volume, price) in enumerate(ticks)
    ]
    return (
        cut(draw, points),
        cut(draw, draw(st.permutations(points))),
        draw(st.integers(0, 4)),
    )


def cut(draw: st.DrawFn, points: list[Point]) -> list[list[Point]]:
    size = draw(st.integers(1, 20))
    return [points[at : at + size] for at in range(0, len(points), size)]


@settings(deadline=None, max_examples=300)
@given(two_arrivals())
def test_candles_depend_on_neither_order_nor_batches(
    arrivals: tuple[list[list[Point]], list[list[Point]], int],
) -> None:
    """Any order of arrival, any batches and any restarts give the same candles."""
    one, other, restart_every = arrivals
    whole = [[point for batch in one for point in batch]]
    at_once = seen(built(whole if whole[0] else []))
    assert seen(built(one)) == at_once
    assert seen(built(other, restart_every=restart_every)) == at_once


@settings(deadline=None, max_examples=100)
@given(two_arrivals())
def test_longer_candles_agree_with_one_minute_candles(
    arrivals: tuple[list[list[Point]], list[list[Point]], int],
) -> None:
    """Each candle is what its one-minute candles make together; none is missing or too many."""
    memory = built(arrivals[1])
    calendar: Calendar = calendars({"NSE_EQ": NSE})["NSE_EQ"]
    minutes = [bar for _, bar in memory.bars(1, [Interval.MINUTE], 0, 2**62)]
    assert sum(bar.ticks for bar in minutes) == len(memory.ticks)
    for interval in STORED:
        parts: dict[tuple[int, int], list[Bar]] = {}
        for bar in minutes:
            day = calendar.day(bar.start)
            assert day is not None
            parts.setdefault(day.span(interval, bar.start), []).append(bar)
        expected = {span: merge(bars, *span).values for span, bars in parts.items()}
        found = memory.bars(1, [interval], 0, 2**62)
        assert {(bar.start, bar.ends): bar.values for _, bar in found} == expected


@settings(deadline=None, max_examples=200)
@given(noisy_sessions(), st.data())
def test_noise_leaves_no_volume_in_any_order_of_arrival(
    session: list[tuple[int, bool]], data: st.DataObject
) -> None:
    """Each interval adds up to the day's last good reading, however its ticks arrived."""
    step = data.draw(st.sampled_from([1_000, 20_000, 60_000]))
    points: list[Point] = [
        (DAY + number * step, reading, number, Decimal(1), None)
        for number, (reading, _) in enumerate(session)
    ]
    size = data.draw(st.integers(1, 20))
    shuffled = data.draw(st.permutations(points))
    arrived = [shuffled[at : at + size] for at in range(0, len(shuffled), size)]
    memory = built(arrived, restart_every=data.draw(st.integers(0, 3)))
    last = [reading for reading, is_good in session if is_good][-1]
    for interval in STORED:
        bars = [bar for _, bar in memory.bars(1, [interval], 0, 2**62)]
        assert sum(bar.volume or 0 for bar in bars) == last
    assert seen(memory) == seen(built([points]))


HOURS = st.builds(
    lambda opens, closes: Hours((Session("open", opens, closes, date(2000, 1, 1)),)),
    st.sampled_from([time(9, 0), time(9, 15), time(9, 20), time(9, 47), time(10, 15)]),
    st.sampled_from([time(15, 0), time(15, 30), time(15, 40)]),
)
# From 10:15 to 14:55, in all of these hours, and close together.
inside = st.one_of(
    st.integers(3_600_000, 3_700_000),
    st.integers(3_600_000, 20_400_000),
    st.integers(5_000_000, 5_100_000),
)


@st.composite
def changing_hours(draw: st.DrawFn) -> tuple[list[Hours], list[list[Point]]]:
    """Hours that change within a session, and the ticks that arrive under each of them."""
    hours = draw(st.lists(HOURS, min_size=2, max_size=3))
    runs, number = [], 0
    for _ in hours:
        rows = draw(st.lists(st.tuples(inside, readings, prices), min_size=1, max_size=20))
        run: list[Point] = [
            (DAY + at, volume, number + place, price, None)
            for place, (at, volume, price) in enumerate(rows)
        ]
        number += len(run)
        runs.append(run)
    return hours, runs


@settings(deadline=None, max_examples=80)
@given(changing_hours(), st.integers(1, 5))
def test_hours_that_change_within_a_session_count_nothing_twice(
    changing: tuple[list[Hours], list[list[Point]]], size: int
) -> None:
    """After the next tick, the candles are those that all ticks make in the present hours."""
    memory = Memory()
    for hours, run in zip(*changing, strict=True):
        calendar = calendars({"NSE_EQ": hours})
        builder = CandleBuilder(memory, calendar, grace_ms=0)
        for at in range(0, len(run), size):
            batch = run[at : at + size]
            memory.ticks += batch
            changes = builder.apply("NSE_EQ", 1, batch)
            memory.take(changes, builder.take_removed())
        at_once = Memory()
        at_once.ticks = list(memory.ticks)
        whole = CandleBuilder(at_once, calendar, grace_ms=0)
        at_once.take(whole.apply("NSE_EQ", 1, list(memory.ticks)))
        assert seen(memory) == seen(at_once)
