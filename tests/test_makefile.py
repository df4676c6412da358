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
    folder = tmp_path / "live prices"
    (folder / "config").mkdir(parents=True)
    for path in (ROOT / "Makefile", ROOT / ".env.example", *ROOT.glob("requirements*.txt")):
        shutil.copy(path, folder)
    shutil.copy(ROOT / "config" / "env_file.py", folder / "config")
    return folder


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


@pytest.fixture
def installed(clone: Path) -> Path:
    """A clone whose .venv is there."""
    (clone / ".venv" / "bin").mkdir(parents=True)
    (clone / ".venv" / "bin" / "python").symlink_to(sys.executable)
    return clone


def values(text: str) -> dict[str, str]:
    """Return what a .env sets."""
    lines = [line for line in text.splitlines() if line[:1] not in ("#", "")]
    return dict(line.split("=", 1) for line in lines)


def test_the_first_run_writes_a_secret_of_its_own(installed: Path) -> None:
    """.env gets a fresh key, is for this user only, and is never written again."""
    path, keys = installed / ".env", set()
    for _ in range(2):
        assert make(installed, "env").stdout == "wrote .env with a new secret key\n"
        text = path.read_text()
        assert len(values(text)["SECRET_KEY"]) >= 50
        assert values(text)["PORT"] == "5000"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        keys.add(values(text)["SECRET_KEY"])
        assert make(installed, "env").stdout == ""
        assert path.read_text() == text
        path.unlink()
    assert len(keys) == 2


@pytest.mark.parametrize(
    "text",
    [
        (ROOT / ".env.example").read_text(),
        "",
        "PORT=5001",
        "PORT=5001\nSECRET_KEY=\nDEBUG=true\n",
        "SECRET_KEY=''\n",
        'export SECRET_KEY=""\nPORT=5001\n',
        "SECRET_KEY=one\nSECRET_KEY= \nPORT=5001\n",
        "#SECRET_KEY=no\nPORT=5001\n",
        "PORT=5001\r\nSECRET_KEY=\r\nDEBUG=true\r\n",
        "PORT=5001\r\nDEBUG=true\r\n",
        "\ufeffSECRET_KEY=\r\nPORT=5001\r\n",
    ],
)
def test_a_missing_secret_is_filled_in(installed: Path, text: str) -> None:
    """As in a plain copy of .env.example; other lines stay, and line ends too."""
    path = installed / ".env"
    path.write_text(text, newline="")
    assert make(installed, "env").stdout == "put a new secret key into .env\n"
    found = path.read_bytes().decode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = [line for line in found.splitlines() if "SECRET_KEY=" in line and line[0] != "#"][-1]
    assert len(key.partition("=")[2]) >= 50
    others = [line for line in text.lstrip("\ufeff").splitlines() if "SECRET_KEY=" not in line]
    assert [line for line in found.splitlines() if "SECRET_KEY=" not in line] == others
    assert ("\r\n" in found) == ("\r\n" in text)
    assert make(installed, "env").stdout == ""


@pytest.mark.parametrize(
    "text", ["SECRET_KEY=mine\n", "SECRET_KEY=\nSECRET_KEY='mine'\r\n", "export SECRET_KEY=mine"]
)
def test_an_env_file_with_a_secret_is_not_touched(installed: Path, text: str) -> None:
    """Neither its text nor its mode."""
    path = installed / ".env"
    path.write_text(text, newline="")
    path.chmod(0o640)
    before = path.stat()
    assert make(installed, "env").stdout == ""
    assert path.read_bytes().decode() == text
    after = path.stat()
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)


def test_an_env_file_that_is_no_text_is_named(installed: Path) -> None:
    (installed / ".env").write_bytes(b"SECRET_KEY=\xff\xfe\n")
    assert "cannot read .env: save it as UTF-8" in make(installed, "env").stderr
