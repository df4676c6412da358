"""Every row of ticks and candles as it is stored, for copies; under the names it was recorded by.

`selectors.py` joins the names of an instrument instead.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from django.db import connections

from instruments.keys import InstrumentKey
from quotes.history.candles.intervals import Interval
from quotes.history.models import Series
from quotes.history.queries.ranges import TimeRange
from quotes.history.queries.selectors import tick_row
from quotes.history.router import ALIAS
from quotes.history.rows import TickRow

_BATCH_ROWS = 5000
_TICKS = (
    'SELECT series_id, "timestamp", position, epoch, seq, shown, price, volume, oi, rest'
    ' FROM history_tick WHERE "timestamp" >= %s AND "timestamp" < %s'
)
_OF_SERIES = " AND series_id = %s"
_CANDLES = (
    'SELECT series_id, "interval", "start", ends, open, high, low, close, volume, oi, ticks,'
    ' final, revised, day_volume, fallen_from FROM history_candle WHERE "start" >= %s'
    ' AND "start" < %s'
)


class StoredCandle(NamedTuple):
    """One candle with all of its columns; prices are text, or numbers with all digits."""

    key: InstrumentKey
    interval: Interval
    start: int
    ends: int
    open: Any
    high: Any
    low: Any
    close: Any
    volume: int | None
    oi: int | None
    ticks: int
    final: bool
    revised: bool
    day_volume: int
    fallen_from: int


def stored_ticks(span: TimeRange, *, by_series: bool) -> Iterator[list[TickRow]]:
    """Yield the ticks of a range in batches; call it in a transaction, as a cursor stays open.

    Args:
        by_series: look up the range of each series, which takes an index in SQLite; otherwise all
            ticks are scanned.
    """
    keys = _keys()
    queries: list[tuple[str, tuple[int, ...]]] = [(_TICKS, span)]
    if by_series and connections[ALIAS].vendor == "sqlite":
        queries = [(_TICKS + _OF_SERIES, (*span, number)) for number in keys]
    for sql, values in queries:
        for rows in _batches(sql, values):
            yield [tick_row(keys[row[0]], row[1:]) for row in rows]


def stored_candles(span: TimeRange) -> Iterator[list[StoredCandle]]:
    """Yield the candles that start in a range in batches, as `stored_ticks` does."""
    keys = _keys()
    for rows in _batches(_CANDLES, span):
        yield [
            StoredCandle(
                *(keys[row[0]], Interval(row[1]), *row[2:11]),
                *(bool(row[11]), bool(row[12]), *row[13:]),
            )
            for row in rows
        ]


def _keys() -> dict[int, InstrumentKey]:
    return {
        number: InstrumentKey.parse(key)
        for number, key in Series.objects.order_by("id").values_list("id", "key")
    }


def _batches(sql: str, values: Sequence[int]) -> Iterator[list[Any]]:
    # On the server's side in PostgreSQL: rows come as they are fetched.
    with connections[ALIAS].chunked_cursor() as cursor:
        cursor.execute(sql, values)
        while rows := cursor.fetchmany(_BATCH_ROWS):
            yield rows
