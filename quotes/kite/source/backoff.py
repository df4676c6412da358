"""How long to wait before the next attempt to connect."""

import random

FIRST_S = 1.0
LONGEST_S = 60.0
# Kite refuses the token or the connection: only an operator can change that.
REFUSED_S = 60.0


class Backoff:
    """Pauses that double with each failure in a row, up to a minute, and differ by chance.

    Chance keeps many connections from coming back in the same instant.
    """

    def __init__(self, first_s: float = FIRST_S) -> None:
        self._first_s = self._next_s = first_s

    def reset(self) -> None:
        """Begin again with the shortest pause."""
        self._next_s = self._first_s

    def pause_s(self) -> float:
        """Return the next pause in seconds."""
        pause_s = self._next_s * random.uniform(0.5, 1.0)  # noqa: S311
        self._next_s = min(2 * self._next_s, LONGEST_S)
        return pause_s
