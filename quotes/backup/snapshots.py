"""Consistent reads of both databases while other processes write.

What is read within is as it was at one moment. Writers do not wait for it; PostgreSQL keeps
deleted rows, and SQLite the whole of its write-ahead log, until it ends.
"""

import contextlib
from collections.abc import Iterator

from django.db import connections, transaction

from quotes.history.router import ALIAS, shares_database

_REPEATABLE = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"


@contextlib.contextmanager
def snapshots() -> Iterator[None]:
    """Read both databases as of now until the end; of one PostgreSQL database, the same moment."""
    with _snapshot(ALIAS), _snapshot("default"):
        if connections[ALIAS].vendor == "postgresql" and shares_database():
            with connections[ALIAS].cursor() as cursor:
                cursor.execute("SELECT pg_export_snapshot()")
                name = cursor.fetchone()[0]
            with connections["default"].cursor() as cursor:
                cursor.execute("SET TRANSACTION SNAPSHOT %s", (name,))
        yield


@contextlib.contextmanager
def _snapshot(alias: str) -> Iterator[None]:
    connection = connections[alias]
    if connection.vendor == "postgresql":
        with transaction.atomic(using=alias):
            with connection.cursor() as cursor:
                cursor.execute(_REPEATABLE)
            yield
        return
    # `atomic` would take the lock of writers.
    with connection.cursor() as cursor:
        cursor.execute("BEGIN DEFERRED")
        cursor.execute("SELECT count(*) FROM sqlite_master").fetchone()
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ROLLBACK")
