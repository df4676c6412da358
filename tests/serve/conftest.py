"""Fixtures of the tests of `serve`: the command, and a database that it accepts."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.databases import copy_migrated
from tests.ports import free_port
from tests.programs import Program

# A start loads Django three times over; a busy machine takes its time for that.
START_S = 40


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with every migration, of history too."""
    path = tmp_path_factory.mktemp("serve") / "db.sqlite3"
    copy_migrated("both", path)
    return f"sqlite:///{path}"


@pytest.fixture
def serve(database_url: str, tmp_path: Path) -> Callable[..., Program]:
    """Start manage.py serve without bridge and recorder, with a Redis port that is free.

    With `whole=True` it has both.
    """

    def start(*options: str, whole: bool = False, **environment: str) -> Program:
        environment = {
            "DATABASE_URL": database_url,
            "HISTORY_DATABASE_URL": database_url,
            "REDIS_URL": f"redis://localhost:{free_port()}/0",
            "QUOTES_EMBEDDED_FOLDER": str(tmp_path / "valkey"),
            "PORT": str(free_port()),
            **environment,
        }
        apart = () if whole else ("--no-bridge", "--no-recorder")
        command = [sys.executable, "manage.py", "serve", *apart, *options]
        return Program(command, **environment)

    return start
