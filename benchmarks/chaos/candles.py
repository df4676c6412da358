"""Candles computed from ticks alone, by the rules of docs/history.md; nothing of the project's.

For names without a segment, which trade around the clock, and volumes that never fall.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

MINUTE_MS = 60_000
DAY_MS = 86_400_000
INDIA_MS = 19_800_000  # 5:30 h ahead of UTC
INTERVALS = (1, 5, 15)  # minutes; 09:15 in India is a whole multiple of each


class Candle(NamedTuple):
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int
    ticks: int


def candle_of(prices: Sequence[Decimal], volume: int | None, ticks: int) -> Candle:
    """Return a candle of its four prices; no volume counts as 0."""
    opened, high, low, close = prices
    return Candle(opened, high, low, close, volume or 0, ticks)


class CandleTick(NamedTuple):
    """What a candle is made of; in the order of the fields, ticks of one symbol are sorted."""

    timestamp: int
    volume: int  # of the day so far
    position: int  # in the order of arrival
    price: Decimal


def candles_of(ticks: Iterable[CandleTick], minutes: int) -> dict[int, Candle]:
    """Return the candles of one symbol's ticks: start in Unix milliseconds -> candle."""
    found: dict[int, Candle] = {}
    day = highest = 0
    step = minutes * MINUTE_MS
    for timestamp, volume, _, price in sorted(ticks):
        today = (timestamp + INDIA_MS) // DAY_MS
        if today != day:
            day, highest = today, 0
        traded = max(0, volume - highest)
        highest = max(highest, volume)
        start = timestamp // step * step
        before = found.get(start)
        if before is None:
            found[start] = Candle(price, price, price, price, traded, 1)
        else:
            found[start] = Candle(
                before.open,
                max(before.high, price),
                min(before.low, price),
                price,
                before.volume + traded,
                before.ticks + 1,
            )
    return found
