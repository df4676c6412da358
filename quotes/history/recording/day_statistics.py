"""Day statistics for quotes, in the Redis hash `day`.

    quotes:day  hash  instrument key -> {"date":"2021-04-16","open":..,"high":..,"low":..,
                      "prev_close":..,"volume":..}

Prices keep their digits. `prev_close` is the close of the previous session, null if unknown;
`volume` was traded within the session, null if no tick had a volume.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import redis

from quotes.history.candles.bars import Bar
from quotes.history.candles.deriving import CandleChange
from quotes.history.candles.intervals import Interval
from quotes.history.recording.writer import HistoryWriter, database_errors
from quotes.history.rows import number_text
from quotes.runtime.clock import date_of
from quotes.store.names import own_key

_FOREVER = 2**62
_CHUNK = 500


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
        self._days: dict[int, tuple[int, Decimal | None]] = {}  # series -> newest day, prev_close

    def refresh(self) -> None:
        """Write the statistics of all series: a recorder may have stopped after its commit."""
        with database_errors():
            numbers = sorted(self._writer.all_keys())
        for at in range(0, len(numbers), _CHUNK):
            self._write({number: self._read(number) for number in numbers[at : at + _CHUNK]})

    def update(self, changes: Iterable[CandleChange]) -> None:
        """Write the statistics of series whose day candle changed."""
        newest: dict[int, Bar] = {}
        for series, interval, bar in changes:
            present = newest.get(series)
            if interval is Interval.DAY and (present is None or bar.start >= present.start):
                newest[series] = bar
        found: dict[int, bytes | None] = {}
        for series, bar in newest.items():
            day, prev_close = self._days.get(series, (None, None))
            same = day == bar.start
            found[series] = _day_json(bar, prev_close) if same else self._read(series)
        self._write(found)

    def _read(self, series: int) -> bytes | None:
        """Return the statistics of the newest day of a series; None if it has no day."""
        with database_errors():
            days = self._last_days(series)
        if not days:
            return None
        prev_close = days[1].close if len(days) > 1 else None
        self._days[series] = (days[0].start, prev_close)
        return _day_json(days[0], prev_close)

    def _last_days(self, series: int) -> Sequence[Bar]:
        """Return the last two day candles of an instrument, newest first."""
        tables = self._writer.tables
        earlier = tables.earlier.get(series)
        own: list[Bar] = tables.last_days(series, _FOREVER)
        if not earlier:
            return own
        days = {
            bar.start for number in (series, *earlier) for bar in tables.last_days(number, _FOREVER)
        }
        calendar = self._writer.calendar_of(series)
        found: list[Bar] = []
        for midnight in sorted(days, reverse=True):
            found += self._writer.days.bars(
                series,
                earlier,
                calendar,
                midnight,
                Interval.DAY,
                above_zero=tables.is_above_zero(series),
            )
        return found[:2]

    def _write(self, found: dict[int, bytes | None]) -> None:
        fields: Any = {
            self._writer.key_of(series): text for series, text in found.items() if text is not None
        }
        if fields:
            self._client.hset(own_key("day"), mapping=fields)
