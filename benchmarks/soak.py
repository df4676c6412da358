"""`python -m benchmarks.soak [--minutes 10] [--clients 500]`: does anything grow?

Runs the whole service with a simulated market, clients of every kind that come and go, and readers
of REST, and samples the memory, open files and threads of each process. Exits with 1 if one of them
grows. Linux only: the samples come from /proc.
"""

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django

from benchmarks.chaos.settings import set_own_environment
from benchmarks.contenders import MANAGE
from benchmarks.flatness import MIB, Samples
from benchmarks.processes import Failed, family, run_to_end

if TYPE_CHECKING:
    from benchmarks.chaos.deployment import Deployment

SAMPLES = 60  # in a run; those of ten minutes are 10 s apart
RATE = 200  # ticks per second
SYMBOLS = [
    *("RELIANCE", "TCS", "INFY", "HDFCBANK", "ICICIBANK", "SBIN", "ITC", "LT", "AXISBANK"),
    *("NIFTY 50", "NIFTY BANK"),
]
SYMBOLS_EACH = 5
STAY_S = (10.0, 60.0)  # how long a client is connected
READERS = 4
READ_PAUSE_S = 0.2
PATHS = (
    "/readyz",
    "/api/prices/?symbols=RELIANCE,TCS,INFY",
    "/api/prices/SBIN/",
    "/api/instruments/RELIANCE/candles/?interval=1m",
    "/api/instruments/TCS/ticks/?limit=100",
)
# Log and caches that are full within the warm-up; readers are not limited.
SETTINGS = {
    "QUOTES_LOG_MAX_TICKS": "5000",
    "QUOTES_RESUME_TICKS": "5000",
    "QUOTES_REST_PER_MINUTE": "1000000",
    "QUOTES_SEND_BUFFER_BYTES": "131072",
    "QUOTES_HIGH_WATER_BYTES": "65536",
}

# How clients subscribe: fields of subscribe, those of configure, and whether in MessagePack.
KINDS: tuple[tuple[dict[str, Any], dict[str, Any], bool], ...] = (
    ({}, {}, False),
    ({"seq": True, "conflate": False}, {}, False),
    ({}, {"interval_ms": 250, "batch": True}, False),
    ({"mode": "quote"}, {}, True),
    ({"candles": "1m"}, {}, False),
    ({"history": {"ticks": 50}}, {"batch": True}, False),
)


class Crowd:
    """Clients that come, stay a while, and go; and readers of REST.

    Attributes:
        counts: frames, connections, answers by their status.
    """

    def __init__(self, deployment: "Deployment", seed: int) -> None:
        self.deployment = deployment
        self.chance = random.Random(seed)
        self.counts: Counter[str] = Counter()

    async def visit(self, number: int) -> None:
        """Be one client, connection after connection."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        subscribe, configure, is_packed = KINDS[number % len(KINDS)]
        url = self.deployment.urls(number // len(KINDS), direct=True)[0]
        options: dict[str, Any] = {"subprotocols": ["live-price.msgpack"]} if is_packed else {}
        await asyncio.sleep(self.chance.uniform(0, 10))
        while True:
            symbols = self.chance.sample(SYMBOLS, SYMBOLS_EACH)
            try:
                async with (
                    connect(url, compression=None, max_size=None, **options) as connection,
                    asyncio.timeout(self.chance.uniform(*STAY_S)),
                ):
                    self.counts["connections"] += 1
                    if configure:
                        await connection.send(json.dumps({"action": "configure", **configure}))
                    message = {"action": "subscribe", "symbols": symbols, **subscribe}
                    await connection.send(json.dumps(message))
                    async for _ in connection:
                        self.counts["frames"] += 1
            except TimeoutError:
                continue
            except (OSError, WebSocketException) as error:
                self.counts[f"lost: {type(error).__name__}"] += 1
                await asyncio.sleep(1)

    async def read(self, number: int) -> None:
        """Request one path after the other."""
        ports = list(self.deployment.web_ports.values())
        for at in range(number, sys.maxsize):
            url = f"http://127.0.0.1:{ports[at % len(ports)]}{PATHS[at % len(PATHS)]}"
            self.counts[f"http {await asyncio.to_thread(status_of, url)}"] += 1
            await asyncio.sleep(READ_PAUSE_S)

    def failures(self) -> list[str]:
        """Return what failed more often than a busy machine explains: one time in a hundred."""
        requests = sum(count for name, count in self.counts.items() if name.startswith("http"))
        limits = {"lost": self.counts["connections"] / 100, "http 5": requests / 100, "http 0": 0}
        return [
            f"{name} {count}"
            for name, count in self.counts.items()
            for start, limit in limits.items()
            if name.startswith(start) and count > limit
        ]


def status_of(url: str) -> int:
    """Return the status of a GET; 0 if there is no answer."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


