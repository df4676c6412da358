"""The Makefile on machines without a suitable Python, and the .env that it writes."""

import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import ROOT


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with only the files that `make setup` reads."""
    for path in (ROOT / "Makefile", ROOT / ".env.example", *ROOT.glob("requirements*.txt")):
        shutil.copy(path, tmp_path)
    return tmp_path


def make(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin"},
    )


def fake_python(folder: Path, script: str) -> str:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("exit 1", "Install Python 3.11 or newer, or pass its path: make PYTHON="),
        ('case "$2" in *venv*) exit 1;; esac', "(Debian, Ubuntu: apt install python3-venv)"),
    ],
)
def test_an_unsuitable_python_is_named(clone: Path, script: str, text: str) -> None:
    """Too old, or without venv: one sentence says what to install, and nothing is left behind."""
    result = make(clone, "setup", f"PYTHON={fake_python(clone, script)}")
    assert result.returncode == 2
    assert text in result.stderr
    assert not (clone / ".venv").exists()
    assert not (clone / ".env").exists()


def test_the_first_run_writes_a_secret_of_its_own(clone: Path) -> None:
    """.env gets a fresh key, is for this user only, and is never written again."""
    (clone / ".venv" / "bin").mkdir(parents=True)
    (clone / ".venv" / "bin" / "python").symlink_to(sys.executable)
    keys = set()
    for _ in range(2):
        assert make(clone, ".env").returncode == 0
        text = (clone / ".env").read_text()
        lines = dict(line.split("=", 1) for line in text.splitlines() if line[:1] not in ("#", ""))
        assert len(lines["SECRET_KEY"]) >= 50
        assert lines["PORT"] == "5000"
        assert stat.S_IMODE((clone / ".env").stat().st_mode) == 0o600
        keys.add(lines["SECRET_KEY"])
        assert make(clone, ".env").stdout.strip().endswith("is up to date.")
        assert (clone / ".env").read_text() == text
        (clone / ".env").unlink()
    assert len(keys) == 2
