"""How many lines a log takes: whatever a client sends, it cannot fill a disk.

Beside the warnings that the code limits itself (`warnings.py`), libraries log each bad request.
"""

import logging
import time
from collections.abc import Callable

_WINDOW_S = 10.0
# Lines in a window: with the same text apart from its values, and of one logger.
_PER_TEXT = 20
_PER_LOGGER = 200
_MAX_KINDS = 1000
# Lines that an operator has switched on: one for each request, and those below INFO.
_UNLIMITED = ("uvicorn.access", "daphne.access", "django.server")

_Kind = tuple[str, int, str]


class LineLimits:
    """Limits the lines of each kind, and of each logger, in windows of ten seconds.

    Used under the lock of its handler.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # kind -> begin of its window, and lines in it
        self._windows: dict[_Kind, tuple[float, int]] = {}

    def take(self, record: logging.LogRecord) -> tuple[bool, int]:
        """Return whether a record is written, and how many like it were left out before it."""
        if record.levelno < logging.INFO or record.name in _UNLIMITED:
            return True, 0
        text = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        kind = (record.name, record.levelno, text[:200])
        allowed, left_out = self._count(kind, _PER_TEXT)
        if allowed:
            allowed, more = self._count((record.name, 0, ""), _PER_LOGGER)
            left_out += more
        return allowed, left_out

    def _count(self, kind: _Kind, most: int) -> tuple[bool, int]:
        now = self._clock()
        began, count = self._windows.get(kind, (now, 0))
        left_out = 0
        if now - began >= _WINDOW_S:
            left_out, began, count = max(0, count - most), now, 0
        elif kind not in self._windows and len(self._windows) >= _MAX_KINDS:
            self._windows.clear()  # texts that hold values: the limit of their logger holds
        self._windows[kind] = (began, count + 1)
        return count < most, left_out
