"""History of instruments that people know, written straight into the tables."""

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import connections

from instruments.keys import InstrumentKey
from quotes.history.candles.intervals import Interval
from quotes.history.models import Candle, Series
from quotes.history.router import ALIAS
from quotes.runtime.clock import DAY_MS, midnight_of

RELIANCE = InstrumentKey("NSE_EQ", "RELIANCE")
M_AND_M = InstrumentKey("NSE_EQ", "M&M")
# Friday, 5 April 2024, and when NSE opened on it.
DAY = date(2024, 4, 5)
MIDNIGHT = midnight_of(DAY)
OPENS = MIDNIGHT + (9 * 60 + 15) * 60_000
MINUTE = 60_000


def series(key: InstrumentKey = RELIANCE) -> Series:
    return Series.objects.get_or_create(key=str(key), defaults={"segment": key.segment})[0]


def candle(
    start: int,
    key: InstrumentKey = RELIANCE,
    interval: Interval = Interval.MINUTE,
    *,
    prices: Sequence[str] = ("100.10", "101.00", "99.50", "100.00"),
    **more: Any,
) -> Candle:
    """A candle that is not saved yet."""
    ends = start + (interval.step_ms if interval < Interval.DAY else 375 * MINUTE)
    values = dict(zip(("open", "high", "low", "close"), map(Decimal, prices), strict=True))
    terms: dict[str, Any] = {"volume": 10, "oi": None, "ticks": 4, "final": True, **more}
    if "series_id" not in terms:
        terms["series_id"] = series(key).pk
    return Candle(interval=interval, start=start, ends=ends, **values, **terms)


def minutes(
    count: int, key: InstrumentKey = RELIANCE, *, start: int = OPENS, step: int = 1
) -> list[Candle]:
    """Save and return so many candles, one after another, with prices of their own."""
    interval, number_of_series = Interval(step), series(key).pk
    made = [
        candle(
            start + number * interval.step_ms,
            key,
            interval,
            prices=[f"{100 + number}.{digits}" for digits in ("10", "90", "05", "50")],
            volume=number,
            series_id=number_of_series,
        )
        for number in range(count)
    ]
    return Candle.objects.bulk_create(made)


def days(count: int, key: InstrumentKey = RELIANCE, *, first: int = MIDNIGHT) -> list[Candle]:
    made = [candle(first + number * DAY_MS, key, Interval.DAY) for number in range(count)]
    return Candle.objects.bulk_create(made)


def ticks(
    rows: Iterable[tuple[int, str]], key: InstrumentKey = RELIANCE, *, rest: str | None = None
) -> None:
    """Save ticks of (timestamp, price), in the order in which they came."""
    number = series(key).pk
    with connections[ALIAS].cursor() as cursor:
        cursor.executemany(
            'INSERT INTO history_tick (series_id, "timestamp", position, epoch, seq, shown, price,'
            " volume, oi, rest) VALUES (%s, %s, %s, 7, %s, %s, %s, %s, NULL, %s)",
            [
                (number, timestamp, position, position, True, price, position, rest)
                for position, (timestamp, price) in enumerate(rows, 1)
            ],
        )
