"""Reads of history: candles and ticks by instrument and time.

Times are Unix milliseconds; the end of a range is exclusive. Instruments without history have an
empty result. What was recorded under other names of an instrument is read as its own. Everything
raises `django.db.DatabaseError` when the database fails. Not for an event loop's thread.

Candles and ticks are read past the ORM, which takes three times as long.
"""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from heapq import merge as merge_sorted
from itertools import groupby, islice
from typing import Any

from django.db import connections

from instruments.index import index
from instruments.keys import InstrumentKey
from instruments.prices import is_above_zero
from quotes.conf import conf
from quotes.history.candles.bars import Bar, merge
from quotes.history.candles.intervals import Interval
from quotes.history.candles.sessions import Calendar, calendars, period_of
from quotes.history.models import Candle
from quotes.history.router import ALIAS
from quotes.history.rows import CandleRow, TickRow
from quotes.history.series_names import InstrumentSeries, series_names
from quotes.history.tables.joined import JoinedDays
from quotes.history.tables.opening import open_tables
from quotes.runtime.clock import DAY_MS, day_number, midnight_of_day
from quotes.store.redis_clock import redis_clock

_FOREVER = 2**62
_LAST_DATE = 2**47  # beyond the year 6000
_PAGE = 2000

_CANDLE_FIELDS = (
    *("start", "ends", "open", "high", "low", "close"),
    *("volume", "oi", "ticks", "final", "revised"),
)
_SELECT_TICKS = (
    'SELECT "timestamp", position, epoch, seq, shown, price, volume, oi, rest'
    " FROM history_tick WHERE series_id = %s"
)
_SELECT_CANDLES = (
    "SELECT start, ends, open, high, low, close, volume, oi, ticks, final, revised"
    ' FROM history_candle WHERE series_id = %s AND "interval" = %s AND start >= %s AND start < %s'
    " ORDER BY start LIMIT %s"
)


def candles(
    *,
    keys: Iterable[InstrumentKey],
    interval: Interval,
    start_ms: int = 0,
    end_ms: int = _FOREVER,
    limit: int | None = None,
    after: tuple[InstrumentKey, int] | None = None,
) -> Iterator[CandleRow]:
    """Yield candles that start in a range: those of the first key by time, then of the next key.

    Args:
        after: key and start of the last candle already read; the result starts after it.
    """
    wanted = list(dict.fromkeys(keys))
    if after is not None:
        wanted = wanted[wanted.index(after[0]) :]
    found = series_names.series_of(wanted)

    def each() -> Iterator[CandleRow]:
        for key, series in found.items():
            first = start_ms
            if after is not None and key == after[0]:
                first = max(first, after[1] + 1)
            yield from _candles_of_one(key, series, interval, first, end_ms, limit)

    return islice(each(), limit)


def last_candles(
    *, key: InstrumentKey, interval: Interval, count: int, before_ms: int = _FOREVER
) -> list[CandleRow]:
    """Return the last candles that start before a moment, by time."""
    series = series_names.series_of([key]).get(key)
    if series is None:
        return []
    if interval > Interval.DAY:
        return _last_periods(key, series, interval, count, before_ms)
    own: list[CandleRow] = []
    if series.own is not None:
        rows = Candle.objects.filter(series_id=series.own, interval=interval, start__lt=before_ms)
        newest_first = rows.order_by("-start").values_list(*_CANDLE_FIELDS)[:count]
        own = [CandleRow(key, interval, *row) for row in reversed(newest_first)]
    if not series.earlier:
        return own
    first = own[0].start if len(own) == count else 0
    midnights = JoinedDays(open_tables()).midnights(
        series.earlier, midnight_of_day(day_number(first)), before_ms
    )
    if not midnights:
        return own
    # Days of other names may have candles that come after some of these.
    back = 1
    while back <= len(midnights):
        joined = list(_candles_of_one(key, series, interval, midnights[-back], before_ms))
        if len(joined) >= count:
            return joined[-count:]
        back *= 2
    return list(_candles_of_one(key, series, interval, first, before_ms))[-count:]


def _last_periods(
    key: InstrumentKey, series: InstrumentSeries, interval: Interval, count: int, before_ms: int
) -> list[CandleRow]:
    """Return the last weeks or months that start before a moment, by time."""
    length_ms = (count + 1) * (7 if interval is Interval.WEEK else 31) * DAY_MS
    found: list[CandleRow] = []
    first = before_ms
    while len(found) < count:
        # Between two periods with candles there may be many without.
        older = last_candles(key=key, interval=Interval.DAY, count=1, before_ms=first)
        if older:
            first = period_of(interval, max(0, older[0].start - length_ms))[0]
        elif found or first <= 0:
            break
        else:
            first = 0
        found = list(_candles_of_one(key, series, interval, first, before_ms))
        if not older:
            break
    return found[-count:]


