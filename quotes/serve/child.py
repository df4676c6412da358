"""One child process of the supervisor: how it starts, what it prints, how it ends.

Restarting it, and ending all children, is in `supervisor.py`.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quotes.serve.console import Console, LineSplitter

# The shell waits for a line before it becomes the child. The line comes once the orphan guard
# watches the child; if the supervisor dies before that, the pipe ends and so does the shell.
WAIT_FOR_START = 'read go && exec "$@" </dev/null'
NOT_FOUND = 127
OUTPUT_TIMEOUT_S = 0.5


@dataclass(frozen=True, slots=True)
class Child:
    """One process to keep running.

    Attributes:
        command: the program and its arguments; no secret, since anyone on the machine can read it.
        stage: a child starts after those of lower stages, and ends before them.
        ready: returns whether the child works yet, called in a thread; later stages wait for it.
        pass_fds: descriptors that it inherits.
        muted: lines that contain one of these are not shown.
    """

    name: str
    command: Sequence[str]
    stage: int = 0
    ready: Callable[[], bool] | None = None
    pass_fds: Sequence[int] = ()
    folder: Path | None = None
    environment: Mapping[str, str] | None = None
    muted: Sequence[str] = ()


class ChildOutput(asyncio.Protocol):
    """Passes what a child prints to the console, line by line."""

    def __init__(self, child: Child, console: Console) -> None:
        self.child = child
        self.console = console
        self.splitter = LineSplitter()
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.show(self.splitter.feed(data))

    def connection_lost(self, error: Exception | None) -> None:
        self.show(self.splitter.finish())
        self.ended.set()

    def show(self, lines: Iterable[str]) -> None:
        for text in lines:
            if not any(muted in text for muted in self.child.muted):
                self.console.line(self.child.name, text)


class ChildRun:
    """One run of a child, in a session and process group of its own."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        start_pipe: int,
        output: ChildOutput,
        transport: asyncio.ReadTransport,
    ) -> None:
        self.group = process.pid
        self.process = process
        self.start_pipe = start_pipe
        self.output = output
        self.transport = transport

    @classmethod
    async def begin(cls, child: Child, console: Console) -> "ChildRun":
        """Start the shell that becomes the child on `release`; raise OSError."""
        start_read, start_write = os.pipe()
        output_read, output_write = os.pipe()
        # Process.wait() waits for the end of asyncio's own pipes too, which a child's child can
        # hold open: so the output is read apart from it.
        transport, output = await asyncio.get_running_loop().connect_read_pipe(
            lambda: ChildOutput(child, console), os.fdopen(output_read, "rb", 0)
        )
        try:
            process = await asyncio.create_subprocess_exec(
                "/bin/sh",
                "-c",
                WAIT_FOR_START,
                child.name,
                *child.command,
                stdin=start_read,
                stdout=output_write,
                stderr=output_write,
                cwd=child.folder,
                env=child.environment,
                pass_fds=child.pass_fds,
                start_new_session=True,
            )
        except BaseException:
            os.close(start_write)
            transport.close()
            raise
        finally:
            os.close(start_read)
            os.close(output_write)
        return cls(process, start_write, output, transport)

    def release(self) -> None:
        """Let the shell become the child; call once, when the orphan guard watches it."""
        os.write(self.start_pipe, b"go\n")
        os.close(self.start_pipe)

    async def end(self) -> int:
        """Wait until the child ends; return its exit code, or minus the signal that ended it."""
        return await self.process.wait()

    async def finish_output(self) -> None:
        """Wait a moment for the last lines."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OUTPUT_TIMEOUT_S):
                await self.output.ended.wait()
        self.transport.close()


def exit_phrase(status: int) -> str:
    """Return how a process ended, as in `bridge was killed by SIGKILL`."""
    if status == NOT_FOUND:
        return "could not be started"
    if status >= 0:
        return f"ended with exit code {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
