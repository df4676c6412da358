"""Reads the history database past the project, for the accounts: SQLite or PostgreSQL."""

import re
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.chaos.candles import INTERVALS, Candle, candle_of
from benchmarks.chaos.history_account import Stored, StoredGap, StoredTick

NUMBER = re.compile(r'"n":(\d+)')
TICKS = (
    'SELECT key, "timestamp", position, epoch, seq, shown, price, volume, rest'
    " FROM history_tick t JOIN history_series s ON s.id = t.series_id WHERE position > {after}"
)
CANDLES = (
    'SELECT key, "interval", start, "open", high, low, "close", volume, ticks'
    " FROM history_candle c JOIN history_series s ON s.id = c.series_id"
    f' WHERE "interval" IN ({", ".join(map(str, INTERVALS))})'
)
GAPS = "SELECT begins, ends, ticks, reason FROM history_gap"


def read_stored(url: str, before: Stored) -> Stored:
    """Return everything that the database of a URL has; what was read before is not read again."""
    after = max((tick.position for tick in before.ticks), default=0)
    new = [_tick(row) for row in _rows(url, TICKS.format(after=after))]
    gaps = [StoredGap(*row) for row in _rows(url, GAPS)]
    return Stored([*before.ticks, *new], gaps, _candles(_rows(url, CANDLES)))


def _rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    if url.startswith("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///"))
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as connection:
            rows = connection.execute(sql).fetchall()
        connection.close()
        return rows
    import psycopg

    with psycopg.connect(url) as server:
        return server.execute(sql.encode()).fetchall()


def _tick(row: tuple[Any, ...]) -> StoredTick:
    key, timestamp, position, epoch, seq, shown, price, volume, rest = row
    number = NUMBER.search(rest or "")
    n = int(number[1]) if number else 0
    return StoredTick(
        key, n, epoch, seq, bool(shown), Decimal(price), timestamp, volume or 0, position
    )


def _candles(rows: list[tuple[Any, ...]]) -> dict[tuple[str, int, int], Candle]:
    return {
        (key, minutes, start): candle_of([Decimal(price) for price in prices], volume, ticks)
        for key, minutes, start, *prices, volume, ticks in rows
    }
