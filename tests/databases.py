"""The databases of the tests, put back to what migrations made of them after a test that commits.

Django empties the tables instead, rows of migrations included, and the next test finds none. Here
every test begins with the same rows, in whatever order tests run; a copy takes less than 1 ms.
"""

import fcntl
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from django.db import connections

from tests.programs import ROOT

# Which tables a file has: those of the default database, those of history, or both.
Kind = Literal["default", "history", "both"]
_FOLDER = ROOT / ".pytest_cache" / "migrated"
_KEPT = 3  # folders of other migrations, as of other branches


class MigratedDatabases:
    """Copies of the SQLite databases in memory, made when migrations have run."""

    def __init__(self) -> None:
        self._copies: dict[str, sqlite3.Connection] = {}  # name of a database -> its content
        databases: Sequence[Any] = connections.all()
        for database in databases:
            if database.vendor == "sqlite" and database.is_in_memory_db():
                database.ensure_connection()
                copy = sqlite3.connect(":memory:", check_same_thread=False)
                database.connection.backup(copy)
                self._copies[database.settings_dict["NAME"]] = copy

    def put_back_after(self, case: Any) -> None:
        """Undo what a TransactionTestCase has committed, in place of its `_fixture_teardown`."""
        for alias in case._databases_names(include_mirrors=False):
            database: Any = connections[alias]
            database.ensure_connection()
            self._copies[database.settings_dict["NAME"]].backup(database.connection)

    def close(self) -> None:
        for copy in self._copies.values():
            copy.close()


def copy_migrated(kind: Kind, path: Path) -> None:
    """Make an SQLite file with every migration, in a few milliseconds.

    All processes and runs of the tests copy one file for each kind, made by the first that needs it
    after a migration or a package has changed: running the migrations takes seconds.
    """
    folder = _FOLDER / _version()
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{kind}.sqlite3"
    with (folder / f"{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _forget_others(folder)
            _make(kind, made)
    shutil.copy(made, path)


def _make(kind: Kind, path: Path) -> None:
    half = path.with_suffix(f".{os.getpid()}")
    url, elsewhere = f"sqlite:///{half}", f"sqlite:///{half}.none"
    urls = {
        "default": {"DATABASE_URL": url, "HISTORY_DATABASE_URL": elsewhere},
        "history": {"DATABASE_URL": elsewhere, "HISTORY_DATABASE_URL": url},
        "both": {"DATABASE_URL": url, "HISTORY_DATABASE_URL": url},
    }
    database = "history" if kind == "history" else "default"
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0", "--database", database],
        cwd=ROOT,
        env={**os.environ, **urls[kind]},
        check=True,
    )
    half.rename(path)
    Path(f"{half}.none").unlink(missing_ok=True)


@cache
def _version() -> str:
    """Return another name whenever migrations, or packages that may have some, have changed."""
    found = hashlib.sha256((ROOT / "requirements.txt").read_bytes())
    for path in sorted(ROOT.glob("*/**/migrations/*.py")):
        if path.is_relative_to(ROOT / ".venv"):
            continue
        found.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return found.hexdigest()[:16]


def _forget_others(folder: Path) -> None:
    others = sorted(_FOLDER.iterdir(), key=lambda one: one.stat().st_mtime)
    for one in [other for other in others if other != folder][:-_KEPT]:
        shutil.rmtree(one, ignore_errors=True)
