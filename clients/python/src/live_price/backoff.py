"""How long to wait before the next attempt to connect."""

import random


class Backoff:
    """Delays that double, each drawn at random between the shortest and the current one.

    Clients that lost the same server therefore come back spread over time.

    Args:
        shortest_s, longest_s: bounds of every delay.
    """

    def __init__(self, shortest_s: float = 0.1, longest_s: float = 20.0) -> None:
        if not 0 < shortest_s <= longest_s:
            raise ValueError(
                "min_backoff_s must be above 0 and at most max_backoff_s, "
                f"was {shortest_s} and {longest_s}"
            )
        self._shortest_s = shortest_s
        self._longest_s = longest_s
        self._attempts = 0
        self._last_s = 0.0

    def next_s(self, *, connected_s: float, at_least_s: float = 0.0) -> float:
        """Return the seconds to wait.

        Args:
            connected_s: how long the connection that ended lasted; 0 if there was none. One
                that lasted longer than the wait before it, and a second, starts the delays over.
            at_least_s: what the server has asked for.
        """
        if connected_s > max(1.0, self._last_s):
            self._attempts = 0
        self._attempts = min(self._attempts + 1, 32)
        bound = min(self._longest_s, self._shortest_s * 2**self._attempts)
        drawn = random.uniform(self._shortest_s, bound)  # noqa: S311 - no secret
        self._last_s = max(drawn, min(at_least_s, 300.0))
        return self._last_s
