"""The orphan guard: a process that ends a supervisor's children when the supervisor is killed.

Both ends of its pipe are here. The supervisor writes which process groups run, `+GROUP` and
`-GROUP`, a line each. However the supervisor dies, the pipe closes; the guard then ends every group
that is left, and itself. A pipe works on every Unix and covers a child's own children; Linux's
PR_SET_PDEATHSIG does neither.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable

GRACE_S = 2.0
PAUSE_S = 0.02


class OrphanGuard:
    """The supervisor's end: starts the guard process and says which groups it watches.

    Attributes:
        output: becomes readable, at its end, when the guard process dies.
    """

    def __init__(self, groups: Iterable[int] = (), *, grace_s: float = GRACE_S) -> None:
        """
        Args:
            grace_s: from SIGTERM to SIGKILL.
        """
        reader, self.pipe = os.pipe()
        # Written before the process starts, so that it never runs without watching them.
        for group in groups:
            self.add(group)
        # Isolated and without site-packages it starts in some 15 ms.
        self.process = subprocess.Popen(  # noqa: S603  this file, by its own path
            [sys.executable, "-I", "-S", __file__, str(grace_s)],
            stdin=reader,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )
        os.close(reader)
        assert self.process.stdout
        self.output = self.process.stdout

    def add(self, group: int) -> None:
        self._write(f"+{group}\n")

    def remove(self, group: int) -> None:
        self._write(f"-{group}\n")

    def _write(self, line: str) -> None:
        # The supervisor sees the end of `output`, starts another guard and passes all groups to it.
        with contextlib.suppress(BrokenPipeError):
            os.write(self.pipe, line.encode())

    def close(self) -> None:
        """Let the guard end; it first ends the groups that it still watches."""
        os.close(self.pipe)
        self.process.wait()
        self.output.close()


def read_groups() -> set[int]:
    """Return the groups that still run when standard input ends."""
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        if line.startswith(b"+"):
            groups.add(int(line[1:]))
        else:
            groups.discard(int(line[1:]))
    return groups


def end_groups(groups: set[int], grace_s: float = GRACE_S) -> None:
    """Send SIGTERM to the groups, and SIGKILL to those that still run after the grace time."""
    deadline = time.monotonic() + grace_s
    for group in groups:
        signal_group(group, signal.SIGTERM)
    while time.monotonic() < deadline and any(map(is_running, groups)):
        time.sleep(PAUSE_S)
    for group in groups:
        signal_group(group, signal.SIGKILL)


def signal_group(group: int, number: signal.Signals) -> None:
    """Send a signal to a process group that may have ended."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def is_running(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    # The supervisor alone answers Ctrl-C and a service manager's SIGTERM.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    end_groups(read_groups(), float(sys.argv[1]))
