"""Reading long ranges of history in small batches, each with a short query.

No query stays open between two batches, so a slow reader holds neither a snapshot of the database
nor more than one batch in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from instruments.keys import InstrumentKey
from quotes.history.candles.intervals import Interval
from quotes.history.models import Candle, Tick
from quotes.history.queries.cursors import PagePosition, list_id
from quotes.history.queries.ranges import TICKS, TimeRange
from quotes.history.queries.selectors import candles, ticks
from quotes.history.series_names import series_names

_BATCH_ROWS = 2000


@dataclass(frozen=True)
class HistoryQuery:
    """The rows of history to read.

    Attributes:
        keys: instruments, each once, in the order of the result; for ticks exactly one.
        interval: of candles; None: ticks.
        after: the last row already read; None: begin at the start of the range.
    """

    keys: tuple[InstrumentKey, ...]
    interval: Interval | None
    span: TimeRange
    after: PagePosition | None = None

    @property
    def list_id(self) -> str:
        """The list that cursors of this query are valid for."""
        return list_id(self.interval.label if self.interval else TICKS, self.keys)

    def position_of(self, row: Any) -> PagePosition:
        """Return the position of a row of the result."""
        if self.interval:
            return PagePosition(self.list_id, str(row.key), row.start)
        return PagePosition(self.list_id, str(row.key), row.timestamp, row.position)


def read_rows(query: HistoryQuery, *, limit: int) -> list[Any]:
    """Return the first rows, with one database query for each instrument."""
    start, end = query.span
    after = query.after
    if query.interval:
        after_candle = None if after is None else (InstrumentKey.parse(after.key), after.timestamp)
        return list(
            candles(
                keys=query.keys,
                interval=query.interval,
                start_ms=start,
                end_ms=end,
                limit=limit,
                after=after_candle,
            )
        )
    (key,) = query.keys
    after_tick = None if after is None else (after.timestamp, after.position)
    return list(ticks(key=key, start_ms=start, end_ms=end, limit=limit, after=after_tick))


def read_batches(query: HistoryQuery) -> Iterator[list[Any]]:
    """Yield all rows, in batches of at limit _BATCH_ROWS."""
    while True:
        rows = read_rows(query, limit=_BATCH_ROWS)
        if rows:
            yield rows
        if len(rows) < _BATCH_ROWS:
            return
        query = HistoryQuery(query.keys, query.interval, query.span, query.position_of(rows[-1]))


def count_rows(query: HistoryQuery, *, limit: int) -> int:
    """Return how many rows the range has, ignoring `after`; stop counting at `limit`.

    Days that are in series of several names of an instrument may count more than once. For weeks
    and months, return the number of days that they are made of.
    """
    start, end = query.span
    found = 0
    found_series = series_names.series_of(query.keys).values()
    numbers = [
        number
        for series in found_series
        for number in (series.own, *series.earlier)
        if number is not None
    ]
    for number in numbers:
        if query.interval:
            interval = min(query.interval, Interval.DAY)
            rows: Any = Candle.objects.filter(
                series_id=number, interval=interval, start__gte=start, start__lt=end
            ).values_list("start")
        else:
            rows = Tick.objects.filter(
                series_id=number, timestamp__gte=start, timestamp__lt=end
            ).values_list("timestamp")
        found += _count_up_to(rows.order_by(), limit - found)
        if found >= limit:
            break
    return found


def _count_up_to(rows: Any, limit: int) -> int:
    count: int = rows[:limit].count()
    return count