def _candles_of_one(
    key: InstrumentKey,
    series: InstrumentSeries,
    interval: Interval,
    start_ms: int,
    end_ms: int,
    limit: int | None = None,
) -> Iterator[CandleRow]:
    """Yield the candles of one instrument; weeks and months are made of days, without a limit."""
    if interval <= Interval.DAY:
        if not series.earlier:
            assert series.own is not None
            yield from _stored_candles(key, series.own, interval, start_ms, end_ms, limit)
        else:
            yield from _joined_candles(key, series, interval, start_ms, end_ms, limit)
        return
    # A period that starts in the range includes all of its days, even after the end.
    whole_end = period_of(interval, end_ms - 1)[1] if end_ms < _LAST_DATE else _FOREVER
    days = _candles_of_one(key, series, Interval.DAY, start_ms, whole_end)
    for (start, ends), group in groupby(days, lambda day: period_of(interval, day.start)):
        if start_ms <= start < end_ms:
            members = list(group)
            bar = merge([_bar_of(day) for day in members], start, ends)
            yield CandleRow(
                key,
                interval,
                *(start, ends, bar.open, bar.high, bar.low, bar.close),
                *(bar.volume, bar.oi, bar.ticks),
                all(day.final for day in members) and ends <= redis_clock.now_ms(),
                any(day.revised for day in members),
            )


def _joined_candles(
    key: InstrumentKey,
    series: InstrumentSeries,
    interval: Interval,
    start_ms: int,
    end_ms: int,
    limit: int | None,
) -> Iterator[CandleRow]:
    """Yield the candles of an instrument some of whose days are in series of other names."""
    days = JoinedDays(open_tables())
    first = midnight_of_day(day_number(start_ms)) if start_ms > 0 else 0
    above_zero = is_above_zero(key)
    for midnight in days.midnights(series.earlier, first, min(end_ms, _LAST_DATE)):
        if series.own is not None:
            yield from _stored_candles(
                key, series.own, interval, start_ms, min(end_ms, midnight), limit
            )
        bars = days.bars(
            series.own, series.earlier, _calendar(key), midnight, interval, above_zero=above_zero
        )
        for bar in bars:
            if start_ms <= bar.start < end_ms:
                yield _row_of(key, interval, bar)
        start_ms = max(start_ms, midnight + DAY_MS)
    if series.own is not None:
        yield from _stored_candles(key, series.own, interval, start_ms, end_ms, limit)


def _calendar(key: InstrumentKey) -> Calendar:
    found = _all_calendars(index.version, conf.candles_all_hours)
    return found.get(key.segment) or found[""]


@lru_cache(maxsize=2)
def _all_calendars(version: int, all_hours: bool) -> dict[str, Calendar]:
    """Return the calendars by the master of this process, which has this version."""
    return calendars(index.hours, all_hours=all_hours)


def _row_of(key: InstrumentKey, interval: Interval, bar: Bar) -> CandleRow:
    return CandleRow(
        key,
        interval,
        *(bar.start, bar.ends, bar.open, bar.high, bar.low, bar.close),
        *(bar.volume, bar.oi, bar.ticks, bar.final, bar.revised),
    )


def _stored_candles(
    key: InstrumentKey,
    number: int,
    interval: Interval,
    start_ms: int,
    end_ms: int,
    limit: int | None = None,
) -> Iterator[CandleRow]:
    """Yield the candles of one series that start in a range, by time; no query stays open."""
    left = limit
    while left is None or left > 0:
        page_rows = _PAGE if left is None else min(_PAGE, left)
        page = _candle_page(key, number, interval, start_ms, end_ms, page_rows)
        yield from page
        if len(page) < page_rows:
            return
        left = None if left is None else left - page_rows
        start_ms = page[-1].start + 1


def _candle_page(
    key: InstrumentKey, number: int, interval: Interval, start_ms: int, end_ms: int, limit: int
) -> list[CandleRow]:
    """Return the first candles of a range."""
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(_SELECT_CANDLES, (number, int(interval), start_ms, end_ms, limit))
        rows = cursor.fetchall()
    return [
        CandleRow(
            key,
            interval,
            start,
            ends,
            Decimal(opened),
            Decimal(high),
            Decimal(low),
            Decimal(close),
            volume,
            oi,
            ticks,
            bool(final),
            bool(revised),
        )
        for start, ends, opened, high, low, close, volume, oi, ticks, final, revised in rows
    ]


def _bar_of(row: CandleRow) -> Bar:
    return Bar(
        *(row.start, row.ends, row.open, row.high, row.low, row.close),
        *(row.volume, row.oi, row.ticks),
    )


def ticks(
    *,
    key: InstrumentKey,
    start_ms: int = 0,
    end_ms: int = _FOREVER,
    limit: int | None = None,
    after: tuple[int, int] | None = None,
) -> Iterator[TickRow]:
    """Yield the ticks of an instrument in a range, by event time and then by arrival.

    Late ticks, which were never sent live, are included (`shown` is false).

    Args:
        after: timestamp and position of the last tick already read; the result starts after it.
    """
    parts = [
        _ticks_of_series(key, number, start_ms, end_ms, limit, after) for number in _numbers_of(key)
    ]
    if len(parts) == 1:
        yield from parts[0]
    else:
        yield from islice(
            merge_sorted(*parts, key=lambda row: (row.timestamp, row.position)), limit
        )


