"""Pacing: how long to gather work, by how busy this process is.

Work that is done together costs less, and comes later. While a process is idle for most of the
time, nothing is gained by gathering; as it fills up, gathering is what keeps up with the load.
"""

import os
import time
from collections.abc import Callable

# Between two looks at the process's load, so that each look covers many turns of the event loop.
LOOK_EVERY_S = 0.1
# The load below which nothing is gathered, and that from which on as much as possible is.
IDLE_LOAD = 0.5
BUSY_LOAD = 0.8
# Gathering lowers the load that asked for it: the level falls only when the load asks for so much
# less, and by so much at a time.
_HYSTERESIS = 0.25
_FALL = 0.1

_SCHEDSTAT = "/proc/thread-self/schedstat"


class ThreadLoad:
    """The seconds in which the thread that makes it has worked, or waited for a processor.

    A thread that waits for a processor is not idle: it has work to do, and a machine that is short
    of processors gains by every wake-up that it is spared. Where the operating system does not
    tell how long a thread has waited (Linux does), only its work counts.
    """

    def __init__(self) -> None:
        try:
            self._file = os.open(_SCHEDSTAT, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = -1

    def seconds(self) -> float:
        """Return the seconds since the thread began."""
        if self._file >= 0:
            try:
                worked, waited, _ = os.pread(self._file, 100, 0).split()
                return (int(worked) + int(waited)) * 1e-9
            except (OSError, ValueError):
                self.close()
        return time.thread_time()

    def close(self) -> None:
        """Close the file; `seconds` goes on without it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        self.close()


class Pacing:
    """How much of the longest time a thread is to gather, from its load of the last moments.

    It rises at once, and falls slowly. Look at it from one thread only.

    Args:
        load: returns the seconds in which the thread was not idle, since any moment.

    Attributes:
        level: from 0, do not gather, to 1, gather as long as allowed.
    """

    def __init__(self, load: Callable[[], float] | None = None) -> None:
        self.level = 0.0
        self._load = load or ThreadLoad().seconds
        self._looked_at = float("-inf")
        self._seconds = 0.0

    def look(self, now: float) -> float:
        """Return the level, after a look at the load if one is due.

        Args:
            now: seconds of a monotonic clock.
        """
        passed = now - self._looked_at
        if passed >= LOOK_EVERY_S:
            seconds = self._load()
            self._follow((seconds - self._seconds) / passed)
            self._looked_at, self._seconds = now, seconds
        return self.level

    def _follow(self, load: float) -> None:
        wanted = min(max((load - IDLE_LOAD) / (BUSY_LOAD - IDLE_LOAD), 0.0), 1.0)
        if wanted > self.level:
            self.level = wanted
        elif wanted < self.level - _HYSTERESIS or not wanted:
            self.level = max(wanted, self.level - _FALL)
