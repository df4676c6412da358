"""The file that draws the dashboard's charts: Lightweight Charts, of TradingView, Apache-2.0.

It is no part of this repository. `manage.py get_charts` takes it from a Python package that holds
npm's file byte for byte, so that neither Node nor npm is needed; the SHA-256 of both was compared.
Without the file everything but the chart works.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSION = "5.2.1"
# `dist/lightweight-charts.standalone.production.js` of npm's lightweight-charts 5.2.1.
SHA256 = "e21cc5caa0226ef30bd8549c50b9ef926615f2a4ee6b4e486353477a55f598cf"
PACKAGE = "pylightcharts==0.1.6"
PLACE = Path(__file__).parent / "static" / "screens" / "vendor" / f"lightweight-charts-{VERSION}.js"

_IN_WHEEL = "pylightcharts/js/lightweight-charts.js"
_MAX_BYTES = 2_000_000
_TIMEOUT_S = 120


class ChartsError(Exception):
    """The file cannot be had; says why, and what to do."""


def is_complete(place: Path = PLACE) -> bool:
    """Return whether the file is in its place and is the one that is meant."""
    try:
        return _digest(place.read_bytes()) == SHA256
    except OSError:
        return False


def get_charts(*, source: Path | None = None, place: Path = PLACE) -> None:
    """Put the file in its place.

    Args:
        source: the wheel, npm's archive unpacked or the file itself, already on this machine; None:
            download the wheel with pip, whose mirror and proxy settings apply.

    Raises:
        ChartsError: the source or the place cannot be reached, or the file is another one.
    """
    if source is not None:
        content = _read(source)
    else:
        with tempfile.TemporaryDirectory(prefix="charts-") as folder:
            content = _read(_download(Path(folder)))
    if (digest := _digest(content)) != SHA256:
        raise ChartsError(
            f"not lightweight-charts {VERSION}: the SHA-256 must be {SHA256}, got {digest}"
        )
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        # Never half a file in its place, and readable for the server's account under any umask.
        part = place.with_name(f".{place.name}.{os.getpid()}")
        part.write_bytes(content)
        part.chmod(0o644)
        part.replace(place)
    except OSError as error:
        raise ChartsError(f"cannot write {place}: {error.strerror}") from error


def _download(folder: Path) -> Path:
    """Return the wheel, downloaded into a folder; nothing is installed."""
    command = [
        *(sys.executable, "-m", "pip", "download", PACKAGE, "--no-deps", "--only-binary=:all:"),
        *("--dest", str(folder), "--quiet", "--no-input", "--disable-pip-version-check"),
        *("--retries", "1", "--timeout", "15"),
    ]
    try:
        done = subprocess.run(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ChartsError(f"cannot download {PACKAGE}: {error}") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        lines = done.stdout.strip().splitlines() or ["pip said nothing"]
        raise ChartsError(f"cannot download {PACKAGE}: {lines[-1]}")
    return wheels[0]


def _read(source: Path) -> bytes:
    """Return the file, out of a wheel if the source is one."""
    try:
        if not zipfile.is_zipfile(source):
            with source.open("rb") as file:
                return file.read(_MAX_BYTES)
        with zipfile.ZipFile(source) as wheel, wheel.open(_IN_WHEEL) as member:
            return member.read(_MAX_BYTES)
    except KeyError as error:
        raise ChartsError(f"{source} has no {_IN_WHEEL}") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise ChartsError(f"cannot read {source}: {error}") from error


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
