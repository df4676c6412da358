"""The keeper: a process that ends a supervisor's children when SIGKILL ended the supervisor.

Both ends of its pipe are here. The supervisor writes which process groups live, `+GROUP` and
`-GROUP`, a line each; however it dies, the pipe closes, and the keeper ends every group that is
left and itself. A pipe works on every Unix and takes a child's own children along; Linux's
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


class Keeper:
    """The supervisor's end: a keeper process that knows some groups."""

    def __init__(self, groups: Iterable[int] = ()) -> None:
        reader, self.pipe = os.pipe()
        # Before the process is there: at no moment does it live and not know them.
        for group in groups:
            self.add(group)
        # Isolated and without site-packages it starts in some 15 ms.
        self.process = subprocess.Popen(  # noqa: S603  this file, by its own path
            [sys.executable, "-I", "-S", __file__],
            stdin=reader,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )
        os.close(reader)
        assert self.process.stdout
        self.life = self.process.stdout  # ends when the keeper does

    def add(self, group: int) -> None:
        self.tell(f"+{group}\n")

    def remove(self, group: int) -> None:
        self.tell(f"-{group}\n")

    def tell(self, line: str) -> None:
        # Who sees the end of `life` starts another keeper and tells it everything.
        with contextlib.suppress(BrokenPipeError):
            os.write(self.pipe, line.encode())

    def close(self) -> None:
        """Let the keeper end; what it still knows it ends first."""
        os.close(self.pipe)
        self.process.wait()
        self.life.close()


def read_groups() -> set[int]:
    """Return the groups that live when standard input ends."""
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        if line.startswith(b"+"):
            groups.add(int(line[1:]))
        else:
            groups.discard(int(line[1:]))
    return groups


def end_groups(groups: set[int]) -> None:
    """Send SIGTERM to the groups, and SIGKILL to what lives after the grace."""
    deadline = time.monotonic() + GRACE_S
    for group in groups:
        signal_group(group, signal.SIGTERM)
    while time.monotonic() < deadline and any(map(lives, groups)):
        time.sleep(PAUSE_S)
    for group in groups:
        signal_group(group, signal.SIGKILL)


def signal_group(group: int, number: signal.Signals) -> None:
    """Send a signal to a process group that may be gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    # Ctrl-C and a service manager's SIGTERM are the supervisor's to answer.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    end_groups(read_groups())
