"""A PostgreSQL server as a child process on a port of its own, with databases made on demand."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

import psycopg
from psycopg import sql

from tests.ports import free_port
from tests.waiting import wait_until

# PostgreSQL refuses to run as root.
USERS = ("postgres", "nobody")
OPTIONS = (
    *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
    *("-c", "shared_buffers=64MB", "-c", "max_connections=50"),
)


def find_program(name: str) -> Path | None:
    """Return where a program of PostgreSQL is installed; the newest where there are several."""
    paths = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=version_of)
    if paths:
        return paths[-1]
    found = shutil.which(name)
    return Path(found) if found else None


def version_of(path: Path) -> int:
    number = path.parent.parent.name
    return int(number) if number.isdigit() else 0


class PostgresServer:
    """A server that trusts whoever connects from this machine.

    Args:
        durable: whether a commit waits for the disk, as in production.
        options: more settings, such as "max_connections=30".
    """

    def __init__(self, *options: str, durable: bool = False) -> None:
        self.options = [part for option in options for part in ("-c", option)]
        self.durable = durable
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self.user = (
            next((name for name in USERS if has_user(name)), None) if os.getuid() == 0 else None
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.databases = 0

    def url(self, name: str) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/{name}"

    def __enter__(self) -> "PostgresServer":
        if self.user:
            shutil.chown(self.folder, self.user)
        data = self.folder / "data"
        options = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.run("initdb", "-D", str(data), *options)
        self.start()
        return self

    def start(self) -> None:
        """Start the server and wait until it answers."""
        program = find_program("postgres")
        data = self.folder / "data"
        options = [*OPTIONS, "-c", f"fsync={'on' if self.durable else 'off'}", *self.options]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(program), "-D", str(data), "-p", str(self.port), *options],
                stdout=log,
                stderr=log,
                user=self.user,
                cwd=self.folder,
            )
        wait_until(self.answers)

    def run(self, name: str, *arguments: str) -> None:
        program = find_program(name)
        subprocess.run(
            [str(program), *arguments], check=True, capture_output=True, user=self.user, cwd="/"
        )

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=1).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """End the server at once, as a crash would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(20)

    def create(self) -> str:
        """Return the name of a new database."""
        self.databases += 1
        name = f"database{self.databases}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return name

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def has_user(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
