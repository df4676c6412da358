"""Names of which no tick is shown although ticks come, for operators.

Only a tick that is not shown is noted; whether others were shown since is looked up when the status
is written. So a tick that is shown costs nothing.
"""

import time
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

MAX_NAMES = 1000
MAX_LISTED = 10
# So many ticks must have come, the last of them within the last minute.
LEAST_TICKS = 3
RECENT_S = 60.0


Name = TypeVar("Name", bound=Hashable)


class _Noted(NamedTuple):
    """Ticks of a name since its last one that was shown.

    Attributes:
        number: the stream's number then; None: it had no stream.
        at: when the newest came, monotonic seconds.
    """

    number: tuple[int, int] | None
    ticks: int
    at: float
    reason: str


class SilentNames(Generic[Name]):
    """Names whose ticks are all not shown.

    Args:
        number_of: returns the number (epoch, seq) of the last tick of a name that was shown.
    """

    def __init__(self, number_of: Callable[[Name], tuple[int, int] | None]) -> None:
        self._number_of = number_of
        self._noted: dict[Name, _Noted] = {}

    def note(self, name: Name, reason: str) -> None:
        """Note a tick that is not shown; of very many names, those noted first are dropped."""
        noted = self._noted.get(name)
        if noted is None:
            if len(self._noted) >= MAX_NAMES:
                del self._noted[next(iter(self._noted))]
            noted = _Noted(self._number_of(name), 0, 0.0, reason)
        self._noted[name] = noted._replace(
            ticks=noted.ticks + 1, at=time.monotonic(), reason=reason
        )

    def listed(self) -> dict[Name, str]:
        """Return the names, and why their newest tick was not shown."""
        recent = time.monotonic() - RECENT_S
        for name, noted in list(self._noted.items()):
            if noted.at < recent or self._number_of(name) != noted.number:
                del self._noted[name]
        return {
            name: noted.reason for name, noted in self._noted.items() if noted.ticks >= LEAST_TICKS
        }
