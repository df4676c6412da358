"""Complaints: warnings about input, a few of each kind at a time however many there are."""

import logging
import time
from collections.abc import Callable

WINDOW_S = 10.0
PER_WINDOW = 3


class Complaints:
    """Logs the first few of each kind in a window of time, then how many more there were."""

    def __init__(
        self, logger: logging.Logger, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.logger = logger
        self.clock = clock
        self.windows: dict[str, tuple[float, int]] = {}  # kind -> begin of window, count in it

    def __call__(self, kind: str, text: str) -> None:
        began, count = self.windows.get(kind, (-WINDOW_S, 0))
        now = self.clock()
        if now - began >= WINDOW_S:
            if count > PER_WINDOW:
                self.logger.warning("%s: %d more like these", kind, count - PER_WINDOW)
            began, count = now, 0
        self.windows[kind] = (began, count + 1)
        if count < PER_WINDOW:
            self.logger.warning("%s: %s", kind, text)
