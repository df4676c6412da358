"""Longer candles of a series, made of its one-minute candles as these change; pure rules, no I/O.

Each interval is made of a shorter one within the same hour; the day is made of its hours.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from quotes.history.candles.bars import Bar, Point, merge
from quotes.history.candles.intervals import STORED, WITHIN_DAY, Interval
from quotes.history.candles.sessions import Calendar, TradingDay

# How many hours of a series stay in memory.
_MAX_HOURS = 2

# Each interval and the shorter one it is made of.
_MADE_OF = {
    Interval.MINUTES_3: Interval.MINUTE,
    Interval.MINUTES_5: Interval.MINUTE,
    Interval.MINUTES_10: Interval.MINUTES_5,
    Interval.MINUTES_15: Interval.MINUTES_5,
    Interval.MINUTES_30: Interval.MINUTES_15,
    Interval.HOUR: Interval.MINUTES_30,
}

Level = dict[int, Bar]  # start -> candle, by time
_Levels = dict[Interval, Level]


class CandleChange(NamedTuple):
    """A candle that is new, or that differs from the stored one."""

    series: int
    interval: Interval
    bar: Bar


class CandleSource(Protocol):
    """The store that candles are built from: all ticks so far, and all changes returned before."""

    def points(self, series: int, start: int, end: int) -> list[Point]:
        """Return the ticks whose event time is in a range, in any order."""

    def bars(
        self, series: int, intervals: Iterable[Interval], start: int, end: int
    ) -> list[tuple[Interval, Bar]]:
        """Return the candles that start in a range, by time."""

    def last_bar(self, series: int, start: int, end: int) -> Bar | None:
        """Return the last one-minute candle that starts in a range."""


class LongerCandles:
    """The longer candles of one series; holds its last hours and last day in memory.

    Args:
        is_final: whether candles that end at a moment were announced as final by the last commit.
    """

    __slots__ = ("_calendar", "_day", "_day_level", "_hours", "_is_final", "_series", "_source")

    def __init__(
        self, series: int, calendar: Calendar, source: CandleSource, is_final: Callable[[int], bool]
    ) -> None:
        self._series = series
        self._calendar = calendar
        self._source = source
        self._is_final = is_final
        self._hours: dict[int, _Levels] = {}
        self._day: TradingDay | None = None
        self._day_level: _Levels = {}

    def _day_of(self, start: int) -> TradingDay:
        day = self._calendar.day(start)
        assert day is not None, f"a candle out of hours, at {start}"
        return day

    def derive(self, minutes: list[Bar]) -> list[CandleChange]:
        """Return every candle, of any interval, that changes with these one-minute candles."""
        changes: list[CandleChange] = []
        hours: dict[int, list[Bar]] = {}
        for bar in minutes:
            day = self._day_of(bar.start)
            hours.setdefault(day.start_of(bar.start, Interval.HOUR.step_ms), []).append(bar)
        for hour, bars in sorted(hours.items()):
            day = self._day_of(bars[0].start)
            levels = self._hour(day, hour)
            changed = [
                bar.start for bar in bars if self._put(changes, levels, Interval.MINUTE, bar)
            ]
            for interval, shorter in _MADE_OF.items():
                for start, ends in sorted({day.span(interval, start) for start in changed}):
                    members = [bar for at, bar in levels[shorter].items() if start <= at < ends]
                    self._put(changes, levels, interval, merge(members, start, ends))
            if changed:
                self._put_day(changes, day, levels[Interval.HOUR][hour])
        return changes

    def _hour(self, day: TradingDay, start: int) -> _Levels:
        """Return all candles within an hour: those in memory, or the stored ones."""
        levels = self._hours.get(start)
        if levels is None:
            levels = {interval: {} for interval in WITHIN_DAY}
            end = day.end_of(start, Interval.HOUR.step_ms)
            for interval, bar in self._source.bars(self._series, WITHIN_DAY, start, end):
                levels[interval][bar.start] = bar
            self._hours[start] = levels
            if len(self._hours) > _MAX_HOURS:
                del self._hours[min(self._hours)]
        return levels

    def _put(
        self, changes: list[CandleChange], levels: _Levels, interval: Interval, bar: Bar
    ) -> bool:
        """Put a candle into its level; return whether it differs from the one before."""
        level = levels[interval]
        old = level.get(bar.start)
        if old is not None:
            if (
                old.ticks == bar.ticks
                and old.volume == bar.volume
                and old.volume_state == bar.volume_state
                and interval is Interval.MINUTE
            ):
                return False
            was_final = bar.final = old.final or self._is_final(old.ends)
            bar.revised = old.revised or (was_final and old.values != bar.values)
            if interval is not Interval.MINUTE and not was_final and old.values == bar.values:
                return False
        in_order = old is not None or not level or bar.start > next(reversed(level))
        level[bar.start] = bar
        if not in_order:
            levels[interval] = dict(sorted(level.items()))
        changes.append(CandleChange(self._series, interval, bar))
        return True

    def _put_day(self, changes: list[CandleChange], day: TradingDay, hour: Bar) -> None:
        """Make the day's candle of its hours, one of which has changed."""
        if self._day != day:
            levels: _Levels = {interval: {} for interval in STORED}
            kinds = (Interval.HOUR, Interval.DAY)
            for interval, bar in self._source.bars(
                self._series, kinds, day.midnight, max(day.ends, day.midnight + 1)
            ):
                levels[interval][bar.start] = bar
            self._day, self._day_level = day, levels
        hours = self._day_level[Interval.HOUR]
        in_order = hour.start in hours or not hours or hour.start > next(reversed(hours))
        hours[hour.start] = hour
        if not in_order:
            self._day_level[Interval.HOUR] = hours = dict(sorted(hours.items()))
        whole = merge(hours.values(), day.midnight, day.ends)
        self._put(changes, self._day_level, Interval.DAY, whole)
