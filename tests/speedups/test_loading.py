"""When the package quotes-speedups is used, and what happens when it cannot be."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from quotes.conf import conf
from quotes.runtime.speedups import API_VERSION
from tests.programs import ROOT
from tests.speedups.built import needs_package, package

ASK = """
import django; django.setup()
from quotes.runtime import speedups
from quotes import ticks
print(speedups.package is not None, type(ticks.usual_frame).__name__)
"""


def load(folder: Path | None = None, **variables: str) -> tuple[str, str]:
    """Return whether a new process uses a package in `folder`, and what it logs."""
    path = os.pathsep.join([str(ROOT), *([str(folder)] if folder else []), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, **variables}
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


def fake(folder: Path, text: str) -> Path:
    (folder / "quotes_speedups.py").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (f"API_VERSION = {API_VERSION + 1}", f"version {API_VERSION + 1}, this server needs"),
        (f"API_VERSION = {API_VERSION - 1}", f"version {API_VERSION - 1}, this server needs"),
        ("", "version None, this server needs"),
        ("raise ImportError('undefined symbol')", "cannot load quotes-speedups (undefined symbol)"),
    ],
    ids=["newer", "older", "no version", "broken"],
)
def test_a_package_that_does_not_fit_is_not_used(tmp_path: Path, text: str, warning: str) -> None:
    """One warning names the cure, and the server works without it."""
    used, log = load(fake(tmp_path, text))
    assert used == "False function"
    assert log.count("quotes-speedups") == 1 and warning in log and "make speedups" in log


def test_the_switch_is_heeded(tmp_path: Path) -> None:
    """With QUOTES_SPEEDUPS=0 the package is not even imported."""
    folder = fake(tmp_path, "raise SystemExit(1)")
    assert load(folder, QUOTES_SPEEDUPS="0") == ("False function", "")


def test_server_and_source_have_the_same_version() -> None:
    """API_VERSION is the same in Python and in C."""
    text = (ROOT / "speedups" / "src" / "module.c").read_text()
    assert f"#define API_VERSION {API_VERSION}\n" in text


@pytest.mark.skipif(
    find_spec("quotes_speedups") is None or not conf.speedups,
    reason="quotes-speedups is not installed, or switched off",
)
def test_an_installed_package_fits() -> None:
    """After an update it has to be built again; no test is passed over since it was not."""
    assert package is not None, "run `make speedups`"


@needs_package
def test_a_package_that_fits_is_used() -> None:
    """Its functions stand where the definitions in Python would."""
    assert load() == ("True builtin_function_or_method", "")
