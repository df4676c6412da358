"""Keeping candles up to date as ticks come: in any order, in any batches; pure rules, no I/O.

The candles at hand after each batch are those that all ticks together make (`candles.py`). Ticks
that come in the order of their events, give or take some seconds, are added to what is in memory; a
tick of a candle that is settled has that candle made anew of its stored ticks, and those behind it
as far as the standing of the day's volume changes. Longer candles are
made in `deriving.py`.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable

from quotes.history.candles.bars import SESSION_START, Bar, Point, fold
from quotes.history.candles.deriving import Change, Level, LongerCandles, Source
from quotes.history.candles.intervals import Interval
from quotes.history.candles.sessions import Calendar, TradingDay

# Ticks of so long before the newest are expected: the real feed is one to two seconds out of order.
SETTLE_MS = 4_000


class SeriesBuilder:
    """The candles of one series.

    Args:
        is_final: whether what ends at a moment was told to be final by the last commit.
    """

    __slots__ = (
        *("calendar", "known", "longer", "recent", "series"),
        *("settled", "settled_at", "source"),
    )

    def __init__(
        self, series: int, calendar: Calendar, source: Source, is_final: Callable[[int], bool]
    ) -> None:
        self.series = series
        self.calendar = calendar
        self.source = source
        self.longer = LongerCandles(series, calendar, source, is_final)
        self.known = False  # whether the rest is what the stored ticks make
        self.settled: Bar | None = None  # the candle of the ticks up to settled_at
        self.settled_at: tuple[int, int, int] | Point = (0, 0, 0)
        self.recent: list[Point] = []  # all ticks after that, in order

    def apply(self, points: list[Point]) -> list[Change]:
        """Return the candles that some new ticks, at least one, change; the ticks are stored."""
        points.sort()
        if self.known and points[0] > self.settled_at:
            minutes = self.extend(points)
        else:
            minutes = self.mend(points)
        return self.longer.derive(minutes)

    def extend(self, points: list[Point]) -> list[Bar]:
        """Add ticks behind all that is settled."""
        recent = self.recent
        if recent and points[0] < recent[-1]:
            recent += points
            recent.sort()
        else:
            recent += points
        split = bisect_left(recent, (recent[-1][0] - SETTLE_MS,))
        made: dict[int, Bar] = {}
        if split:
            for bar in self.through(recent[:split], self.settled):
                made[bar.start] = self.settled = bar
            self.settled_at = recent[split - 1]
            self.recent = recent[split:]
        for bar in self.through(self.recent, self.settled):
            made[bar.start] = bar
        return list(made.values())

    def through(self, points: list[Point], bar: Bar | None) -> Iterable[Bar]:
        """Yield the candles of ticks in order, the first going on from a candle."""
        at = 0
        while at < len(points):
            day, start, ends, limit = self.place(points[at][0])
            end = bisect_left(points, (limit,), at)
            run = points[at:end] if at or end < len(points) else points
            if bar is not None and bar.start == start:
                bar = fold(run, start, ends, bar.standing, bar)
            elif bar is not None and bar.start >= day.midnight:
                bar = fold(run, start, ends, bar.standing)
            else:
                bar = fold(run, start, ends, SESSION_START)
            yield bar
            at = end

    def place(self, timestamp: int) -> tuple[TradingDay, int, int, int]:
        """Return the day, start, end, and the time that bounds the ticks of a one-minute candle."""
        day = self.calendar.day(timestamp)
        assert day is not None, f"a tick out of hours was given, at {timestamp}"
        start, ends = day.span(Interval.MINUTE, timestamp)
        return day, start, ends, ends if ends < day.ends else day.accepts_until

    def mend(self, points: list[Point]) -> list[Bar]:
        """Make the candles of ticks anew, and those behind them whose volume changes by that."""
        counts: dict[int, int] = {}  # start -> how many of the new ticks are of that candle
        for point in points:
            start = self.place(point[0])[1]
            counts[start] = counts.get(start, 0) + 1
        todo = sorted(counts)
        made: Level = {}
        held: dict[int, list[Point]] = {}
        while todo:
            start = todo.pop(0)
            day, _, ends, limit = self.place(start)
            before = self.before(day, start, made)
            standing = before.standing if before else SESSION_START
            stored = sorted(self.source.points(self.series, start, limit))
            old = self.source.last_bar(self.series, start, start + 1)
            if len(stored) < counts.get(start, 0) + (old.ticks if old else 0):
                continue  # of its ticks some are pruned: the candle stays what it was
            bar = made[start] = fold(stored, start, ends, standing)
            held[start] = stored
            if bar.standing != (old.standing if old else standing):
                following = self.following(day, start)
                if following is not None and following not in todo:
                    todo.append(following)
                    todo.sort()
        self.settle(made, held)
        return list(made.values())

    def before(self, day: TradingDay, start: int, made: Level) -> Bar | None:
        """Return the last candle of the day that starts before a moment."""
        stored = self.source.last_bar(self.series, day.begins, start)
        newest = max((one for one in made if day.begins <= one < start), default=None)
        if newest is not None and (stored is None or newest >= stored.start):
            return made[newest]
        return stored

    def following(self, day: TradingDay, start: int) -> int | None:
        """Return the start of the stored candle of the day that comes next."""
        minute = (Interval.MINUTE,)
        found = self.source.bars(self.series, minute, start + 1, day.ends)
        return found[0][1].start if found else None

    def settle(self, made: Level, held: dict[int, list[Point]]) -> None:
        """Go on from the newest candle, unless all that was made is before what is held."""
        if self.known and self.settled is not None and max(made, default=0) < self.settled.start:
            return
        stored = self.source.last_bar(self.series, 0, 2**62)
        newest = max([*made, *([stored.start] if stored else [])], default=None)
        if newest is None:
            return
        day, start, ends, limit = self.place(newest)
        points = held.get(newest)
        if points is None:
            points = sorted(self.source.points(self.series, start, limit))
        self.settled = self.before(day, start, made)
        self.settled_at = (start, -2, 0)
        split = bisect_left(points, (points[-1][0] - SETTLE_MS,)) if points else 0
        if split:
            standing = self.settled.standing if self.settled else SESSION_START
            self.settled = fold(points[:split], start, ends, standing)
            self.settled_at = points[split - 1]
        self.recent = points[split:]
        self.known = len(points) > 0


class CandleBuilder:
    """The candles of all series.

    Args:
        calendars: segment -> its calendar; "" is that of everything else.
        grace_ms: a candle is final when its segment's clock is so far past its end.
    """

    def __init__(self, source: Source, calendars: dict[str, Calendar], *, grace_ms: int) -> None:
        self.source = source
        self.calendars = calendars
        self.grace_ms = grace_ms
        self.builders: dict[int, SeriesBuilder] = {}
        self.clocks: dict[str, int] = {}  # segment -> the newest event's time
        self.told: dict[str, int] = {}  # the same as of the last commit

    def calendar(self, segment: str) -> Calendar:
        return self.calendars.get(segment) or self.calendars[""]

    def apply(self, segment: str, series: int, points: list[Point]) -> list[Change]:
        """Return the candles that new ticks of one series change.

        Args:
            points: at least one; of hours in which candles are made; stored already.
        """
        builder = self.builders.get(series)
        if builder is None:
            builder = self.builders[series] = SeriesBuilder(
                series,
                self.calendar(segment),
                self.source,
                lambda ends: ends + self.grace_ms <= self.told.get(segment, 0),
            )
        changes = builder.apply(points)
        passed = self.clocks.get(segment, 0) - self.grace_ms
        for change in changes:
            change.bar.final |= change.bar.ends <= passed
        return changes

    def committed(self) -> None:
        """Take note that what the clocks say is stored and told."""
        self.told.update(self.clocks)
