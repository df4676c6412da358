"""Ending a long-running command on Ctrl-C or SIGTERM after the step in hand."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_LONGEST_NAP_S = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Whether a command is to end: call it; the answer changes from False to True once."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self) -> bool:
        return self.requested

    def sleep_until(self, moment: float) -> bool:
        """Sleep until a moment of time.monotonic(); return False if interrupted before it."""
        while not self.requested:
            left = moment - time.monotonic()
            if left <= 0:
                return True
            # A signal handler runs between naps; sleep itself goes on after a signal.
            time.sleep(min(left, _LONGEST_NAP_S))
        return False


@contextmanager
def interrupt_on_signals() -> Iterator[Interrupt]:
    """Turn the first Ctrl-C or SIGTERM into a request to end; a second one ends at once."""
    interrupt = Interrupt()

    def request(number: int, frame: FrameType | None) -> None:
        interrupt.requested = True
        for one in _SIGNALS:
            signal.signal(one, before[one])

    before = {one: signal.signal(one, request) for one in _SIGNALS}
    try:
        yield interrupt
    finally:
        for one in _SIGNALS:
            signal.signal(one, before[one])
