"""An official ticker client in a process of its own, told what to do and watched."""

import json
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.waiting import wait_until

Tick = dict[str, Any]


class TickerClient:
    """A running program of `ticker_program.py` or `ticker_program.mjs`.

    Args:
        folder: in which it runs.
        log: gets what it writes to its standard error.

    Attributes:
        newest: token -> the last tick of it.
    """

    def __init__(
        self, name: str, command: Sequence[str | Path], *, folder: Path, log: Path
    ) -> None:
        self.name = name
        self.newest: dict[int, Tick] = {}
        self._events: list[dict[str, Any]] = []
        self._log = log.open("w")
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=folder,
        )
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()

    def _collect(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            event = json.loads(line)
            if event["event"] == "ticks":
                self.newest.update({one["instrument_token"]: one for one in event["ticks"]})
            else:
                self._events.append(event)

    def send(self, command: str, *arguments: Any) -> None:
        """Have the program call a method of the client."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps([command, *arguments]) + "\n")
        self._process.stdin.flush()

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """Return what happened, ticks apart."""
        return [one for one in self._events if not kind or one["event"] == kind]

    def wait_for(self, kind: str, *, count: int = 1) -> dict[str, Any]:
        """Wait until something has happened so many times; return the last of them."""
        try:
            wait_until(lambda: len(self.events(kind)) >= count, timeout_s=30)
        except AssertionError:
            raise AssertionError(f"{self.name}: no {count} of {kind} in {self.events()}") from None
        return self.events(kind)[-1]

    def wait_for_ticks(self, expected: dict[int, Tick]) -> None:
        """Wait until the newest tick of each of these tokens is the expected one, exactly."""

        def differing() -> dict[int, Tick]:
            return {token: one for token, one in expected.items() if self.newest.get(token) != one}

        try:
            wait_until(lambda: not differing(), timeout_s=30)
        except AssertionError:
            token, one = next(iter(differing().items()))
            raise AssertionError(
                f"{self.name}: {len(differing())} differ, such as {self.newest.get(token)}, "
                f"which should be {one}; {self.events()}"
            ) from None

    def __enter__(self) -> "TickerClient":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(5)
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._log.close()
