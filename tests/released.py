"""Release 0.1.0, taken out of this repository's history into a folder, with this interpreter."""

import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.programs import ROOT

# The commit of version 0.1.0.
COMMIT = "2082a54"
UVICORN_WS = "quotes.uvicorn_transport:PriceWebSocketProtocol"


def check_out(folder: Path) -> Path:
    """Return a folder with the files of the release; skip the test where git has none."""
    try:
        archive = subprocess.run(
            ["git", "archive", "--format=tar", COMMIT], cwd=ROOT, capture_output=True, check=True
        ).stdout
    except FileNotFoundError:
        pytest.skip("git is not installed (Debian: apt install git)")
    except subprocess.CalledProcessError:
        pytest.skip(
            f"this folder has no history with release 0.1.0 ({COMMIT}): clone the repository "
            "whole, without --depth"
        )
    target = folder / "release"
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        tar.extractall(target, filter="data")
    return target


def command(*arguments: str) -> list[str]:
    """Return what runs Python without the settings of this release, which the old one refuses."""
    newer = {"QUOTES_DRAIN_S", *(name for name in os.environ if name.startswith("QUOTES_"))}
    return ["/usr/bin/env", *(f"--unset={name}" for name in newer), sys.executable, *arguments]


def uvicorn_command(port: int) -> list[str]:
    """Return the release's start command of a web server."""
    return [
        *command("-m", "uvicorn", "config.asgi:application", "--port", str(port)),
        *("--lifespan", "off", "--log-level", "warning", "--ws", UVICORN_WS),
        *("--ws-per-message-deflate", "false", "--no-access-log"),
    ]
