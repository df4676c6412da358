"""Day statistics for quotes, in the Redis hash `day`.

    quotes:day  hash  instrument key -> {"date":"2021-04-16","open":..,"high":..,"low":..,
                      "prev_close":..,"volume":..}

The day is the newest one up to that of the last tick that clients were shown: a tick of tomorrow
whose price was forgotten is of no day of theirs, and a replay of an older day has its statistics.
Prices keep their digits. `prev_close` is the close of the last session before that day, null if it
is not known; `volume` was traded within the session, null if no tick had a volume.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import redis

from quotes.history.candles.bars import Bar
from quotes.history.candles.deriving import CandleChange
from quotes.history.candles.intervals import Interval
from quotes.history.recording.writer import HistoryWriter, database_errors
from quotes.history.rows import number_text
from quotes.runtime.clock import date_of
from quotes.store.latest import find_latest
from quotes.store.names import own_key
from quotes.store.redis_clock import redis_clock

_FOREVER = 2**62
_CHUNK = 500


class _Day(NamedTuple):
    """The day of a series whose statistics are in Redis: its start, and the close before."""

    start: int
    prev_close: Decimal | None


def _day_json(day: Bar, prev_close: Decimal | None) -> bytes:
    """Return the JSON object of a day."""
    return b'{"date":"%b","open":%b,"high":%b,"low":%b,"prev_close":%b,"volume":%b}' % (
        date_of(day.start).isoformat().encode(),
        number_text(day.open),
        number_text(day.high),
        number_text(day.low),
        b"null" if prev_close is None else number_text(prev_close),
        b"null" if day.volume is None else b"%d" % day.volume,
    )


class DayStatistics:
    """Keeps the hash up to date with the day candles of a writer.

    Methods raise `redis.RedisError` and `HistoryDown`; `refresh` then makes up for what is missing.
    """

    def __init__(self, writer: HistoryWriter, client: redis.Redis) -> None:
        self._writer = writer
        self._client = client
        self._days: dict[int, _Day] = {}

    def refresh(self) -> None:
        """Write the statistics of all series: a recorder may have stopped after its commit."""
        with database_errors():
            numbers = sorted(self._writer.all_keys())
        for at in range(0, len(numbers), _CHUNK):
            self._write(self._read(numbers[at : at + _CHUNK], {}))

    def forget(self) -> None:
        """Read the close before each day again: the hours of segments have changed."""
        self._days.clear()

    def update(self, changes: Iterable[CandleChange], shown: Mapping[int, int]) -> None:
        """Write the statistics of series whose day candles changed.

        Args:
            shown: series -> time of the last tick that clients were shown, of those that were
                stored with the changes.
        """
        changed: dict[int, dict[int, Bar]] = {}
        for series, interval, bar in changes:
            if interval is Interval.DAY:
                changed.setdefault(series, {})[bar.start] = bar
        found: dict[int, bytes | None] = {}
        other: list[int] = []
        for series, bars in changed.items():
            day = self._days.get(series)
            # Nearly always the day in Redis is the only one that changed.
            if day is None or bars.keys() != {day.start} or self._is_past(day, shown.get(series)):
                other.append(series)
            else:
                found[series] = _day_json(bars[day.start], day.prev_close)
        self._write(found | self._read(other, shown))

    @staticmethod
    def _is_past(day: _Day, shown: int | None) -> bool:
        """Return whether the last tick shown is of before a day."""
        return shown is not None and shown < day.start

    def _read(self, numbers: Collection[int], shown: Mapping[int, int]) -> dict[int, bytes | None]:
        """Return the statistics of series; None for those that have no day."""
        limits = dict.fromkeys(numbers, redis_clock.now_ms())
        if missing := [series for series in numbers if series not in shown]:
            keys = [self._writer.key_of(series) for series in missing]
            records: list[Any] = self._client.hmget(own_key("latest"), keys)
            for series, key, record in zip(missing, keys, records, strict=True):
                if (latest := find_latest(key, record)) is not None:
                    limits[series] = latest.timestamp
        limits |= {series: shown[series] for series in numbers if series in shown}
        with database_errors():
            return {series: self._read_one(series, limit) for series, limit in limits.items()}

    def _read_one(self, series: int, limit: int) -> bytes | None:
        """Return the statistics of the newest day of a series up to that of a moment."""
        self._days.pop(series, None)
        days = self._last_days(series, min(limit, _FOREVER))
        if not days:
            return None
        prev_close = self._prev_close(series, days)
        self._days[series] = _Day(days[0].start, prev_close)
        return _day_json(days[0], prev_close)

    def _prev_close(self, series: int, days: Sequence[Bar]) -> Decimal | None:
        """Return the close of the last session before a day; None if it is not known.

        Args:
            days: the day, and the stored one before it if there is one.
        """
        sessions = self._writer.calendar_of(series).sessions_before(days[0].start)
        if not sessions or len(days) < 2 or days[1].start < sessions[-1]:
            return None
        if days[1].start in sessions:
            return days[1].close
        # A day without a session may have candles too.
        found = (bar for midnight in sessions for bar in self._day(series, midnight))
        return next((bar.close for bar in found), None)

    def _last_days(self, series: int, moment: int) -> Sequence[Bar]:
        """Return the last two day candles of an instrument up to that of a moment, newest first."""
        tables = self._writer.tables
        earlier = tables.earlier.get(series)
        own: list[Bar] = tables.last_days(series, moment)
        if not earlier:
            return own
        days = {
            bar.start for number in (series, *earlier) for bar in tables.last_days(number, moment)
        }
        found: list[Bar] = []
        for midnight in sorted(days, reverse=True):
            found += self._day(series, midnight)
        return found[:2]

    def _day(self, series: int, midnight: int) -> list[Bar]:
        """Return the day candle of an instrument that starts at a midnight, if there is one."""
        tables = self._writer.tables
        return self._writer.days.bars(
            series,
            tables.earlier.get(series, ()),
            self._writer.calendar_of(series),
            midnight,
            Interval.DAY,
            above_zero=tables.is_above_zero(series),
        )

    def _write(self, found: Mapping[int, bytes | None]) -> None:
        fields: Any = {
            self._writer.key_of(series): text for series, text in found.items() if text is not None
        }
        if fields:
            self._client.hset(own_key("day"), mapping=fields)
        if gone := [self._writer.key_of(series) for series, text in found.items() if text is None]:
            self._client.hdel(own_key("day"), *gone)
