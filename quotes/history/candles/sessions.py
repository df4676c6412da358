"""The trading day, candle, week and month of a moment; pure rules.

Candles of a segment with hours are aligned to the opening of its session, by the hours of their
day; a closing auction is part of the session. A tick at the close, or within the minute after it,
belongs to the last candle. Ticks out of hours are in no candle, unless candles are made at all
hours. Segments without hours, and instruments without a segment, trade around the clock; their days
are those of India.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from instruments.sessions import HORIZON_DAYS, Hours, quiet_hours, trading_hours
from quotes.history.candles.intervals import Interval
from quotes.runtime.clock import (
    DAY_MS,
    MINUTE_MS,
    date_of,
    date_of_day,
    day_number,
    midnight_of,
    midnight_of_day,
    ms_of_day,
)


@dataclass(frozen=True, slots=True)
class TradingDay:
    """One day of one segment; Unix milliseconds.

    Attributes:
        midnight: when the day begins in India; the start of its day candle.
        begins, accepts_until: ticks in [begins, accepts_until) are in candles.
        origin: the time that candles are aligned to.
        ends: when the last candle ends.
        quiet: stretches in which prices need not come: pauses, closing auctions.
    """

    midnight: int
    begins: int
    origin: int
    ends: int
    accepts_until: int
    quiet: tuple[tuple[int, int], ...] = ()

    def start_of(self, timestamp: int, step_ms: int) -> int:
        """Return the start of the candle that holds a tick of this day."""
        at = min(timestamp, self.ends - 1)
        return max(self.begins, self.origin + (at - self.origin) // step_ms * step_ms)

    def end_of(self, start: int, step_ms: int) -> int:
        """Return the end of the candle that starts at a moment."""
        return min(self.ends, self.origin + ((start - self.origin) // step_ms + 1) * step_ms)

    def span(self, interval: Interval, timestamp: int) -> tuple[int, int]:
        """Return start and end of the candle, up to a day long, that holds a tick of this day."""
        if interval is Interval.DAY:
            return self.midnight, self.ends
        start = self.start_of(timestamp, interval.step_ms)
        return start, self.end_of(start, interval.step_ms)


class Calendar:
    """The trading days of one segment.

    Args:
        hours: None: the segment trades around the clock.
        all_hours: include ticks out of hours in candles.
    """

    def __init__(self, hours: Hours | None, *, all_hours: bool = False) -> None:
        self._hours = hours
        self._all_hours = all_hours
        self._days: dict[int, TradingDay | None] = {}  # days since 1970, in India -> the day
        self._before: dict[int, tuple[int, ...]] = {}  # the same -> the days before

    def day_of(self, timestamp: int) -> TradingDay | None:
        """Return the trading day of a tick; None if no candle includes the tick."""
        day = self.day(timestamp)
        if day is None or not day.begins <= timestamp < day.accepts_until:
            return None
        return day

    def day(self, timestamp: int) -> TradingDay | None:
        """Return the trading day of the Indian date of a moment; None if nothing trades then."""
        number = day_number(timestamp)
        try:
            return self._days[number]
        except KeyError:
            found = self._days[number] = self._make_day(number)
            return found

    def sessions_before(self, midnight: int) -> tuple[int, ...]:
        """Return when the days begin that can be the last session before a day, newest first.

        That is one day if the hours are known, or none if they are not known of that time. Names
        without hours may rest at the weekend or not: it is the day before, and on Saturdays to
        Mondays also the days back to Friday.
        """
        number = day_number(midnight)
        try:
            return self._before[number]
        except KeyError:
            found = self._before[number] = self._find_before(number)
            return found

    def _find_before(self, number: int) -> tuple[int, ...]:
        if self._hours is not None:
            days = (number - back for back in range(1, HORIZON_DAYS + 1))
            last = next(
                (day for day in days if trading_hours(self._hours, date_of_day(day)) is not None),
                None,
            )
            return () if last is None else (midnight_of_day(last),)
        back = {5: 1, 6: 2, 0: 3}.get(date_of_day(number).weekday(), 1)
        return tuple(midnight_of_day(number - days) for days in range(1, back + 1))

    def _make_day(self, number: int) -> TradingDay | None:
        midnight = midnight_of_day(number)
        next_midnight = midnight + DAY_MS
        opens = closes = None
        day = date_of_day(number)
        traded = None if self._hours is None else trading_hours(self._hours, day)
        if traded is not None:
            opens, closes = (midnight + ms_of_day(edge) for edge in traded)
        if self._hours is None or self._all_hours:
            origin = midnight if opens is None else opens
            return TradingDay(midnight, midnight, origin, next_midnight, next_midnight)
        if opens is None or closes is None:
            return None
        quiet = tuple(
            (midnight + ms_of_day(begin), midnight + ms_of_day(end))
            for begin, end in quiet_hours(self._hours, day)
        )
        return TradingDay(midnight, opens, opens, closes, closes + MINUTE_MS, quiet)


def calendars(hours: Mapping[str, Hours], *, all_hours: bool = False) -> dict[str, Calendar]:
    """Return the calendar of each segment that has hours; "" is for every other segment."""
    found = {
        segment: Calendar(own, all_hours=all_hours)
        for segment, own in hours.items()
        if own.sessions or own.special_days
    }
    return found | {"": Calendar(None, all_hours=all_hours)}


@lru_cache(maxsize=10_000)
def period_of(interval: Interval, timestamp: int) -> tuple[int, int]:
    """Return start and end of the week (from Monday) or month of a moment, by Indian dates."""
    day = date_of(timestamp)
    if interval is Interval.WEEK:
        first = day - timedelta(days=day.weekday())
        return midnight_of(first), midnight_of(first + timedelta(days=7))
    first = day.replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return midnight_of(first), midnight_of(following)
