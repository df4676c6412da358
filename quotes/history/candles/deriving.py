"""Longer candles of a series, made of its one-minute candles as these change; pure rules, no I/O.

Each interval is made of a shorter one within the same hour; the day is made of its hours. A stored
candle that is not what its shorter ones make (these were pruned, or it was imported) is kept: what
changes in its minutes is merged into it.

If the hours of a segment change within a session, its longer candles begin at other times from then
on. Beside those that are stored, minutes would count twice: `OtherHours` says so, and
`recomputing.py` makes the candles of that day again.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple, Protocol

from quotes.history.candles.bars import Bar, Point, absorb, merge
from quotes.history.candles.intervals import STORED, WITHIN_DAY, Interval
from quotes.history.candles.sessions import Calendar, TradingDay
from quotes.runtime.clock import DAY_MS

# How many hours of a series stay in memory.
_MAX_HOURS = 2

# Each interval within the day, and the shorter one it is made of.
MADE_OF = {
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


class RemovedCandle(NamedTuple):
    """A stored candle that is none any more."""

    series: int
    interval: Interval
    start: int


class OtherHours(Exception):
    """Stored candles of a day do not begin and end as the hours of their segment say now."""

    def __init__(self, day: TradingDay) -> None:
        super().__init__(f"the candles of the day at {day.midnight} are of other hours")
        self.day = day


class _Change(NamedTuple):
    """A one-minute candle that has changed, and how it was."""

    old: Bar | None
    new: Bar

    @property
    def ticks(self) -> int:
        return self.new.ticks - (self.old.ticks if self.old else 0)


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

    __slots__ = (
        *("_accepted", "_calendar", "_day", "_day_level", "_fixed", "_hours", "_is_final"),
        *("_series", "_source"),
    )

    def __init__(
        self, series: int, calendar: Calendar, source: CandleSource, is_final: Callable[[int], bool]
    ) -> None:
        self._series = series
        self._calendar = calendar
        self._source = source
        self._is_final = is_final
        self._accepted: set[int] = set()  # midnights of days whose candles are of other hours
        self.forget()

    def forget(self) -> None:
        """Drop what is in memory."""
        self._hours: dict[int, _Levels] = {}
        self._fixed: set[tuple[Interval, int]] = set()  # candles that their minutes do not make
        self._day: TradingDay | None = None
        self._day_level: _Levels = {}

    def accept(self, day: TradingDay) -> None:
        """Leave the candles of a day as they are, although they are of other hours."""
        self._accepted.add(day.midnight)

    def _day_of(self, start: int) -> TradingDay:
        day = self._calendar.day(start)
        assert day is not None, f"a candle out of hours, at {start}"
        return day

    def derive(self, minutes: list[Bar]) -> list[CandleChange]:
        """Return every candle, of any interval, that changes with these one-minute candles.

        Raises:
            OtherHours: nothing changes; call `forget`, and make the candles of that day again.
        """
        changes: list[CandleChange] = []
        hours: dict[int, list[Bar]] = {}
        for bar in minutes:
            day = self._day_of(bar.start)
            hours.setdefault(day.start_of(bar.start, Interval.HOUR.step_ms), []).append(bar)
        for hour, bars in sorted(hours.items()):
            day = self._day_of(bars[0].start)
            levels = self._hour(day, hour)
            before = {bar.start: levels[Interval.MINUTE].get(bar.start) for bar in bars}
            changed = [
                _Change(before[bar.start], bar)
                for bar in bars
                if self._put(changes, levels, Interval.MINUTE, bar)
            ]
            for interval, shorter in MADE_OF.items():
                for start, ends in sorted({day.span(interval, one.new.start) for one in changed}):
                    members = [bar for at, bar in levels[shorter].items() if start <= at < ends]
                    made = merge(members, start, ends)
                    self._put_longer(changes, levels, interval, made, changed)
            if changed:
                self._put_day(changes, day, levels[Interval.HOUR][hour], changed)
        return changes

    def _put_longer(
        self,
        changes: list[CandleChange],
        levels: _Levels,
        interval: Interval,
        made: Bar,
        minutes: list[_Change],
    ) -> None:
        """Put a longer candle into its level: what its shorter ones make, or the stored one."""
        old = levels[interval].get(made.start)
        if old is not None and (interval, made.start) in self._fixed:
            made = self._with_minutes(old, made, minutes)
        self._put(changes, levels, interval, made)

    def _with_minutes(self, old: Bar, made: Bar, minutes: list[_Change]) -> Bar:
        """Return a candle that cannot be computed again, with what changed in its minutes."""
        inside = [one for one in minutes if old.start <= one.new.start < old.ends]
        ticks = sum(one.ticks for one in inside)
        prices = [price for one in inside for price in (one.new.high, one.new.low)]
        bar = replace(absorb(old, prices), ticks=old.ticks + ticks)
        if not old.final and not self._is_final(old.ends):  # it goes on
            bar.close = made.close
            if made.volume is not None:
                bar.volume = max(made.volume, old.volume or 0)
        return bar

    def _hour(self, day: TradingDay, start: int) -> _Levels:
        """Return all candles within an hour: those in memory, or the stored ones."""
        levels = self._hours.get(start)
        if levels is None:
            if len(self._hours) >= _MAX_HOURS:
                for interval, level in self._hours.pop(min(self._hours)).items():
                    self._fixed.difference_update([(interval, at) for at in level])
            levels = {interval: {} for interval in WITHIN_DAY}
            end = day.end_of(start, Interval.HOUR.step_ms)
            for interval, bar in self._source.bars(self._series, WITHIN_DAY, start, end):
                levels[interval][bar.start] = bar
            self._fixed |= {
                (interval, at)
                for interval, shorter in MADE_OF.items()
                for at, bar in levels[interval].items()
                if not _is_made_of(bar, levels[shorter])
            }
            self._hours[start] = levels
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

    def _put_day(
        self, changes: list[CandleChange], day: TradingDay, hour: Bar, minutes: list[_Change]
    ) -> None:
        """Make the day's candle of its hours, one of which has changed."""
        if self._day != day:
            levels: _Levels = {interval: {} for interval in STORED}
            kinds = (Interval.HOUR, Interval.DAY)
            for interval, bar in self._source.bars(
                self._series, kinds, day.midnight, day.midnight + DAY_MS
            ):
                levels[interval][bar.start] = bar
            is_of_other_hours = any(
                day.span(Interval.HOUR, start) != (start, bar.ends)
                for start, bar in levels[Interval.HOUR].items()
            )
            if is_of_other_hours and day.midnight not in self._accepted:
                raise OtherHours(day)
            if self._day is not None:
                self._fixed.discard((Interval.DAY, self._day.midnight))
            self._day, self._day_level = day, levels
            stored = levels[Interval.DAY].get(day.midnight)
            if stored is not None and (
                is_of_other_hours or not _is_made_of(stored, levels[Interval.HOUR])
            ):
                self._fixed.add((Interval.DAY, day.midnight))
        hours = self._day_level[Interval.HOUR]
        in_order = hour.start in hours or not hours or hour.start > next(reversed(hours))
        hours[hour.start] = hour
        if not in_order:
            self._day_level[Interval.HOUR] = hours = dict(sorted(hours.items()))
        whole = merge(hours.values(), day.midnight, day.ends)
        self._put_longer(changes, self._day_level, Interval.DAY, whole, minutes)


def _is_made_of(bar: Bar, shorter: Level) -> bool:
    """Return whether a stored candle is what its stored shorter ones make."""
    members = [one for at, one in shorter.items() if bar.start <= at < bar.ends]
    return bool(members) and _contents(merge(members, bar.start, bar.ends)) == _contents(bar)


def _contents(bar: Bar) -> tuple[object, ...]:
    return (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.oi, bar.ticks)
