"""One terminal for several processes: their output cut into lines, each under its process's name.

`processes.py` lists the processes.
"""

import contextlib
import os
import queue
import threading
import time
from collections.abc import Iterable
from typing import TextIO

from quotes.runtime import log_lines
from quotes.runtime.redaction import scrub

MAX_LINE_BYTES = 8192
MAX_WAITING_LINES = 2000
CLOSE_TIMEOUT_S = 0.5

COLORS = (36, 33, 32, 35, 34, 31)  # cyan, yellow, green, magenta, blue, red
# A child may print text from outside, which must not control the terminal.
CONTROLS = dict.fromkeys([*range(9), *range(10, 32), *range(127, 160)], "?")


# How a line of `JsonFormatter` begins.
_JSON = '{"time": "'


def _wrapped(name: str, text: str) -> str:
    """Return a line that a process has printed as a line of JSON."""
    process = name.partition(".")[0]
    message = scrub(text.strip())
    return log_lines.json_line(time.time(), "INFO", "serve", process=process, message=message)


class LineSplitter:
    """Cuts a stream of bytes into lines; keeps only the beginning of a long line."""

    def __init__(self, max_bytes: int = MAX_LINE_BYTES) -> None:
        self.max_bytes = max_bytes
        self.held = b""
        self.cut_bytes = 0

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that the data completes, without their ends."""
        *complete, rest = data.split(b"\n")
        lines = []
        for part in complete:
            self.hold(part)
            lines.append(self.take())
        self.hold(rest)
        return lines

    def finish(self) -> list[str]:
        """Return the last line when it has no end, else nothing."""
        return [self.take()] if self.held else []

    def hold(self, part: bytes) -> None:
        fits = part[: self.max_bytes - len(self.held)]
        self.cut_bytes += len(part) - len(fits)
        self.held += fits

    def take(self) -> str:
        text = self.held.rstrip(b"\r").decode(errors="replace").translate(CONTROLS)
        if self.cut_bytes:
            text += f"... {self.cut_bytes} bytes cut"
        self.held, self.cut_bytes = b"", 0
        return text


class Console:
    """Writes lines as `name | text`, aligned, in a colour per name when the stream is a terminal.

    A thread of its own writes, so that a terminal that accepts nothing (Ctrl-S, a full pipe) blocks
    nobody: up to 2,000 lines wait for it; further lines are counted and dropped.
    """

    def __init__(
        self, stream: TextIO, names: Iterable[str], *, max_waiting: int = MAX_WAITING_LINES
    ) -> None:
        stream.flush()
        self._is_json = log_lines.is_json()
        self.stream = stream
        self.names = list(names)
        self.width = max(map(len, self.names), default=0)
        plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
        self.colored = stream.isatty() and not plain
        self.waiting: queue.Queue[str | None] = queue.Queue(max_waiting)
        self.left_out = 0
        self.writer = threading.Thread(target=self.write_lines, name="console", daemon=True)
        self.writer.start()

    def line(self, name: str, text: str) -> None:
        """Write one line under the name; never waits.

        In a log for machines, a line that is no JSON yet becomes the message of one.
        """
        if self._is_json:
            whole = text.startswith(_JSON) and text.endswith("}")
            self._put(text if whole else _wrapped(name, text))
            return
        label = f"{name:<{self.width}} |"
        if self.colored:
            color = COLORS[self.names.index(name) % len(COLORS)] if name in self.names else 0
            label = f"\x1b[{color}m{label}\x1b[0m"
        self._put(f"{label} {text}".rstrip())

    def _put(self, line: str) -> None:
        try:
            self.waiting.put_nowait(line)
        except queue.Full:
            self.left_out += 1

    def write_lines(self) -> None:
        # Past the stream's own buffer: its lock, held by a write that never ends, would stop the
        # interpreter's exit.
        descriptor, encoding = self.stream.fileno(), self.stream.encoding or "utf-8"
        while (text := self.waiting.get()) is not None:
            if self.left_out:
                left_out, self.left_out = self.left_out, 0
                dropped = f"... {left_out} lines dropped: the terminal accepted none"
                text += "\n" + (_wrapped("serve", dropped) if self._is_json else dropped)
            data = (text + "\n").encode(encoding, "replace")
            # The reader has gone (`| head`, a closed terminal); the processes go on.
            with contextlib.suppress(OSError):
                while data:
                    data = data[os.write(descriptor, data) :]

    def close(self) -> None:
        """Write the waiting lines, within half a second."""
        with contextlib.suppress(queue.Full):
            self.waiting.put_nowait(None)
        self.writer.join(CLOSE_TIMEOUT_S)
