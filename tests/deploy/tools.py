"""Programs of Debian's that check what is in `deploy/`."""

import os
import shutil
from typing import NoReturn

import pytest

_FOLDERS = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def needed_program(name: str, package: str) -> str:
    """Return the path of a program; skip the test without it, or fail it in CI."""
    path = shutil.which(name, path=_FOLDERS)
    if path is None:
        unavailable(f"{name} is not installed (Debian: apt install {package})")
    return path


def unavailable(reason: str) -> NoReturn:
    """Skip the test, or fail it in CI, where `.ci/run` installs what it needs."""
    if os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(reason)
    pytest.skip(reason)
