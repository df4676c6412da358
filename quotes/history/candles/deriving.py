"""Longer candles of a series out of its one-minute candles, as these change; pure rules, no I/O.

Each interval is made of a shorter one, an hour at a time, and the day of its hours.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from quotes.history.candles.bars import Bar, Point, merge
from quotes.history.candles.intervals import STORED, WITHIN_DAY, Interval
from quotes.history.candles.sessions import Calendar, TradingDay

# Hours of a series that are held in memory.
HOURS_HELD = 2

# Each interval and the shorter one it is made of.
MADE_OF = {
    Interval.MINUTES_3: Interval.MINUTE,
    Interval.MINUTES_5: Interval.MINUTE,
    Interval.MINUTES_10: Interval.MINUTES_5,
    Interval.MINUTES_15: Interval.MINUTES_5,
    Interval.MINUTES_30: Interval.MINUTES_15,
    Interval.HOUR: Interval.MINUTES_30,
}

Level = dict[int, Bar]  # start -> candle, by time
Levels = dict[Interval, Level]


class Change(NamedTuple):
    """A candle that is new or not what it was."""

    series: int
    interval: Interval
    bar: Bar


class Source(Protocol):
    """What is stored: every tick of the batches given so far, and every change returned before."""

    def points(self, series: int, start: int, end: int) -> list[Point]:
        """Return the ticks whose event time is in a range, in any order."""

    def bars(
        self, series: int, intervals: Iterable[Interval], start: int, end: int
    ) -> list[tuple[Interval, Bar]]:
        """Return the candles that start in a range, by time."""

    def last_bar(self, series: int, start: int, end: int) -> Bar | None:
        """Return the last one-minute candle that starts in a range."""


class LongerCandles:
    """The candles of one series of the last hours and the last day, in memory.

    Args:
        is_final: whether what ends at a moment was told to be final by the last commit.
    """

    __slots__ = ("calendar", "day", "day_level", "hours", "is_final", "series", "source")

    def __init__(
        self, series: int, calendar: Calendar, source: Source, is_final: Callable[[int], bool]
    ) -> None:
        self.series = series
        self.calendar = calendar
        self.source = source
        self.is_final = is_final
        self.hours: dict[int, Levels] = {}
        self.day: TradingDay | None = None
        self.day_level: Levels = {}

    def day_of(self, start: int) -> TradingDay:
        day = self.calendar.day(start)
        assert day is not None, f"a candle out of hours was given, at {start}"
        return day

    def derive(self, minutes: list[Bar]) -> list[Change]:
        """Return the candles that are not what they were, given one-minute candles made anew."""
        changes: list[Change] = []
        hours: dict[int, list[Bar]] = {}
        for bar in minutes:
            day = self.day_of(bar.start)
            hours.setdefault(day.start_of(bar.start, Interval.HOUR.step_ms), []).append(bar)
        for hour, bars in sorted(hours.items()):
            day = self.day_of(bars[0].start)
            levels = self.hour(day, hour)
            changed = [bar.start for bar in bars if self.put(changes, levels, Interval.MINUTE, bar)]
            for interval, shorter in MADE_OF.items():
                for start, ends in sorted({day.span(interval, start) for start in changed}):
                    members = [bar for at, bar in levels[shorter].items() if start <= at < ends]
                    self.put(changes, levels, interval, merge(members, start, ends))
            if changed:
                self.put_day(changes, day, levels[Interval.HOUR][hour])
        return changes

    def hour(self, day: TradingDay, start: int) -> Levels:
        """Return all candles within an hour."""
        levels = self.hours.get(start)
        if levels is None:
            levels = {interval: {} for interval in WITHIN_DAY}
            end = day.end_of(start, Interval.HOUR.step_ms)
            for interval, bar in self.source.bars(self.series, WITHIN_DAY, start, end):
                levels[interval][bar.start] = bar
            self.hours[start] = levels
            if len(self.hours) > HOURS_HELD:
                del self.hours[min(self.hours)]
        return levels

    def put(self, changes: list[Change], levels: Levels, interval: Interval, bar: Bar) -> bool:
        """Put a candle into its level; say whether it is not what was there."""
        level = levels[interval]
        old = level.get(bar.start)
        if old is not None:
            if (
                old.ticks == bar.ticks
                and old.volume == bar.volume
                and old.standing == bar.standing
                and interval is Interval.MINUTE
            ):
                return False
            told = bar.final = old.final or self.is_final(old.ends)
            bar.revised = old.revised or (told and old.values != bar.values)
            if interval is not Interval.MINUTE and not told and old.values == bar.values:
                return False
        in_order = old is not None or not level or bar.start > next(reversed(level))
        level[bar.start] = bar
        if not in_order:
            levels[interval] = dict(sorted(level.items()))
        changes.append(Change(self.series, interval, bar))
        return True

    def put_day(self, changes: list[Change], day: TradingDay, hour: Bar) -> None:
        """Make the day's candle of its hours."""
        if self.day != day:
            levels: Levels = {interval: {} for interval in STORED}
            kinds = (Interval.HOUR, Interval.DAY)
            for interval, bar in self.source.bars(
                self.series, kinds, day.midnight, max(day.ends, day.midnight + 1)
            ):
                levels[interval][bar.start] = bar
            self.day, self.day_level = day, levels
        hours = self.day_level[Interval.HOUR]
        in_order = hour.start in hours or not hours or hour.start > next(reversed(hours))
        hours[hour.start] = hour
        if not in_order:
            self.day_level[Interval.HOUR] = hours = dict(sorted(hours.items()))
        whole = merge(hours.values(), day.midnight, day.ends)
        self.put(changes, self.day_level, Interval.DAY, whole)
