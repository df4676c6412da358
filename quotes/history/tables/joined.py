"""Days of an instrument whose history is stored in several series, read and written as one.

`candles/joining.py` has the rules, `series_names.py` which series these are.
"""

from collections.abc import Iterable, Mapping, Sequence

from quotes.history.candles.bars import Bar, Point, fold
from quotes.history.candles.deriving import CandleChange, Level
from quotes.history.candles.intervals import STORED, Interval
from quotes.history.candles.joining import BarsOfDay, all_intervals, joined_minutes
from quotes.history.candles.recomputing import session_minutes
from quotes.history.candles.sessions import Calendar, TradingDay
from quotes.history.candles.volumes import SESSION_START
from quotes.history.tables.base import Tables
from quotes.runtime.clock import DAY_MS, day_number, midnight_of_day
from quotes.store.redis_clock import redis_clock

_DAYS = (
    "SELECT DISTINCT start FROM history_candle"
    ' WHERE series_id IN ({numbers}) AND "interval" = 1440 AND start >= %s AND start < %s'
    " ORDER BY start"
)


class JoinedDays:
    """The days that several series of an instrument have; reads and writes through tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        # Series and days whose candles have been continued, and those of the open transaction.
        self._continued: set[tuple[int, int]] = set()
        self._pending: set[tuple[int, int]] = set()

    def midnights(self, series: Iterable[int], start: int, end: int) -> list[int]:
        """Return the Indian midnights of a range on which one of the series has candles."""
        numbers = tuple(series)
        sql = _DAYS.format(numbers=", ".join(["%s"] * len(numbers)))
        with self._tables.connection.cursor() as cursor:
            cursor.execute(sql, (*numbers, start, end))
            return [row[0] for row in cursor.fetchall()]

    def bars(
        self,
        own: int | None,
        earlier: Sequence[int],
        calendar: Calendar,
        midnight: int,
        interval: Interval,
        *,
        above_zero: bool,
    ) -> list[Bar]:
        """Return the candles of one day and interval, by time, as readers see them.

        Args:
            above_zero: whether a price of 0 is no trade of the instrument.
        """
        stored = {} if own is None else self._stored(own, midnight)
        day = calendar.day(midnight)
        before = self._earlier(earlier, midnight, day, above_zero=above_zero)
        found = _of_interval(stored, interval)
        minutes, earlier_minutes = _minutes_of(stored), _minutes_of(before)
        if day is not None:
            numbers = (*([] if own is None else [own]), *earlier)
            joined = self._joined(day, numbers, earlier_minutes, minutes, above_zero=above_zero)
            if joined is not None:
                now = redis_clock.now_ms()
                made = all_intervals(day, joined, final_until=now)
                for bar in made.values():
                    bar.final |= bar.ends <= now
                # A candle whose minutes are gone stays.
                kept = {at: bar for at, bar in found.items() if _has_more(bar, made, interval)}
                found = _of_interval(made, interval) | kept
        if not stored and not earlier_minutes:
            found = _of_interval(before, interval)
        return [bar for _, bar in sorted(found.items())]

    def forget(self) -> None:
        """Look at each day again: other names mean the instruments, or history was edited."""
        self._continued.clear()
        self._pending.clear()

    def committed(self) -> None:
        """Note that the days up to now are stored."""
        self._continued |= self._pending
        self._pending.clear()

    def rolled_back(self) -> None:
        """Note that the days since the last commit are not stored."""
        self._pending.clear()

    def count_new(self, times: Mapping[int, Iterable[int]]) -> int:
        """Return how many days of series would be looked at for ticks of these times."""
        days = {
            (series, midnight_of_day(day_number(stamp)))
            for series, stamps in times.items()
            if series in self._tables.earlier
            for stamp in stamps
        }
        return len(days - self._continued)

    def continue_days(
        self, series: int, calendar: Calendar, timestamps: Iterable[int], *, passed: int
    ) -> bool:
        """Store the candles of days that began under another name in the instrument's series.

        Call it in the transaction that stores ticks or candles of these times, before these are
        stored. What the other series have stays as it is.

        Args:
            passed: candles that ended until then are final.

        Returns:
            Whether there were any: then forget what is in memory of the series.
        """
        earlier = self._tables.earlier.get(series)
        if not earlier:
            return False
        changes: list[CandleChange] = []
        for midnight in sorted({midnight_of_day(day_number(stamp)) for stamp in timestamps}):
            if (series, midnight) in self._continued or (series, midnight) in self._pending:
                continue
            self._pending.add((series, midnight))
            day = calendar.day(midnight)
            if day is not None:
                changes += self._continue(series, earlier, day)
        return self._put(changes, passed)

    def compute_day(self, series: int, day: TradingDay, *, passed: int) -> bool:
        """Store all candles of a day of an instrument's series, from the ticks of all its names.

        What these do not make (their ticks were pruned, or they were imported) stays as it is.
        Arguments and result are as of `continue_days`.
        """
        earlier = self._tables.earlier.get(series, ())
        return self._put(self._continue(series, earlier, day, anyway=True), passed)

    def _put(self, changes: list[CandleChange], passed: int) -> bool:
        for change in changes:
            change.bar.final |= change.bar.ends <= passed
        if changes:
            self._tables.put_candles(changes)
        return bool(changes)

    def _continue(
        self, series: int, earlier: Sequence[int], day: TradingDay, *, anyway: bool = False
    ) -> list[CandleChange]:
        stored = self._stored(series, day.midnight)
        above_zero = self._tables.is_above_zero(series)
        before = self._earlier(earlier, day.midnight, day, above_zero=above_zero)
        minutes, earlier_minutes = _minutes_of(stored), _minutes_of(before)
        if not stored and not earlier_minutes:
            return [CandleChange(series, interval, bar) for (interval, _), bar in before.items()]
        joined = self._joined(
            day, (series, *earlier), earlier_minutes, minutes, above_zero=above_zero, anyway=anyway
        )
        if joined is None:
            return []
        changes = []
        for (interval, at), bar in all_intervals(day, joined).items():
            old = stored.get((interval, at))
            if old is not None:
                if old.ticks > bar.ticks:
                    continue  # its minutes are gone
                if old.values == bar.values and old.volume_state == bar.volume_state:
                    continue
                bar.final |= old.final
                bar.revised |= old.revised or (old.final and old.values != bar.values)
            changes.append(CandleChange(series, interval, bar))
        return changes

    def _stored(
        self, series: int, midnight: int, intervals: Iterable[Interval] = STORED
    ) -> BarsOfDay:
        return {
            (interval, bar.start): bar
            for interval, bar in self._tables.bars(series, intervals, midnight, midnight + DAY_MS)
        }

    def _earlier(
        self, series: Iterable[int], midnight: int, day: TradingDay | None, *, above_zero: bool
    ) -> BarsOfDay:
        """Return the candles of the other names; those of the newest series come first.

        If several have one-minute candles, these are made of the ticks of all.
        """
        found: BarsOfDay = {}
        with_minutes: list[int] = []
        fixed: dict[int, Bar] = {}
        for number in series:
            stored = self._stored(number, midnight, (Interval.MINUTE,))
            minutes = _minutes_of(stored)
            if not minutes:
                found = self._stored(number, midnight) | found
                continue
            if above_zero:
                for bar in minutes:
                    if bar.low <= 0:
                        self._leave_out_zero(number, bar, stored)
            found = stored | found
            with_minutes.append(number)
            if day is not None:
                own = joined_minutes(day, _minutes_of(stored), ())
                fixed = {bar.start: bar for bar in own} | fixed
        if day is None or len(with_minutes) < 2:
            return found
        points = self._trades(with_minutes, day, above_zero=above_zero)
        made = session_minutes(day, points, [bar for _, bar in sorted(fixed.items())])
        return {(Interval.MINUTE, bar.start): bar for bar in made}

    def _joined(
        self,
        day: TradingDay,
        numbers: Sequence[int],
        earlier: list[Bar],
        own: list[Bar],
        *,
        above_zero: bool,
        anyway: bool = False,
    ) -> list[Bar] | None:
        """Return the one-minute candles of a day; None: the instrument's own are all.

        Args:
            numbers: the series of all names.
            earlier, own: their one-minute candles.
            anyway: make them of the ticks in any case.
        """
        joined = joined_minutes(day, earlier, own)
        if not anyway:
            if not own:
                return joined
            count = self._tables.count_ticks(numbers, day.begins, day.accepts_until)
            if len(joined) == len(own) and count <= sum(bar.ticks for bar in own):
                return None
        # Some of the day was recorded before the names were one.
        return session_minutes(day, self._trades(numbers, day, above_zero=above_zero), joined)

    def _trades(self, numbers: Sequence[int], day: TradingDay, *, above_zero: bool) -> list[Point]:
        points = self._tables.points_of(numbers, day.begins, day.accepts_until)
        return sorted(
            (point for point in points if point[3] > 0 or not above_zero), key=lambda one: one[:4]
        )

    def _leave_out_zero(self, series: int, bar: Bar, stored: BarsOfDay) -> None:
        """Leave ticks that are no trades out of a one-minute candle, if its ticks are stored.

        A name without a segment may have any price.
        """
        points = sorted(self._tables.points(series, bar.start, bar.ends))
        if len(points) != bar.ticks:
            return
        del stored[Interval.MINUTE, bar.start]
        if trades := [point for point in points if point[3] > 0]:
            made = fold(trades, bar.start, bar.ends, SESSION_START)
            made.volume, made.volume_state = bar.volume, bar.volume_state
            made.final, made.revised = bar.final, bar.revised
            stored[Interval.MINUTE, bar.start] = made


def _minutes_of(bars: BarsOfDay) -> list[Bar]:
    return [bar for (interval, _), bar in bars.items() if interval is Interval.MINUTE]


def _of_interval(bars: BarsOfDay, interval: Interval) -> Level:
    return {at: bar for (one, at), bar in bars.items() if one is interval}


def _has_more(bar: Bar, made: BarsOfDay, interval: Interval) -> bool:
    """Return whether a stored candle has ticks that the one of its minutes does not have."""
    other = made.get((interval, bar.start))
    return other is None or bar.ticks > other.ticks
