"""The databases: reachable, writable, their size, and how many connections are left."""

from collections.abc import Iterator
from typing import Any

from django.db import DatabaseError, connections, transaction

from quotes.doctor.deployment import Deployment
from quotes.doctor.findings import Finding, error, ok, warning
from quotes.runtime.disk_space import database_files
from quotes.serve.startup import DATABASES

_CROWDED_SHARE = 0.8
_GB = 1e9
# A write-ahead log that large is held back by a reader that never ends.
_LARGE_WAL_BYTES = 1_000_000_000


def check_databases(deployment: Deployment) -> Iterator[Finding]:
    """Check the database of the master and accounts, and that of history."""
    for alias, setting, _ in DATABASES:
        try:
            yield from _check(alias, setting)
        except DatabaseError as problem:
            yield error(
                f"the database of {setting} does not answer "
                f"({type(problem).__name__}: {str(problem).splitlines()[0][:200]})",
                f"check {setting}, its server and its password",
                "recorder-behind" if alias == "history" else "",
            )


def _check(alias: str, setting: str) -> Iterator[Finding]:
    connection = connections[alias]
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    if "django_migrations" not in connection.introspection.table_names():
        return  # the check of migrations says so
    try:
        with transaction.atomic(using=alias), connection.cursor() as cursor:
            # No row is changed, but a database that refuses writes refuses this.
            cursor.execute("UPDATE django_migrations SET app = app WHERE id < 0")
    except DatabaseError as problem:
        yield error(
            f"the database of {setting} cannot be written: {str(problem).splitlines()[0][:200]}",
            "check its disk, its permissions, and that it is no replica",
            "recorder-behind" if alias == "history" else "",
        )
    if connection.vendor == "postgresql":
        yield from _postgresql(connection, setting)
    else:
        yield from _sqlite(connection, setting)


def _postgresql(connection: Any, setting: str) -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_database_size(current_database()), "
            "(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), "
            "current_setting('max_connections')::int, current_setting('server_version')"
        )
        size, used, most, version = cursor.fetchone()
    if used > _CROWDED_SHARE * most:
        yield warning(
            f"{used} of {most} connections of PostgreSQL are in use",
            "raise max_connections, or stop programs that hold them",
        )
    yield ok(f"{setting}: PostgreSQL {version}, {size / _GB:.2f} GB, {used} of {most} connections")


def _sqlite(connection: Any, setting: str) -> Iterator[Finding]:
    name = str(connection.settings_dict["NAME"])
    for file in database_files():
        if str(file) != name:
            continue
        wal = file.with_name(file.name + "-wal")
        wal_bytes = wal.stat().st_size if wal.exists() else 0
        if wal_bytes > _LARGE_WAL_BYTES:
            yield warning(
                f"the write-ahead log of {file.name} has {wal_bytes / _GB:.1f} GB: something reads "
                "the file without an end",
                "restart the processes that read it one after another",
                "recorder-behind",
            )
        yield ok(f"{setting}: SQLite, {(file.stat().st_size + wal_bytes) / _GB:.2f} GB")
        return
    yield ok(f"{setting}: SQLite in memory")
