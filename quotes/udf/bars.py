"""Bars of a chart: candles in a range, or so many before a moment, as UDF's `history` has them."""

from collections.abc import Sequence
from typing import NamedTuple

from instruments.keys import InstrumentKey
from quotes.history.candles.intervals import Interval
from quotes.history.queries.selectors import candles, last_candles
from quotes.history.rows import CandleRow, number_text
from quotes.udf.resolutions import bar_time, first_start

MAX_BARS = 20_000


class BarRange(NamedTuple):
    """What bars are wanted.

    Attributes:
        start, end: of the times of bars, Unix seconds; the end is exclusive.
        countback: if any: so many bars before the end, wherever they begin; `start` is ignored.
    """

    start: int
    end: int
    countback: int | None = None


class Bars(NamedTuple):
    """Bars in order of time.

    Attributes:
        next_time: without bars: the time of the last bar before the range, if there is one.
    """

    rows: Sequence[CandleRow]
    next_time: int | None = None


def read_bars(
    *, key: InstrumentKey, interval: Interval, wanted: BarRange, visible_ms: int | None = None
) -> Bars:
    """Return the newest bars of a range, at most MAX_BARS. The bar under way is included.

    Args:
        visible_ms: candles that start at this time or later are hidden; None: none are.

    Raises:
        django.db.DatabaseError: the database fails.
    """
    end = first_start(interval, wanted.end)
    if visible_ms is not None:
        end = min(end, visible_ms)
    if wanted.countback is not None:
        count = min(wanted.countback, MAX_BARS)
        return Bars(last_candles(key=key, interval=interval, count=count, before_ms=end))
    start = min(first_start(interval, wanted.start), end)
    rows = list(
        candles(keys=[key], interval=interval, start_ms=start, end_ms=end, limit=MAX_BARS + 1)
    )
    if len(rows) > MAX_BARS:
        rows = last_candles(key=key, interval=interval, count=MAX_BARS, before_ms=end)
    if rows:
        return Bars(rows)
    before = last_candles(key=key, interval=interval, count=1, before_ms=start)
    return Bars([], bar_time(interval, before[0].start) if before else None)


def history_json(bars: Bars, interval: Interval) -> bytes:
    """Return the answer of `history`: columns of numbers with their digits.

    A volume that is not known is 0.
    """
    rows = bars.rows
    if not rows:
        more = b"" if bars.next_time is None else b',"nextTime":%d' % bars.next_time
        return b'{"s":"no_data"%b}' % more
    columns = {
        b"t": [b"%d" % bar_time(interval, row.start) for row in rows],
        b"o": [number_text(row.open) for row in rows],
        b"h": [number_text(row.high) for row in rows],
        b"l": [number_text(row.low) for row in rows],
        b"c": [number_text(row.close) for row in rows],
        b"v": [b"%d" % (row.volume or 0) for row in rows],
    }
    texts = (b',"%b":[%b]' % (name, b",".join(column)) for name, column in columns.items())
    return b'{"s":"ok"%b}' % b"".join(texts)
