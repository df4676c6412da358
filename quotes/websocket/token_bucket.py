"""Rates: a token bucket, which lets bursts pass and holds the average."""

# Bursts of so many seconds' worth of a client's messages pass.
BURST_S = 4


class TokenBucket:
    """Allows `rate` takes a second on average, and `burst` at once after a rest."""

    __slots__ = ("at", "burst", "rate", "tokens")

    def __init__(self, rate: float, *, burst: float) -> None:
        self.rate = rate
        self.burst = max(burst, 1.0)
        self.tokens = self.burst
        self.at: float | None = None

    def take(self, now: float) -> bool:
        """Take one token at a time in seconds; False when there is none."""
        if self.at is not None:
            self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True
