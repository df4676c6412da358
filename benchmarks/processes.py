"""Child processes of a run, and what the kernel says they cost: CPU time and memory."""

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeVar

T = TypeVar("T")

REPOSITORY = Path(__file__).resolve().parent.parent
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
ESTABLISHED = "01"  # a state in /proc/net/tcp
PR_SET_PDEATHSIG = 1
prctl = ctypes.CDLL(None).prctl


class Failed(Exception):
    """A run failed; the text says why."""


class Child:
    """A process in a group of its own, which ends with it; what it prints goes to a file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        pipes: bool = False,
    ) -> None:
        self.name = name
        self.log = log
        pipe = subprocess.PIPE if pipes else None
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env={**os.environ, **(environment or {})},
                stdin=pipe or subprocess.DEVNULL,
                stdout=pipe or output,
                stderr=output,
                start_new_session=True,
                preexec_fn=end_with_parent,  # safe beside threads: one call, looked up before
            )

    def check(self) -> None:
        """Raise Failed when the process is gone."""
        code = self.process.poll()
        if code is not None:
            text = self.log.read_text(errors="replace").strip()
            raise Failed(f"{self.name} ended with {code}: {text[-600:]}")

    def stop(self) -> None:
        """End the process and those it started; nothing they hold is of use."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            close(pipe)

    def pids(self) -> list[int]:
        """Return the process and its descendants."""
        return family(self.process.pid)

    def cpu_s(self) -> float:
        """Return the seconds of CPU that the process and its descendants have used."""
        return sum(cpu_s(Path(f"/proc/{pid}/stat").read_text()) for pid in self.pids())

    def memory_bytes(self) -> int:
        """Return the memory (PSS) of the process and its descendants."""
        return sum(pss_bytes(Path(f"/proc/{pid}/smaps_rollup").read_text()) for pid in self.pids())


def end_with_parent() -> None:
    """Have the kernel end this process when the benchmark is killed and cannot do so itself."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def close(pipe: IO[bytes] | None) -> None:
    if pipe:
        with suppress(BrokenPipeError):
            pipe.close()


def family(pid: int) -> list[int]:
    """Return the process and all its descendants."""
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError):  # a thread that ended
            for child in children.read_text().split():
                found += family(int(child))
    return found


def cpu_s(stat: str) -> float:
    """Return user and system time, in seconds, of the text of a /proc/PID/stat."""
    fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def machine_cpu_s() -> float:
    """Return the seconds that all processes of the machine, and other machines on it, have used.

    Time in interrupts is nobody's and left out.
    """
    user, nice, system, _, _, _, _, steal = Path("/proc/stat").read_text().split()[1:9]
    return sum(map(int, (user, nice, system, steal))) / TICKS_PER_S


def pss_bytes(rollup: str) -> int:
    """Return the proportional set size of the text of a /proc/PID/smaps_rollup."""
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"a smaps_rollup has a line of Pss, got {rollup[:75]!r}")


def open_ports(table: str, server_port: int) -> set[int]:
    """Return the clients' ports of the server's established connections.

    Args:
        table: the text of /proc/net/tcp.
        server_port: where the server listens.
    """
    found = set()
    for line in table.splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        if state == ESTABLISHED and int(local.rpartition(":")[2], 16) == server_port:
            found.add(int(remote.rpartition(":")[2], 16))
    return found


def run_to_end(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine; SIGINT and SIGTERM cancel it, so that it ends all that it started.

    Raises:
        SystemExit: a signal came.
    """

    async def cancellable() -> T:
        task = asyncio.ensure_future(main)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        return await task

    try:
        return asyncio.run(cancellable())
    except asyncio.CancelledError:
        raise SystemExit("interrupted") from None


def free_port() -> int:
    """Return a port of the loopback interface that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_ports(count: int) -> list[int]:
    """Return different ports of the loopback interface that nobody uses."""
    found: dict[int, None] = {}
    while len(found) < count:
        found[free_port()] = None
    return list(found)


def accepts(port: int) -> bool:
    """Return whether something listens at the port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
