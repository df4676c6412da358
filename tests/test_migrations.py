"""Migrations since release 0.1.0 hold up no running service, and leave its tables to it.

The SQL that each runs on PostgreSQL is read, without a server. A table with many rows is never
rewritten, nor locked while an index or a check is made; nothing that release 0.1.0 reads or writes
goes away. docs/upgrading.md has the rules.
"""

import re
from typing import Any

import pytest
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.migration import Migration

APPS = ("access", "history", "instruments", "kite", "screens")
# Those of release 0.1.0, which new databases run alone.
RELEASED = {
    *(("instruments", "0001_initial"), ("instruments", "0002_market")),
    *(("access", "0001_initial"), ("history", "0001_initial")),
}
# Beginnings of the names of tables that may have many rows.
LARGE = ("history_", "instruments_instrument", "access_apikey", "auth_user")

_TABLE = re.compile(r'(?:ALTER TABLE|INDEX .*? ON|UPDATE|TRUNCATE|DROP TABLE) (?:ONLY )?"?(\w+)"?')
# What breaks the release before, on whatever table.
_TAKES_AWAY = (
    (r"DROP (TABLE|COLUMN)", "the release before uses it: drop it one release later"),
    (r"RENAME", "the release before uses the old name: add the new one beside it"),
    (
        r"ADD COLUMN (?!.* DEFAULT ).*NOT NULL",
        "the release before does not fill it in: give the field a db_default",
    ),
    (r"TRUNCATE", "the release before reads it"),
)
# What locks or rewrites a table with many rows.
_LOCKS = (
    (r"CREATE (UNIQUE )?INDEX (?!CONCURRENTLY)", "make it with AddIndexConcurrently"),
    (r"ALTER COLUMN .* TYPE", "it rewrites the table: add a column, and fill it in parts"),
    (r"SET NOT NULL", "it reads the whole table: add a check NOT VALID, then validate it"),
    (
        r"ADD CONSTRAINT (?!.*NOT VALID).*(CHECK|FOREIGN KEY|REFERENCES)",
        "add it with AddConstraintNotValid, then ValidateConstraint",
    ),
    (r"ADD CONSTRAINT .*(UNIQUE|EXCLUDE|PRIMARY KEY)", "make its index concurrently first"),
    (r"DEFAULT (?:\(?\w+\(|CURRENT_)", "a default that is computed rewrites the table"),
    (r"GENERATED ALWAYS", "it rewrites the table"),
    (r"^UPDATE ", "update it in parts, not in one transaction"),
)


def problem(statement: str, made: set[str]) -> str:
    """Return what is wrong with a statement, "" for nothing.

    Args:
        made: tables that the same migration makes, which nobody uses yet.
    """
    found = _TABLE.search(statement)
    if found is None or found[1] in made:
        return ""
    rules = _TAKES_AWAY + (_LOCKS if found[1].startswith(LARGE) else ())
    for pattern, cure in rules:
        if re.search(pattern, statement):
            return f"{found[1]}: {cure}; set lock_timeout, so that it waits for nobody: {statement}"
    return ""


def problems(statements: list[str]) -> list[str]:
    made = {found[1] for one in statements if (found := re.match(r'CREATE TABLE "?(\w+)"?', one))}
    return [text for one in statements if (text := problem(one, made))]


class _Offline(DatabaseWrapper):
    """PostgreSQL without a server; a migration that looks into the database cannot be read."""

    def connect(self) -> None:
        raise AssertionError("this migration reads the database: check it by hand")

    def ensure_connection(self) -> None:
        self.connect()


def offline(alias: str) -> _Offline:
    values = {
        **{"ENGINE": "django.db.backends.postgresql", "NAME": "none", "USER": "", "PASSWORD": ""},
        **{"HOST": "", "PORT": "", "OPTIONS": {}, "TIME_ZONE": None, "CONN_MAX_AGE": 0},
        **{"AUTOCOMMIT": True, "ATOMIC_REQUESTS": False, "CONN_HEALTH_CHECKS": False, "TEST": {}},
    }
    connection = _Offline(values, alias)
    # The client library would ask the server how to write a literal.
    connection.ops.compose_sql = _composed  # type: ignore[method-assign]
    return connection


