"""Candles out of their table, page after page; past the ORM, which takes three times as long.

What they mean, and weeks and months, are not here but in `selectors.py`.
"""

from collections.abc import Iterator
from decimal import Decimal

from django.db import connections

from instruments.keys import InstrumentKey
from quotes.history.candles.intervals import Interval
from quotes.history.router import ALIAS
from quotes.history.rows import CandleRow

PAGE = 2000

SELECT_CANDLES = (
    "SELECT start, ends, open, high, low, close, volume, oi, ticks, final, revised"
    ' FROM history_candle WHERE series_id = %s AND "interval" = %s AND start >= %s AND start < %s'
    " ORDER BY start LIMIT %s"
)


def stored_candles(
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
        asked = PAGE if left is None else min(PAGE, left)
        page = candle_page(key, number, interval, start_ms, end_ms, asked)
        yield from page
        if len(page) < asked:
            return
        left = None if left is None else left - asked
        start_ms = page[-1].start + 1


def candle_page(
    key: InstrumentKey, number: int, interval: Interval, start_ms: int, end_ms: int, limit: int
) -> list[CandleRow]:
    """Return the first candles of a range."""
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(SELECT_CANDLES, (number, int(interval), start_ms, end_ms, limit))
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
