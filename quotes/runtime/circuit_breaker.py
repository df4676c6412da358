"""A circuit breaker: once a server is known to hang, few callers wait for it."""

import threading
import time
from collections.abc import Callable

# While a server hangs, one call in this time may find out whether it answers again.
_REST_S = 0.5


class CircuitBreaker:
    """Whether calls of a server may wait for it; open while the server hangs. Thread-safe."""

    def __init__(
        self, rest_s: float = _REST_S, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._rest_s = rest_s
        self._now = now
        self._lock = threading.Lock()
        self._retry_at: float | None = None  # None while it is closed

    @property
    def is_open(self) -> bool:
        """Whether the last call that waited got no answer in time."""
        return self._retry_at is not None

    def allows_call(self) -> bool:
        """Return whether a call may wait; of those of one rest, the first may."""
        if self._retry_at is None:
            return True
        with self._lock:
            now = self._now()
            if self._retry_at is not None and now < self._retry_at:
                return False
            self._retry_at = now + self._rest_s
            return True

    def hung(self) -> None:
        """Note that the server did not answer in time."""
        with self._lock:
            self._retry_at = self._now() + self._rest_s

    def answered(self) -> None:
        """Note that the server answered, whatever it said."""
        self._retry_at = None
