"""Fixtures of history: its database, on SQLite and on PostgreSQL, empty for each test."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections
from django.db.utils import load_backend
from psycopg import sql
from pytest_django import DjangoDbBlocker

from config.settings import SQLITE_OPTIONS, env
from quotes.history.router import ALIAS
from quotes.history.tables.partitions import EXISTING
from tests.databases import copy_migrated
from tests.postgres import PostgresServer

TABLES = [f"history_{name}" for name in ("candle", "gap", "logposition", "series", "tick")]


@dataclass
class HistoryDatabase:
    """The database that the alias `history` means in this test.

    Attributes:
        url: for processes of their own, as HISTORY_DATABASE_URL.
    """

    vendor: str
    url: str


def use(url: str) -> None:
    """Let the alias mean another database."""
    connections[ALIAS].close()
    # What Django adds to settings, without that of another engine.
    kept = {key: connections[ALIAS].settings_dict[key] for key in ("CONN_HEALTH_CHECKS", "TEST")}
    values = {
        **{"ATOMIC_REQUESTS": False, "AUTOCOMMIT": True, "CONN_MAX_AGE": 0, "TIME_ZONE": None},
        **{"OPTIONS": SQLITE_OPTIONS if url.startswith("sqlite") else {}, "HOST": "", "PORT": ""},
        **{"USER": "", "PASSWORD": ""},
        **kept,
        **env.db_url_config(url),
    }
    connections[ALIAS] = load_backend(values["ENGINE"]).DatabaseWrapper(values, ALIAS)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with every migration of history."""
    path = tmp_path_factory.mktemp("history") / "template.sqlite3"
    copy_migrated("history", path)
    return path


@pytest.fixture(scope="session")
def postgres_database(postgres: PostgresServer, django_db_blocker: DjangoDbBlocker) -> str:
    """The name of a database with every migration."""
    name = postgres.create()
    migrate(postgres.url(name), django_db_blocker)
    return name


def migrate(url: str, blocker: DjangoDbBlocker) -> None:
    with blocker.unblock():
        before = connections[ALIAS]
        use(url)
        call_command("migrate", "history", database=ALIAS, verbosity=0)
        connections[ALIAS].close()
        connections[ALIAS] = before


@pytest.fixture(params=["sqlite", "postgresql"])
def history(
    request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> Iterator[HistoryDatabase]:
    """An empty database of history, committed to and seen by other processes."""
    make: dict[str, Callable[[], str]] = {
        "sqlite": lambda: copy_file(request, tmp_path),
        "postgresql": lambda: clean_database(request),
    }
    url = make[request.param]()
    with django_db_blocker.unblock():
        before = connections[ALIAS]
        use(url)
        yield HistoryDatabase(request.param, url)
        connections[ALIAS].close()
        connections[ALIAS] = before


def copy_file(request: pytest.FixtureRequest, folder: Path) -> str:
    template = request.getfixturevalue("sqlite_template")
    shutil.copy(template, folder / "history.sqlite3")
    return f"sqlite:///{folder / 'history.sqlite3'}"


def clean_database(request: pytest.FixtureRequest) -> str:
    """Return the one database with nothing in it: to make one takes longer than to clean it."""
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.url(request.getfixturevalue("postgres_database"))
    with psycopg.connect(url) as connection:
        partitions = connection.execute(EXISTING).fetchall()
        for name, _ in partitions:
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
        connection.execute(f"TRUNCATE {', '.join(TABLES)} RESTART IDENTITY")
    return url
