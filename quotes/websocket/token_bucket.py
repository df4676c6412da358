"""A token bucket: limits an average rate, and lets bursts pass."""

# A client may send the messages of this many seconds at once.
BURST_S = 4


class TokenBucket:
    """Allows `rate` takes a second on average, and up to `burst` at once after a pause."""

    __slots__ = ("_at", "burst", "rate", "tokens")

    def __init__(self, rate: float, *, burst: float) -> None:
        self.rate = rate
        self.burst = max(burst, 1.0)
        self.tokens = self.burst
        self._at: float | None = None

    def take(self, now: float) -> bool:
        """Take a token at a time in seconds of any clock; return False if there is none."""
        if self._at is not None:
            self.tokens = min(self.burst, self.tokens + (now - self._at) * self.rate)
        self._at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True
