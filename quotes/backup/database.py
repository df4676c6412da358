"""The rows of the database of accounts and instruments: out into lines of JSON, and in again.

Rows are values of columns, whatever the database is: a backup of SQLite goes into PostgreSQL and
back. They are written into the schema that they were read from (`schema.py`), as they are: no
signal is sent, and no time is set.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from django.apps.registry import Apps
from django.core.exceptions import ValidationError
from django.core.management.color import no_style
from django.db import Error, connection, models

from quotes.backup.folder import Backup, Interrupted, NewBackup, Stopped, never
from quotes.backup.manifest import ACCOUNTS, INSTRUMENTS
from quotes.errors import BadBackup, quoted
from quotes.history.router import ALIAS as HISTORY

_BATCH_ROWS = 2000

# Never in a backup: log-ins of browsers, whose keys would let their finder in.
LEFT_OUT = frozenset({"sessions.session"})
# Append only: a restore adds to them, and deletes none of the later rows.
_KEPT = frozenset({"access.accesschange", "access.endedlogin"})
# Tables in which migrations, or log-ins alone, put rows.
_OF_MIGRATIONS = frozenset(
    {
        *("contenttypes.contenttype", "auth.permission"),
        *("instruments.exchange", "instruments.segment", "instruments.segmentalias"),
        *("instruments.tradingsession", "instruments.holiday", "instruments.calendarentry"),
        "instruments.masterversion",
        *("axes.accessattempt", "axes.accessfailurelog", "axes.accesslog"),
        "axes.accessattemptexpiration",
    }
)


def part_of(label: str) -> str:
    """Return the part of a backup that a table is in, by its label."""
    return INSTRUMENTS if label.startswith("instruments.") else ACCOUNTS


def tables_of(apps: Any, parts: Iterable[str]) -> list[type[models.Model]]:
    """Return the models of the tables in some parts, many-to-many tables included."""
    wanted = set(parts)
    return [
        model
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed
        and not model._meta.proxy
        and model._meta.app_label != HISTORY
        and model._meta.label_lower not in LEFT_OUT
        and part_of(model._meta.label_lower) in wanted
    ]


def write_tables(backup: NewBackup, apps: Any, parts: Iterable[str]) -> None:
    """Write a file for each table of some parts, empty ones too."""
    for model in tables_of(apps, parts):
        label = model._meta.label_lower
        backup.add_rows(f"{part_of(label)}/{label}", _rows(model))


def _rows(model: type[models.Model]) -> Iterator[Sequence[Any]]:
    columns = [field.attname for field in model._meta.concrete_fields]
    yield columns
    found = model._base_manager.using("default").order_by("pk").values_list(*columns)
    yield from found.iterator(chunk_size=_BATCH_ROWS)


def filled_tables(apps: Any, parts: Iterable[str]) -> dict[str, int]:
    """Return how many rows operators have put into the tables of some parts."""
    counts = {}
    for model in tables_of(apps, parts):
        label = model._meta.label_lower
        if label not in _OF_MIGRATIONS and (count := model._base_manager.using("default").count()):
            counts[model._meta.verbose_name_plural or label] = count
    return {str(name): count for name, count in counts.items()}


def load_tables(
    backup: Backup, apps: Apps, parts: Iterable[str], *, stopped: Stopped = never
) -> int:
    """Replace the tables of some parts by those of a backup; return how many rows they have.

    Call it in a transaction. Tables that the backup does not have stay as they are.

    Args:
        apps: with the models of the backup's migrations.

    Raises:
        BadBackup: a value does not fit its column, or a row refers to one that is not there.
    """
    loaded = []
    total = 0
    for model in tables_of(apps, parts):
        label = model._meta.label_lower
        name = f"{part_of(label)}/{label}"
        if backup.manifest.file(f"{name}.jsonl.gz") is None:
            continue
        kept = label in _KEPT
        if not kept:
            model._base_manager.using("default").all()._raw_delete("default")
        try:
            total += _load(model, backup.rows(name), ignore_stored=kept, stopped=stopped)
        except (Error, ValidationError, TypeError, ValueError) as error:
            raise BadBackup(f"{name} has a row that cannot be stored: {error}") from error
        loaded.append(model)
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), loaded):
            cursor.execute(statement)
    return total


def _load(
    model: type[models.Model], rows: Iterator[Any], *, ignore_stored: bool, stopped: Stopped
) -> int:
    fields = {field.attname: field for field in model._meta.concrete_fields}
    columns = [fields[name] for name in next(rows, []) if name in fields]
    head = [field.attname for field in columns]
    if not columns:
        raise BadBackup(f"the file of {model._meta.label_lower} names no columns")
    quote = connection.ops.quote_name
    names = ", ".join(quote(str(field.column)) for field in columns)
    statement = (
        # Every name in it is the model's own; the values are parameters.
        f"INSERT INTO {quote(model._meta.db_table)} ({names})"  # noqa: S608
        f" VALUES ({', '.join(['%s'] * len(columns))})"
        f"{' ON CONFLICT DO NOTHING' if ignore_stored else ''}"
    )
    count = 0
    with connection.cursor() as cursor:
        while batch := list(islice(rows, _BATCH_ROWS)):
            if stopped():
                raise Interrupted
            for row in batch:
                if len(row) != len(head):
                    raise BadBackup(
                        f"a row of {model._meta.label_lower} must have {len(head)} values, "
                        f"got {quoted(str(row))}"
                    )
            cursor.executemany(statement, [_prepared(columns, row) for row in batch])
            count += len(batch)
    return count


def _prepared(columns: Sequence[Any], row: Sequence[Any]) -> list[Any]:
    return [
        field.get_db_prep_save(None if value is None else field.to_python(value), connection)
        for field, value in zip(columns, row, strict=True)
    ]
