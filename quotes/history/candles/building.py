"""Candles kept up to date as ticks arrive, in any order and in any batches; pure rules, no I/O.

After each batch the candles are those that all ticks together make (`bars.py`). Ticks that arrive
in the order of their events, give or take some seconds, are added to the candles in memory. A tick
of a settled candle rebuilds that candle from its stored ticks, and the candles after it as far as
the state of the day's volume changes. If a reading of the day's volume is noise, the volumes of
that whole day are found again. `deriving.py` makes the longer candles.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import replace

from quotes.history.candles.bars import Bar, Point, absorb, fold
from quotes.history.candles.deriving import (
    CandleChange,
    CandleSource,
    Level,
    LongerCandles,
    RemovedCandle,
)
from quotes.history.candles.intervals import Interval
from quotes.history.candles.recomputing import DerivedCandles, derive_candles, with_volumes
from quotes.history.candles.sessions import Calendar, TradingDay
from quotes.history.candles.volumes import MAX_VOLUME, SESSION_START

# Ticks this much older than the newest are expected: the real feed is one to two seconds out of
# order.
_SETTLE_MS = 4_000


class _SeriesBuilder:
    """The candles of one series.

    Args:
        is_final: whether candles that end at a moment were announced as final by the last commit.
    """

    __slots__ = (
        *("_calendar", "_is_final", "_loaded", "_longer", "_recent", "_series"),
        *("_settled", "_settled_at", "_source"),
    )

    def __init__(
        self, series: int, calendar: Calendar, source: CandleSource, is_final: Callable[[int], bool]
    ) -> None:
        self._series = series
        self._calendar = calendar
        self._source = source
        self._is_final = is_final
        self._longer = LongerCandles(series, calendar, source, is_final)
        self._loaded = False  # whether the attributes below agree with the stored ticks
        self._settled: Bar | None = None  # the candle of the ticks up to settled_at
        self._settled_at: tuple[int, int, int] | Point = (0, 0, 0)
        self._recent: list[Point] = []  # all ticks after that, in order

    def apply(self, points: list[Point]) -> DerivedCandles:
        """Return the candles changed by one or more new ticks, which are stored already."""
        points.sort()
        if self._loaded and points[0] > self._settled_at:
            minutes = self._extend(points)
        else:
            minutes = self._rebuild(points)
        noisy = {
            day.midnight: day
            for bar in minutes
            if bar.volume_state[1] and (day := self._calendar.day(bar.start)) is not None
        }
        for day in noisy.values():
            minutes = self._find_volumes(day, minutes)
        derived = derive_candles(
            self._longer,
            minutes,
            series=self._series,
            source=self._source,
            is_final=self._is_final,
            new_times=[point[0] for point in points],
        )
        if derived.made_again:
            self._loaded = False
        return derived

    def _find_volumes(self, day: TradingDay, minutes: list[Bar]) -> list[Bar]:
        """Return changed candles with the volumes that the whole of a day makes known."""
        made = {bar.start: bar for bar in minutes}
        stored = self._source.bars(self._series, (Interval.MINUTE,), day.begins, day.ends)
        bars = {bar.start: bar for _, bar in stored}
        bars |= {start: bar for start, bar in made.items() if day.begins <= start < day.ends}
        bars = dict(sorted(bars.items()))
        points = self._source.points(self._series, day.begins, day.accepts_until)
        for bar in with_volumes(day, bars.values(), points):
            if bar is not bars[bar.start]:
                made[bar.start] = bar
        self._loaded = False  # what is in memory goes on from other volumes
        return [bar for _, bar in sorted(made.items())]

    def _extend(self, points: list[Point]) -> list[Bar]:
        """Add ticks that are newer than the settled ones."""
        recent = self._recent
        if recent and points[0] < recent[-1]:
            recent += points
            recent.sort()
        else:
            recent += points
        split = bisect_left(recent, (recent[-1][0] - _SETTLE_MS,))
        made: dict[int, Bar] = {}
        if split:
            for bar in self._bars_of(recent[:split], self._settled):
                made[bar.start] = self._settled = bar
            self._settled_at = recent[split - 1]
            self._recent = recent[split:]
        for bar in self._bars_of(self._recent, self._settled):
            made[bar.start] = bar
        return list(made.values())

    def _bars_of(self, points: list[Point], bar: Bar | None) -> Iterable[Bar]:
        """Yield the candles of sorted ticks; the first may continue a candle."""
        at = 0
        while at < len(points):
            day, start, ends, limit = self._span(points[at][0])
            end = bisect_left(points, (limit,), at)
            run = points[at:end] if at or end < len(points) else points
            if bar is not None and bar.start == start:
                bar = fold(run, start, ends, bar.volume_state, bar)
            elif bar is not None and bar.start >= day.midnight:
                bar = fold(run, start, ends, bar.volume_state)
            else:
                bar = fold(run, start, ends, SESSION_START)
            yield bar
            at = end

    def _span(self, timestamp: int) -> tuple[TradingDay, int, int, int]:
        """Return day, start and end of a one-minute candle, and the exclusive end of its ticks."""
        day = self._calendar.day(timestamp)
        assert day is not None, f"a tick out of hours, at {timestamp}"
        start, ends = day.span(Interval.MINUTE, timestamp)
        return day, start, ends, ends if ends < day.ends else day.accepts_until

    def _rebuild(self, points: list[Point]) -> list[Bar]:
        """Rebuild the candles of ticks, and the later ones whose volume changes with them."""
        counts: dict[int, int] = {}  # start of a candle -> how many new ticks it has
        for point in points:
            start = self._span(point[0])[1]
            counts[start] = counts.get(start, 0) + 1
        todo = sorted(counts)
        made: Level = {}
        stored_points: dict[int, list[Point]] = {}
        while todo:
            start = todo.pop(0)
            day, _, ends, limit = self._span(start)
            previous = self._bar_before(day, start, made)
            volume_state = previous.volume_state if previous else SESSION_START
            stored = sorted(self._source.points(self._series, start, limit))
            old = self._source.last_bar(self._series, start, start + 1)
            level, noise = old.volume_state if old else volume_state
            if old is not None and len(stored) != counts.get(start, 0) + old.ticks:
                late = [point[3] for point in points if start <= point[0] < limit]
                bar = absorb(old, late) if late else replace(old)
                bar.volume_state = (min(volume_state[0] + (old.volume or 0), MAX_VOLUME), 0)
                if late or bar.volume_state[0] != level:
                    made[start] = bar
            else:
                bar = made[start] = fold(stored, start, ends, volume_state)
                stored_points[start] = stored
                if old is not None and noise:
                    bar.volume_state = (bar.volume_state[0], 1)  # to be found again
            if bar.volume_state[0] != level and not bar.volume_state[1]:
                following = self._next_start(day, start)
                if following is not None and following not in todo:
                    todo.append(following)
                    todo.sort()
        self._settle(made, stored_points)
        return list(made.values())

    def _bar_before(self, day: TradingDay, start: int, made: Level) -> Bar | None:
        """Return the last candle of the day that starts before a moment."""
        stored = self._source.last_bar(self._series, day.begins, start)
        newest = max((one for one in made if day.begins <= one < start), default=None)
        if newest is not None and (stored is None or newest >= stored.start):
            return made[newest]
        return stored

    def _next_start(self, day: TradingDay, start: int) -> int | None:
        """Return the start of the stored candle of the day that comes next."""
        minute = (Interval.MINUTE,)
        found = self._source.bars(self._series, minute, start + 1, day.ends)
        return found[0][1].start if found else None

    def _settle(self, made: Level, stored_points: dict[int, list[Point]]) -> None:
        """Continue from the newest candle, unless only candles before the settled one changed."""
        if (
            self._loaded
            and self._settled is not None
            and max(made, default=0) < self._settled.start
        ):
            return
        stored = self._source.last_bar(self._series, 0, 2**62)
        newest = max([*made, *([stored.start] if stored else [])], default=None)
        if newest is None:
            return
        if self._calendar.day(newest) is None or self._span(newest)[1] != newest:
            self._loaded = False  # a candle of other hours than now
            return
        day, start, ends, limit = self._span(newest)
        points = stored_points.get(newest)
        if points is None:
            points = sorted(self._source.points(self._series, start, limit))
        bar = made.get(newest, stored)
        if bar is None or bar.start != newest or len(points) != bar.ticks:
            self._loaded = False
            return
        self._settled = self._bar_before(day, start, made)
        self._settled_at = (start, -2, 0)
        split = bisect_left(points, (points[-1][0] - _SETTLE_MS,)) if points else 0
        if split:
            volume_state = self._settled.volume_state if self._settled else SESSION_START
            self._settled = fold(points[:split], start, ends, volume_state)
            self._settled_at = points[split - 1]
        self._recent = points[split:]
        self._loaded = len(points) > 0


class CandleBuilder:
    """The candles of all series; for one thread.

    After an exception, use another one: what is in memory may differ from what is stored.

    Args:
        calendars: segment -> its calendar; "" is for every other segment.
        grace_ms: a candle is final when the clock of its segment is this far past its end.

    Attributes:
        clocks: segment -> time of its newest event, Unix milliseconds; the caller sets them.
    """

    def __init__(
        self, source: CandleSource, calendars: dict[str, Calendar], *, grace_ms: int
    ) -> None:
        self._source = source
        self._calendars = calendars
        self.grace_ms = grace_ms
        self._builders: dict[int, _SeriesBuilder] = {}
        self._removed: list[RemovedCandle] = []
        self.clocks: dict[str, int] = {}
        self._committed_clocks: dict[str, int] = {}  # clocks at the last commit

    def _calendar(self, segment: str) -> Calendar:
        return self._calendars.get(segment) or self._calendars[""]

    def apply(self, segment: str, series: int, points: list[Point]) -> list[CandleChange]:
        """Return the candles changed by new ticks of one series; see also `take_removed`.

        Args:
            points: one or more, within trading hours, and stored already.
        """
        builder = self._builders.get(series)
        if builder is None:
            builder = self._builders[series] = _SeriesBuilder(
                series,
                self._calendar(segment),
                self._source,
                lambda ends: ends + self.grace_ms <= self._committed_clocks.get(segment, 0),
            )
        derived = builder.apply(points)
        changes = derived.changes
        self._removed += derived.removed
        passed = self.clocks.get(segment, 0) - self.grace_ms
        for change in changes:
            change.bar.final |= change.bar.ends <= passed
        return changes

    def take_removed(self) -> list[RemovedCandle]:
        """Return the stored candles to delete since the last call, before changes are stored."""
        removed, self._removed = self._removed, []
        return removed

    def forget(self, series: int | None = None) -> None:
        """Drop what is in memory, of one series or of all: what is stored has been changed."""
        if series is None:
            self._builders.clear()
        else:
            self._builders.pop(series, None)

    def committed(self) -> None:
        """Note that the changes up to now are stored, and finals announced."""
        self._committed_clocks.update(self.clocks)
