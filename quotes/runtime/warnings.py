"""Warnings: only the first few of each kind in a window of time are logged."""

import logging
import time
from collections.abc import Callable

_WINDOW_S = 10.0
_PER_WINDOW = 3


class RateLimitedWarnings:
    """Logs the first few warnings of each kind in a window, then how many more there were.

    Call it with the kind and the text of a warning. The number of kinds must be bounded.
    """

    def __init__(
        self, logger: logging.Logger, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._clock = clock
        self._windows: dict[str, tuple[float, int]] = {}  # kind -> begin of window, count in it

    def __call__(self, kind: str, text: str, *, error: BaseException | None = None) -> None:
        """Log a warning, or with an error a failure and its traceback, unless it is one of many."""
        began, count = self._windows.get(kind, (-_WINDOW_S, 0))
        now = self._clock()
        if now - began >= _WINDOW_S:
            if count > _PER_WINDOW:
                self._logger.warning("%s: %d more like these", kind, count - _PER_WINDOW)
            began, count = now, 0
        self._windows[kind] = (began, count + 1)
        if count >= _PER_WINDOW:
            return
        if error is not None:
            self._logger.error("%s %s", kind, text, exc_info=error)
        else:
            self._logger.warning("%s: %s", kind, text)
