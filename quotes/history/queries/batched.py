"""Reading much of history in small batches: each a short query, for as long as the reader takes.

No query stays open between two batches, so a slow reader holds neither a snapshot of the database
nor more than one batch in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from instruments.keys import InstrumentKey
from quotes.history.candles.intervals import Interval
from quotes.history.models import Candle, Tick
from quotes.history.queries.cursors import Place, list_id
from quotes.history.queries.ranges import TICKS, TimeRange
from quotes.history.queries.selectors import candles, series_numbers, ticks

BATCH_ROWS = 2000


@dataclass(frozen=True)
class Question:
    """Which rows of history are asked for.

    Attributes:
        keys: instruments, each once, in the order of the answer; of ticks exactly one.
        interval: of candles; None: ticks.
        after: the last row already read; None: begin with the range.
    """

    keys: tuple[InstrumentKey, ...]
    interval: Interval | None
    span: TimeRange
    after: Place | None = None

    @property
    def list_id(self) -> str:
        """What cursors of this list are marked with."""
        return list_id(self.interval.label if self.interval else TICKS, self.keys)

    def place_of(self, row: Any) -> Place:
        """Return the place of a row that was read."""
        if self.interval:
            return Place(self.list_id, str(row.key), row.start)
        return Place(self.list_id, str(row.key), row.timestamp, row.position)


def read_rows(question: Question, *, limit: int) -> list[Any]:
    """Return the first rows, at most so many, in one query an instrument."""
    start, end = question.span
    after = question.after
    if question.interval:
        place = None if after is None else (InstrumentKey.parse(after.key), after.timestamp)
        return list(
            candles(
                keys=question.keys,
                interval=question.interval,
                start_ms=start,
                end_ms=end,
                limit=limit,
                after=place,
            )
        )
    (key,) = question.keys
    before = None if after is None else (after.timestamp, after.position)
    return list(ticks(key=key, start_ms=start, end_ms=end, limit=limit, after=before))


def read_batches(question: Question) -> Iterator[list[Any]]:
    """Yield all rows, in batches of at most BATCH_ROWS."""
    while True:
        rows = read_rows(question, limit=BATCH_ROWS)
        if rows:
            yield rows
        if len(rows) < BATCH_ROWS:
            return
        question = Question(
            question.keys, question.interval, question.span, question.place_of(rows[-1])
        )


def count_rows(question: Question, *, most: int) -> int:
    """Return how many rows the range has, whatever was read of it; no more than `most` are counted.

    Of weeks and months the days that they are made of are counted.
    """
    start, end = question.span
    found = 0
    numbers = series_numbers(keys=question.keys)
    for number in numbers.values():
        if question.interval:
            interval = min(question.interval, Interval.DAY)
            rows: Any = Candle.objects.filter(
                series_id=number, interval=interval, start__gte=start, start__lt=end
            ).values_list("start")
        else:
            rows = Tick.objects.filter(
                series_id=number, timestamp__gte=start, timestamp__lt=end
            ).values_list("timestamp")
        found += len_within(rows.order_by(), most - found)
        if found >= most:
            break
    return found


def len_within(rows: Any, most: int) -> int:
    count: int = rows[:most].count()
    return count
