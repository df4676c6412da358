"""Workers: processes of the benchmark that take commands and answer, as lines of JSON on pipes.

A worker is `python -m MODULE` with its configuration as the first line it reads. It ends when its
input does, so that none outlives the benchmark.
"""

import json
import os
import select
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.processes import Child, Failed

Values = dict[str, Any]


class Worker(Child):
    """The benchmark's end of a worker."""

    def __init__(self, module: str, log: Path, config: Values) -> None:
        name = module.rpartition(".")[2]
        super().__init__(name, [sys.executable, "-m", module], log, pipes=True)
        self.rest = b""
        self.send(config)

    def send(self, command: Values) -> None:
        """Give the worker a command."""
        assert self.process.stdin
        try:
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.process.wait()
            self.check()

    def receive(self, timeout_s: float) -> Values:
        """Return the next answer; raise Failed when none comes in time or the worker failed."""
        assert self.process.stdout
        pipe = self.process.stdout.fileno()
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self.rest:
            ready, _, _ = select.select([pipe], [], [], max(0, deadline - time.monotonic()))
            data = os.read(pipe, 1 << 20) if ready else b""
            if not data:
                if ready:
                    self.process.wait()
                self.check()
                raise Failed(f"{self.name} did not answer within {timeout_s:.0f} s")
            self.rest += data
        line, _, self.rest = self.rest.partition(b"\n")
        answer: Values = json.loads(line)
        if "failed" in answer:
            raise Failed(f"{self.name}: {answer['failed']}")
        return answer

    def ask(self, command: Values, timeout_s: float = 30) -> Values:
        """Give the worker a command and return its answer."""
        self.send(command)
        return self.receive(timeout_s)


class Commands:
    """The worker's end: what the benchmark asks, on standard input."""

    def __init__(self) -> None:
        self.rest = b""

    def fileno(self) -> int:
        return sys.stdin.fileno()

    def read(self) -> list[Values]:
        """Return the commands that have come, waiting for the first byte of one.

        Raises:
            SystemExit: the benchmark is gone.
        """
        data = os.read(self.fileno(), 1 << 20)
        if not data:
            sys.exit()
        *lines, self.rest = (self.rest + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def first(self) -> Values:
        """Return the first command: the worker's configuration."""
        while True:
            commands = self.read()
            if commands:
                return commands[0]


def answer(**values: Any) -> None:
    """Answer the benchmark's command."""
    print(json.dumps(values), flush=True)