def usage_of(pid: int) -> dict[str, float]:
    """Return what a process and its descendants use: memory in bytes, files, threads."""
    found = {"memory": 0.0, "files": 0.0, "threads": 0.0}
    for each in family(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            status = Path(f"/proc/{each}/status").read_text()
            fields = dict(line.split(":", 1) for line in status.splitlines())
            found["memory"] += int(fields.get("VmRSS", "0").split()[0]) * 1024
            found["threads"] += int(fields["Threads"])
            found["files"] += len(list(Path(f"/proc/{each}/fd").iterdir()))
    return found


class Soak:
    """One run."""

    def __init__(self, deployment: "Deployment", minutes: float) -> None:
        self.deployment = deployment
        self.seconds = minutes * 60
        self.samples: dict[tuple[str, str], Samples] = {}

    def sample(self) -> None:
        for name, service in self.deployment.services.items():
            service.check()
            if service.child is not None:
                for quantity, value in usage_of(service.child.process.pid).items():
                    samples = self.samples.setdefault((name, quantity), Samples(name, quantity))
                    samples.values.append(value)

    async def run(self, crowd: Crowd, clients: int) -> None:
        tasks = [asyncio.create_task(crowd.visit(number)) for number in range(clients)]
        tasks += [asyncio.create_task(crowd.read(number)) for number in range(READERS)]
        try:
            began = time.monotonic()
            pause = self.seconds / SAMPLES
            for number in range(1, SAMPLES + 1):
                await asyncio.sleep(max(0.0, began + number * pause - time.monotonic()))
                self.sample()
                if number % (SAMPLES // 10) == 0:
                    print(f"{time.monotonic() - began:5.0f} s: {dict(crowd.counts)}", flush=True)
                for task in tasks:
                    if task.done():
                        task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def table(self) -> str:
        """Return a Markdown table of every process and quantity."""
        rows = [
            "| process | quantity | first half | second half | growth | flat |",
            "|---|---|---|---|---|---|",
        ]
        for samples in self.samples.values():
            unit = MIB if samples.quantity == "memory" else 1
            first, second = (value / unit for value in samples.halves())
            verdict = "yes" if samples.is_flat() else "NO"
            quantity = "memory, MiB" if unit == MIB else samples.quantity
            rows.append(
                f"| {samples.name} | {quantity} | {first:.1f} | {second:.1f} |"
                f" {samples.growth() / unit:+.1f} | {verdict} |"
            )
        return "\n".join(rows)

    def save(self, path: Path) -> None:
        """Write all samples as JSON."""
        path.write_text(json.dumps({" ".join(at): one.values for at, one in self.samples.items()}))

    def grown(self) -> list[str]:
        return [f"{one.name}: {one.quantity}" for one in self.samples.values() if not one.is_flat()]


@contextlib.asynccontextmanager
async def everything(folder: Path) -> "AsyncIterator[Deployment]":
    """Start the service and a simulated market."""
    from benchmarks.chaos.deployment import Deployment

    async with Deployment(folder, settings=SETTINGS, has_proxies=False) as deployment:
        command = [*MANAGE, "simulate_market", "--rate", str(RATE), "--seed", "1"]
        await deployment.add("market", command)
        yield deployment


async def run(minutes: float, clients: int, folder: Path, path: Path | None) -> int:
    async with everything(folder) as deployment:
        print(f"{clients} clients, {RATE} ticks/s, {minutes:g} minutes", flush=True)
        soak = Soak(deployment, minutes)
        crowd = Crowd(deployment, seed=1)
        await soak.run(crowd, clients)
    print(soak.table())
    if path:
        soak.save(path)
    if bad := crowd.failures():
        print(f"failures: {', '.join(bad)}")
    if grown := soak.grown():
        print(f"it grows: {', '.join(grown)}")
    return 1 if grown or bad else 0


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=10, help="default: 10")
    parser.add_argument("--clients", type=int, default=500, help="default: 500")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples here")
    chosen = parser.parse_args()
    set_own_environment()
    django.setup()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        try:
            sys.exit(run_to_end(run(chosen.minutes, chosen.clients, Path(folder), chosen.json)))
        except Failed as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
