"""Programs as child processes of a test: their lines, their end, and whether a process is gone."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent


class Program:
    """A running program whose lines are collected as they come; killed when the test is over."""

    def __init__(self, command: Sequence[str], **environment: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
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

    def wait_for(self, part: str, *, count: int = 1) -> None:
        """Wait until so many lines have the part in them."""

        try:
            wait_until(lambda: sum(part in line for line in self.lines) >= count)
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


def gone(pid: int) -> bool:
    """Return whether the process has ended; one that nobody has waited for has ended too."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return state.stdout.strip().startswith("Z") or not state.stdout.strip()