def _composed(sql: str, params: Any) -> str:
    return str(sql) % tuple(f"'{one}'" for one in params or ())


def sql_of(migration: Migration, loader: MigrationLoader) -> list[str]:
    """Return the statements that a migration runs on PostgreSQL."""
    key = (migration.app_label, migration.name)
    state = loader.project_state(key, at_end=False)
    alias = "history" if migration.app_label == "history" else "default"
    editor = offline(alias).schema_editor(collect_sql=True, atomic=False)
    with editor:
        migration.apply(state, editor, collect_sql=True)
    lines = [line for line in editor.collected_sql if not line.startswith("--")]
    return [one.strip() for one in lines if one.strip()]


LOADER = MigrationLoader(None)
NEWER = sorted(
    key for key in LOADER.disk_migrations or () if key[0] in APPS and key not in RELEASED
)


@pytest.mark.parametrize("key", NEWER, ids="/".join)
def test_migration_holds_up_nobody(key: tuple[str, str]) -> None:
    """It adds, in a moment, and the release before goes on beside it."""
    assert LOADER.disk_migrations is not None
    assert problems(sql_of(LOADER.disk_migrations[key], LOADER)) == []


@pytest.mark.parametrize(
    "statement",
    [
        'CREATE INDEX "i" ON "history_tick" ("price");',
        'CREATE UNIQUE INDEX "i" ON "history_candle" ("start");',
        'ALTER TABLE "history_tick" ALTER COLUMN "seq" TYPE bigint USING "seq"::bigint;',
        'ALTER TABLE "history_tick" ALTER COLUMN "seq" SET NOT NULL;',
        'ALTER TABLE "history_tick" ADD CONSTRAINT "c" CHECK ("price" > 0);',
        'ALTER TABLE "history_candle" ADD CONSTRAINT "c" FOREIGN KEY ("a") REFERENCES "b" ("id");',
        'ALTER TABLE "history_candle" ADD CONSTRAINT "c" UNIQUE ("a");',
        'ALTER TABLE "history_tick" ADD COLUMN "at" timestamptz DEFAULT now() NOT NULL;',
        'ALTER TABLE "history_tick" ADD COLUMN "at" timestamptz DEFAULT CURRENT_TIMESTAMP;',
        'UPDATE "history_tick" SET "seq" = 0;',
        'ALTER TABLE "access_userclass" ADD COLUMN "n" integer NOT NULL;',
        'ALTER TABLE "access_userclass" DROP COLUMN "n" CASCADE;',
        'ALTER TABLE "access_userclass" RENAME COLUMN "n" TO "m";',
        'ALTER TABLE "access_userclass" RENAME TO "m";',
        'DROP TABLE "access_userclass" CASCADE;',
    ],
)
def test_what_would_hold_up_others_is_noticed(statement: str) -> None:
    """The cure is named, and so is lock_timeout."""
    (text,) = problems([statement])
    assert "lock_timeout" in text


@pytest.mark.parametrize(
    "statements",
    [
        ['ALTER TABLE "history_tick" ADD COLUMN "n" integer DEFAULT 0 NOT NULL;'],
        ['ALTER TABLE "history_tick" ADD COLUMN "n" integer NULL;'],
        ['CREATE INDEX CONCURRENTLY "i" ON "history_tick" ("price");'],
        ['ALTER TABLE "history_tick" ADD CONSTRAINT "c" CHECK ("n" > 0) NOT VALID;'],
        ['CREATE TABLE "history_new" ("id" bigint);', 'CREATE INDEX "i" ON "history_new" ("id");'],
        ['CREATE INDEX "i" ON "kite_kitesubscription" ("mode");'],
    ],
)
def test_what_takes_a_moment_passes(statements: list[str]) -> None:
    """Columns with a constant default, and tables of its own."""
    assert problems(statements) == []
