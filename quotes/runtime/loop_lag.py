"""How late the event loop of this process is: the delay of a timer that runs all the time."""

import asyncio
import time

from quotes.runtime.histogram import Histogram

_EVERY_S = 0.25
# A beat that is late by less is no stall.
_LATE_S = 0.5


class LoopLag:
    """Measures the delay of an event loop from `watch` on; read from any thread.

    Attributes:
        delays: in seconds.
    """

    def __init__(self) -> None:
        self.delays = Histogram()
        self._due_at: float | None = None  # of the next beat; None: nothing is measured
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Measure a loop from now on, instead of the one before; call it in the loop's thread."""
        if self._timer is not None:
            self._timer.cancel()
        self._due_at = time.monotonic() + _EVERY_S
        self._timer = loop.call_later(_EVERY_S, self._beat, loop)

    def stop(self) -> None:
        """Measure nothing more; call it in the loop's thread."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._due_at = None

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        if self._due_at is not None:
            self.delays.add(now - self._due_at)
        self._due_at = now + _EVERY_S
        self._timer = loop.call_later(_EVERY_S, self._beat, loop)

    @property
    def stalled_s(self) -> float | None:
        """For how many seconds the loop has run nothing; None if none is measured."""
        due_at = self._due_at
        if due_at is None:
            return None
        late_s = time.monotonic() - due_at
        return late_s if late_s >= _LATE_S else 0.0


loop_lag = LoopLag()
