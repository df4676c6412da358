"""Bulk writes of history into PostgreSQL: COPY, and idempotent inserts out of staging tables.

Ticks are copied straight into their table, since the position in the log keeps them from coming
twice. If some are there nevertheless (an older copy of the position, an import), the ticks are
copied into a staging table, and only the new ones are inserted. That takes half as long again.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import IntegrityError, transaction

from quotes.history.candles.deriving import CandleChange
from quotes.history.router import ALIAS
from quotes.history.rows import TickValues
from quotes.history.tables.base import (
    CANDLE_COLUMNS,
    ON_CONFLICT,
    Tables,
    candle_values,
)
from quotes.history.tables.partitions import Partitions

_STAGING = (
    "CREATE TEMP TABLE IF NOT EXISTS staged_tick (LIKE history_tick) ON COMMIT DELETE ROWS",
    "CREATE TEMP TABLE IF NOT EXISTS staged_candle ON COMMIT DELETE ROWS AS"
    f" SELECT {CANDLE_COLUMNS} FROM history_candle WITH NO DATA",
)
_COPY_TICKS = "COPY history_tick FROM STDIN"
_STAGE_TICKS = "COPY staged_tick FROM STDIN"
_INSERT_TICKS = "INSERT INTO history_tick SELECT * FROM staged_tick ON CONFLICT DO NOTHING"
_COPY_CANDLES = "COPY staged_candle FROM STDIN"
_PUT_CANDLES = (
    f"INSERT INTO history_candle ({CANDLE_COLUMNS})"
    f" SELECT {CANDLE_COLUMNS} FROM staged_candle {ON_CONFLICT}"
)
# Partitions of ticks in one transaction, which locks each of them and its index.
_MOST_PARTITIONS = 100
_NULL = "\\N"
# Characters that the text format of COPY escapes.
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class PostgresTables(Tables):
    """Uses COPY on the driver's own connection, and makes partitions of ticks as needed."""

    def __init__(self) -> None:
        super().__init__()
        self._partitions = Partitions(self.connection)

    def prepare(self) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute("SET client_min_messages TO warning")
            for statement in _STAGING:
                cursor.execute(statement)
        self._partitions.prepare()

    def make_room(self, timestamps: Iterable[int]) -> bool:
        return self._partitions.ensure(timestamps) <= _MOST_PARTITIONS

    def insert_ticks(self, rows: Sequence[TickValues]) -> None:
        text = "".join(_tick_lines(rows)).encode()
        try:
            with transaction.atomic(using=ALIAS):
                self._copy(_COPY_TICKS, text)
        except IntegrityError:
            self._copy(_STAGE_TICKS, text)
            self._run(_INSERT_TICKS)
            self._run("TRUNCATE staged_tick")

    def put_candles(self, changes: Sequence[CandleChange]) -> None:
        lines = [_line(candle_values(change)) for change in changes]
        self._copy(_COPY_CANDLES, "".join(lines).encode())
        self._run(_PUT_CANDLES)
        self._run("TRUNCATE staged_candle")

    def _run(self, sql: str) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(sql)

    def _copy(self, sql: str, text: bytes) -> None:
        with (
            self.connection.wrap_database_errors,
            self.connection.connection.cursor() as cursor,
            cursor.copy(sql) as copy,
        ):
            copy.write(text)


def _tick_lines(rows: Sequence[TickValues]) -> list[str]:
    """Return the lines of COPY for ticks; written out, since it runs for every tick."""
    return [
        f"{series}\t{timestamp}\t{position}\t{epoch}\t{seq}\t{'t' if shown else 'f'}\t{price}\t"
        f"{_NULL if volume is None else volume}\t{_NULL if oi is None else oi}\t"
        f"{_NULL if rest is None else rest.translate(_ESCAPES)}\n"
        for series, timestamp, position, epoch, seq, shown, price, volume, oi, rest in rows
    ]


def _line(values: Iterable[Any]) -> str:
    """Return the _line of COPY for a row of numbers and flags."""
    return "\t".join(_NULL if value is None else str(value) for value in values) + "\n"
