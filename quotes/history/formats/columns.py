"""The columns of exported ticks and candles, the same in every format.

A time is Unix milliseconds, or ISO 8601 in Indian time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from quotes.history.rows import CandleRow, TickRow
from quotes.runtime.clock import india_time

Row = CandleRow | TickRow
Batches = Iterable[Sequence[Any]]

CANDLE_COLUMNS = (
    *("instrument", "interval", "start", "ends", "open", "high", "low", "close"),
    *("volume", "oi", "ticks", "final", "revised"),
)
# Of candles in a backup, whose later ticks continue the day's volume.
STORED_CANDLE_COLUMNS = (*CANDLE_COLUMNS, "day_volume", "fallen_from")
TICK_COLUMNS = (
    *("instrument", "timestamp", "price", "volume", "oi"),
    *("position", "epoch", "seq", "shown", "others"),
)

MS, ISO = "ms", "iso"


@lru_cache(maxsize=10_000)
def iso_time(timestamp: int) -> str:
    """Return a moment in Indian time: `2024-04-05T09:15:00+05:30`, with milliseconds if any."""
    timespec = "milliseconds" if timestamp % 1000 else "seconds"
    return india_time(timestamp).isoformat(timespec=timespec)


def _candle_values(row: CandleRow) -> tuple[Any, ...]:
    """Return the values of CANDLE_COLUMNS, or of STORED_CANDLE_COLUMNS for a stored candle."""
    return (str(row.key), row.interval.label, *row[2:])


def _tick_values(row: TickRow) -> tuple[Any, ...]:
    """Return the values of TICK_COLUMNS; `others` is the JSON of the tick's further keys."""
    others = "" if row.rest is None else f"{{{row.rest[1:]}}}"
    return (
        *(str(row.key), row.timestamp, row.price, row.volume, row.oi),
        *(row.position, row.epoch, row.seq, row.shown, others),
    )


def columns_of(*, ticks: bool, stored: bool = False) -> tuple[str, ...]:
    """Return the columns; those of a backup hold all that is stored."""
    if ticks:
        return TICK_COLUMNS
    return STORED_CANDLE_COLUMNS if stored else CANDLE_COLUMNS


def values_of(*, ticks: bool) -> Callable[[Any], tuple[Any, ...]]:
    return _tick_values if ticks else _candle_values


def without_empty(batches: Batches) -> Iterator[Sequence[Any]]:
    """Yield the batches that have a row."""
    return (batch for batch in batches if batch)
