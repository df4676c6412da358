"""Files of the server are for its user alone."""

import os
import subprocess
import sys
from pathlib import Path

from tests.programs import ROOT


def test_databases_are_private(tmp_path: Path) -> None:
    """Those that a migration creates, whatever the umask of the operator is."""
    path = tmp_path / "history.sqlite3"
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--database", "history", "--verbosity", "0"],
        cwd=ROOT,
        env={**os.environ, "HISTORY_DATABASE_URL": f"sqlite:///{path}"},
        umask=0o022,
        check=True,
    )
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}


def test_make_run_creates_private_files() -> None:
    """Each step of it that runs the project's code."""
    recipe = (ROOT / "Makefile").read_text().split("\nrun: ")[1].split("\n\n")[0]
    steps = [line for line in recipe.splitlines() if "manage.py" in line]
    assert len(steps) == 3
    assert all(line.startswith("\t@umask 077 && ") for line in steps)
