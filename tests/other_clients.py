"""The clients of other projects, unmodified from their registries, each in a folder of its own.

A folder is made once for each set of versions, in LIVE_PRICE_CLIENTS or the user's cache, and is
shared by all tests and clones. Where a registry cannot be reached the tests that need it skip, and
say why; in CI they fail.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

PYTHON_BACKTRADER = "backtrader==1.9.78.123"
# It pins an autobahn that Daphne does not work with, so it cannot share our environment.
PYTHON_KITE = "kiteconnect==5.2.2"
PYTHON_OPENALGO = "openalgo==1.0.47"
PYTHON_SOCKETIO = "python-socketio[asyncio-client]==5.18.1"
# The schema of AsyncAPI, which is no client: what a document of it is checked by.
NODE_ASYNCAPI = "@asyncapi/specs@6.11.1"
NODE_KITE = "kiteconnect@5.3.0"
NODE_SOCKETIO = "socket.io-client@4.8.4"
# No client either: reads compose files, and refuses what their specification does not know.
GO_COMPOSE = "github.com/compose-spec/compose-go/v2/cmd@v2.16.2"
# For our own client in clients/js: a WebSocket for Node before 22, and what checks its types.
NODE_WS = "ws@8.23.0"
NODE_TYPES = ("typescript@5.9.3", "@types/node@22.20.5", "@types/ws@8.18.2", NODE_WS)

_INSTALL_TIMEOUT_S = 240


def python_client(*requirements: str) -> Path:
    """Return the Python interpreter of an environment with these packages from PyPI."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"

    def install(folder: Path) -> None:
        venv.create(folder, with_pip=True)
        options = ["--quiet", "--no-input", "--disable-pip-version-check"]
        _run([folder / "bin" / "python", "-m", "pip", "install", *options, *requirements], folder)

    return _made(f"python{version}", requirements, install) / "bin" / "python"


def node_client(*packages: str) -> Path:
    """Return a folder whose `node_modules` has these packages from npm; run `node` there."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            missing(f"no {program}: install Debian's packages nodejs and npm")

    def install(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "package.json").write_text('{"private": true, "type": "module"}\n')
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
        _run(["npm", "install", *options, *packages], folder)

    return _made("node", packages, install)


def go_program(package: str) -> Path:
    """Return the path of a program of the Go module proxy, as `module/path@version`."""
    go = shutil.which("go", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/go/bin"]))
    if go is None:
        missing("no go: install Debian's package golang")

    def install(folder: Path) -> None:
        folder.mkdir(parents=True)
        _run([go, "install", package], folder, GOBIN=str(folder))

    return next(_made("go", (package,), install).iterdir())


def cache_folder() -> Path:
    """Return the folder of what tests download, for all tests and clones."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = Path(os.environ.get("LIVE_PRICE_CLIENTS") or Path(cache) / "live-price-clients")
    root.mkdir(parents=True, exist_ok=True)
    return root


def _made(kind: str, packages: tuple[str, ...], install: Callable[[Path], None]) -> Path:
    """Return the folder of these packages; make it if no process has made it before."""
    digest = hashlib.sha256("\n".join(sorted(packages)).encode()).hexdigest()[:12]
    root = cache_folder()
    folder = root / f"{kind}-{digest}"
    is_complete = root / f"{kind}-{digest}.complete"
    with open(root / f"{kind}-{digest}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            try:
                install(folder)
            except (OSError, subprocess.SubprocessError) as error:
                shutil.rmtree(folder, ignore_errors=True)
                missing(f"cannot install {', '.join(packages)}: {error}")
            is_complete.touch()
    return folder


def _run(command: Sequence[str | Path], folder: Path, **environment: str) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_INSTALL_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise OSError(done.stdout.strip()[-600:])


def missing(reason: str) -> NoReturn:
    """Skip the test that needs what is missing; fail it in CI."""
    if os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(reason)
    pytest.skip(reason)


if __name__ == "__main__":  # before the tests, which have less time
    for packages in (PYTHON_KITE, PYTHON_OPENALGO, PYTHON_SOCKETIO, PYTHON_BACKTRADER):
        python_client(packages)
    for names in ((NODE_KITE,), (NODE_SOCKETIO,), (NODE_WS,), NODE_TYPES, (NODE_ASYNCAPI,)):
        node_client(*names)
    go_program(GO_COMPOSE)
