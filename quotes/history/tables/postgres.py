"""Bulk writes of history into PostgreSQL: COPY, and idempotent inserts out of staging tables.

Ticks are copied straight into their table, since the place in the log sees to it that they come
once; where some are there nevertheless (an older copy of the place, an import) they are staged and
only those that are new inserted. That takes half as long again.
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

STAGING = (
    "CREATE TEMP TABLE IF NOT EXISTS staged_tick (LIKE history_tick) ON COMMIT DELETE ROWS",
    "CREATE TEMP TABLE IF NOT EXISTS staged_candle ON COMMIT DELETE ROWS AS"
    f" SELECT {CANDLE_COLUMNS} FROM history_candle WITH NO DATA",
)
COPY_TICKS = "COPY history_tick FROM STDIN"
STAGE_TICKS = "COPY staged_tick FROM STDIN"
INSERT_TICKS = "INSERT INTO history_tick SELECT * FROM staged_tick ON CONFLICT DO NOTHING"
COPY_CANDLES = "COPY staged_candle FROM STDIN"
PUT_CANDLES = (
    f"INSERT INTO history_candle ({CANDLE_COLUMNS})"
    f" SELECT {CANDLE_COLUMNS} FROM staged_candle {ON_CONFLICT}"
)
NULL = "\\N"
# What stands for other characters in the text of COPY.
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class PostgresTables(Tables):
    """COPY on the driver's own connection; partitions are made as their days come."""

    def __init__(self) -> None:
        super().__init__()
        self.partitions = Partitions(self.connection)

    def prepare(self) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute("SET client_min_messages TO warning")
            for statement in STAGING:
                cursor.execute(statement)
        self.partitions.prepare()

    def insert_ticks(self, rows: Sequence[TickValues]) -> None:
        self.partitions.ensure(row[1] for row in rows)
        text = "".join(tick_lines(rows)).encode()
        try:
            with transaction.atomic(using=ALIAS):
                self.copy(COPY_TICKS, text)
        except IntegrityError:
            self.copy(STAGE_TICKS, text)
            self.run(INSERT_TICKS)
            self.run("TRUNCATE staged_tick")

    def put_candles(self, changes: Sequence[CandleChange]) -> None:
        lines = [line(candle_values(change)) for change in changes]
        self.copy(COPY_CANDLES, "".join(lines).encode())
        self.run(PUT_CANDLES)
        self.run("TRUNCATE staged_candle")

    def committed(self) -> None:
        self.partitions.committed()

    def run(self, sql: str) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(sql)

    def copy(self, sql: str, text: bytes) -> None:
        with (
            self.connection.wrap_database_errors,
            self.connection.connection.cursor() as cursor,
            cursor.copy(sql) as copy,
        ):
            copy.write(text)


def tick_lines(rows: Sequence[TickValues]) -> list[str]:
    """Return the lines of COPY for ticks; apart from `line` because it runs for each."""
    return [
        f"{series}\t{timestamp}\t{position}\t{epoch}\t{seq}\t{'t' if shown else 'f'}\t{price}\t"
        f"{NULL if volume is None else volume}\t{NULL if oi is None else oi}\t"
        f"{NULL if rest is None else rest.translate(ESCAPES)}\n"
        for series, timestamp, position, epoch, seq, shown, price, volume, oi, rest in rows
    ]


def line(values: Iterable[Any]) -> str:
    """Return the line of COPY for a row of numbers and switches."""
    return "\t".join(NULL if value is None else str(value) for value in values) + "\n"
