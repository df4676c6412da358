"""Bulk writes of history into SQLite."""

from collections.abc import Sequence
from typing import Any

from quotes.history.candles.deriving import CandleChange
from quotes.history.rows import TickValues
from quotes.history.tables.base import (
    CANDLE_COLUMNS,
    ON_CONFLICT,
    Tables,
    candle_values,
)

_INSERT_TICKS = f"INSERT OR IGNORE INTO history_tick VALUES ({', '.join('?' * 10)})"
_PUT_CANDLES = (
    f"INSERT INTO history_candle ({CANDLE_COLUMNS}) VALUES ({', '.join('?' * 15)}) {ON_CONFLICT}"
)


class SqliteTables(Tables):
    """Uses executemany on the driver's own connection."""

    def prepare(self) -> None:
        self.connection.ensure_connection()

    def insert_ticks(self, rows: Sequence[TickValues]) -> None:
        # In key order: neighbours are stored on the same page.
        self._execute_many(_INSERT_TICKS, sorted(rows))

    def put_candles(self, changes: Sequence[CandleChange]) -> None:
        self._execute_many(_PUT_CANDLES, [candle_values(change) for change in changes])

    def _execute_many(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        with self.connection.wrap_database_errors:
            self.connection.connection.executemany(sql, rows)
