"""Programs as child processes of a test: their lines, their end, and whether a process is gone."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.waiting import DEADLINE_S, wait_until

ROOT = Path(__file__).parent.parent


class Program:
    """A running program whose lines are collected as they come; killed when the test is over."""

    def __init__(
        self, command: Sequence[str], *, folder: Path | str = ROOT, **environment: str
    ) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=folder,
            env={**os.environ, **environment},
        )
        self.reader = threading.Thread(target=self.collect, daemon=True)
        self.reader.start()

    def collect(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, part: str, *, count: int = 1, timeout_s: float = DEADLINE_S) -> None:
        """Wait until so many lines have the part in them."""

        def seen() -> bool:
            return sum(part in line for line in self.lines) >= count

        try:
            wait_until(seen, timeout_s=timeout_s)
        except AssertionError:
            raise AssertionError(f"{part!r} is not in:\n{self.text}") from None

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, float]:
        """Send a signal; return the exit code and the seconds until the end."""
        begun = time.monotonic()
        self.process.send_signal(number)
        status = self.process.wait(20)
        took = time.monotonic() - begun
        self.reader.join(5)
        return status, took

    def __enter__(self) -> "Program":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        self.reader.join(5)
        assert self.process.stdout
        self.process.stdout.close()


@dataclass(frozen=True, slots=True)
class Process:
    """One row of the machine's table of processes."""

    parent: int
    ended: bool  # it has, but nobody has waited for it
    arguments: str


def processes() -> dict[int, Process]:
    """Return every process of the machine by its id."""
    # Not on every machine there is a `ps`, nor on every machine a /proc.
    return proc_table() if Path("/proc/self/stat").exists() else ps_table()


def proc_table() -> dict[int, Process]:
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # pid (name) state parent ...; a name may have brackets and spaces.
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            arguments = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it ended meanwhile
        found[int(folder.name)] = Process(int(parent), state in "ZX", arguments)
    return found


def ps_table() -> dict[int, Process]:
    command = ["ps", "-A", "-ww", "-o", "pid=,ppid=,stat=,args="]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 3) for line in listing.splitlines()]
    return {
        int(pid): Process(int(parent), state[0] == "Z", "".join(arguments))
        for pid, parent, state, *arguments in rows
    }


def descendants(pid: int) -> dict[int, Process]:
    """Return what the process started that lives, and what that started."""
    everything = processes()
    family = {pid}
    while more := {child for child, row in everything.items() if row.parent in family} - family:
        family |= more
    return {child: everything[child] for child in family - {pid} if not everything[child].ended}


def gone(pid: int) -> bool:
    """Return whether the process has ended."""
    row = processes().get(pid)
    return row is None or row.ended
