"""`python -m benchmarks.rest_fuzzing`: thousands of generated requests to a server of its own.

It starts the whole service with a simulated market, sends requests as a publisher with an API key
and as a caller without credentials, and ends with 1 if an answer is not as documented.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from benchmarks.processes import REPOSITORY, Child, Failed, accepts, free_ports
from benchmarks.rest_fuzzing.command import fuzzing_command

_START_S = 60.0
_PAUSE_S = 0.2
_MANAGE = (sys.executable, "manage.py")
# What the key is for: everything that REST does.
_KEY_SCRIPT = """
from django.contrib.auth.models import User
from quotes.access.credentials.api_keys import api_key_create
from quotes.access.models import ApiKey
user = User.objects.create_superuser("fuzzing")
print(api_key_create(row=ApiKey(name="fuzzing", user=user, scope=ApiKey.Scope.BOTH)))
"""
_UNLIMITED = "1000000000"


def settings_of(folder: Path, port: int, redis_port: int) -> dict[str, str]:
    """Return the environment of the service: its own files, and limits that nothing reaches."""
    return {
        "SECRET_KEY": "only for this run, and long enough for any signature",
        "PORT": str(port),
        "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
        "DATABASE_URL": f"sqlite:///{folder}/default.sqlite3",
        "HISTORY_DATABASE_URL": f"sqlite:///{folder}/history.sqlite3",
        "ALLOWED_HOSTS": "127.0.0.1",
        "HTTPS": "false",
        "QUOTES_AUTH": "required",
        "QUOTES_REST_PER_MINUTE": _UNLIMITED,
        "QUOTES_LOGIN_PER_MINUTE": _UNLIMITED,
        "QUOTES_URL_KEY_PER_MINUTE": _UNLIMITED,
    }


def prepare(environment: Mapping[str, str]) -> str:
    """Create the databases; return an API key."""
    for database in ("default", "history"):
        _run([*_MANAGE, "migrate", "--verbosity", "0", "--database", database], environment)
    return _run([*_MANAGE, "shell", "--verbosity", "0", "--command", _KEY_SCRIPT], environment)


def _run(command: list[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Failed(f"{' '.join(command[:4])} failed: {done.stderr.strip()[-600:]}")
    return done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rest_fuzzing", description=__doc__)
    parser.add_argument("--examples", type=int, default=300, help="requests for each operation")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: the time")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rest-fuzzing-")))
        port, redis_port = free_ports(2)
        outside = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment = outside | settings_of(folder, port, redis_port)
        key = prepare(environment)
        server = Child("serve", [*_MANAGE, "serve", "--demo"], folder / "log", environment)
        stack.callback(server.stop)
        deadline = time.monotonic() + _START_S
        while not accepts(port):
            server.check()
            if time.monotonic() > deadline:
                raise Failed(f"the server did not start within {_START_S:g} s")
            time.sleep(_PAUSE_S)
        codes = []
        for caller, used in (("with an API key", key), ("without credentials", "")):
            print(f"\n{caller}, seed {options.seed}", flush=True)
            command = fuzzing_command(
                f"http://127.0.0.1:{port}", key=used, examples=options.examples, seed=options.seed
            )
            codes.append(subprocess.run(command, check=False, cwd=folder).returncode)
        server.check()
    sys.exit(int(any(codes)))


if __name__ == "__main__":
    main()