def _numbers_of(key: InstrumentKey, *, other_names_only: bool = False) -> list[int]:
    """Return the series that the ticks of an instrument are in."""
    series = series_names.series_of([key]).get(key)
    if series is None:
        return []
    own = [] if series.own is None or other_names_only else [series.own]
    return [*own, *series.earlier]


def _ticks_of_series(
    key: InstrumentKey,
    number: int,
    start_ms: int,
    end_ms: int,
    limit: int | None,
    after: tuple[int, int] | None,
) -> Iterator[TickRow]:
    position = -_FOREVER
    if after is not None and after[0] >= start_ms:
        start_ms, position = after
    left = _FOREVER if limit is None else limit
    while left > 0:
        page = _tick_rows(
            key,
            _SELECT_TICKS + ' AND "timestamp" < %s'
            ' AND ("timestamp", position) > (%s, %s) AND "timestamp" >= %s'
            ' ORDER BY "timestamp", position LIMIT %s',
            (number, end_ms, start_ms, position, start_ms, min(_PAGE, left)),
        )
        yield from page
        if len(page) < min(_PAGE, left):
            return
        left -= len(page)
        start_ms, position = page[-1].timestamp, page[-1].position


def last_ticks(
    *,
    key: InstrumentKey,
    count: int,
    epoch: int | None = None,
    through_seq: int | None = None,
    other_names_only: bool = False,
) -> list[TickRow]:
    """Return the last shown ticks of an instrument, in the order in which they were sent.

    Args:
        epoch: only ticks of this numbering; None: those of the newest event times.
        through_seq: with an epoch: only ticks up to this number.
        other_names_only: only those that were recorded under other names of the instrument.
    """
    conditions, values = "", []
    if epoch is not None:
        conditions, values = " AND epoch = %s", [epoch]
        if through_seq is not None:
            conditions, values = conditions + " AND seq <= %s", [*values, through_seq]
    newest_first: list[TickRow] = []
    for number in _numbers_of(key, other_names_only=other_names_only):
        newest_first += _tick_rows(
            key,
            _SELECT_TICKS
            + " AND shown"
            + conditions
            + ' ORDER BY "timestamp" DESC, position DESC LIMIT %s',
            (number, *values, count),
        )
    return sorted(newest_first, key=lambda row: (row.timestamp, row.position))[-count:]


def ticks_after(
    *, key: InstrumentKey, epoch: int, seq: int, limit: int
) -> tuple[list[TickRow], bool]:
    """Return the shown ticks after a number of an epoch, and whether they are complete.

    They are complete if they are numbered consecutively from the next number on, and there are no
    more than the limit. Ticks that are not stored yet may follow the last one. If there are no
    ticks after the number, they are complete if the tick of that number itself is stored.

    Args:
        limit: if there are more ticks than this, the result is ([], False).
    """
    for number in _numbers_of(key):
        found, is_complete = _ticks_after(key, number, epoch, seq, limit)
        if found or is_complete:
            return found, is_complete  # an epoch is of one series
    return [], False


def _ticks_after(
    key: InstrumentKey, number: int, epoch: int, seq: int, limit: int
) -> tuple[list[TickRow], bool]:
    found: list[TickRow] = []
    at = (_FOREVER, _FOREVER)
    while True:
        # Numbers grow with event times within an epoch: read from the newest back to `seq`.
        page = _tick_rows(
            key,
            _SELECT_TICKS + " AND shown"
            ' AND epoch = %s AND ("timestamp", position) < (%s, %s)'
            ' ORDER BY "timestamp" DESC, position DESC LIMIT %s',
            (number, epoch, *at, min(_PAGE, limit + 1)),
        )
        for row in page:
            if row.seq <= seq:
                found.reverse()
                return found, row.seq == seq and _is_consecutive(found, seq)
            found.append(row)
            if len(found) > limit:
                return [], False
        if len(page) < min(_PAGE, limit + 1):
            found.reverse()
            # The tick of that number may be pruned, or the number is 0: "from the beginning".
            return found, bool(found) and _is_consecutive(found, seq)
        at = (page[-1].timestamp, page[-1].position)


def _is_consecutive(rows: Sequence[TickRow], seq: int) -> bool:
    """Return whether the rows are numbered consecutively after a number."""
    return all(row.seq == number for number, row in enumerate(rows, seq + 1))


def _tick_rows(key: InstrumentKey, sql: str, values: Sequence[int]) -> list[TickRow]:
    """Return the ticks of a query that begins with _SELECT_TICKS."""
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(sql, values)
        return [tick_row(key, row) for row in cursor.fetchall()]


def tick_row(key: InstrumentKey, row: Sequence[Any]) -> TickRow:
    """Return the tick of a row without its series, in the order of the table's columns."""
    timestamp, position, epoch, seq, shown, price, volume, oi, rest = row
    if isinstance(price, Decimal):
        price = format(price, "f")
    return TickRow(key, timestamp, position, epoch, seq, bool(shown), price, volume, oi, rest)
