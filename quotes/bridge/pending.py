"""What a market has decided and nobody has written yet, in order."""

from collections import deque
from dataclasses import dataclass

from quotes.bridge.streams import Stream
from quotes.store.tick_log import LogRow

# A stream and its tick; None: the stream starts over.
Outcome = tuple[Stream, LogRow | None]


@dataclass(slots=True)
class Batch:
    """What is to be written at once.

    Attributes:
        position: that in the inbox up to which the batch, and those before it, hold all ticks.
    """

    outcomes: list[Outcome]
    position: bytes | None = None


class Outcomes:
    """A queue of outcomes, which remembers what of the inbox is in it.

    Attributes:
        pending: what is to be written, the oldest first.
    """

    def __init__(self) -> None:
        self.pending: list[Outcome] = []
        self.taken = 0  # how many outcomes were taken out
        # Of each inbox entry: the numbers of its first outcome and of the one behind it, position.
        self.marks: deque[tuple[int, int, bytes]] = deque()

    def __len__(self) -> int:
        return len(self.pending)

    def __bool__(self) -> bool:
        return bool(self.pending or self.marks)

    @property
    def number(self) -> int:
        """The number of the next outcome."""
        return self.taken + len(self.pending)

    def mark(self, first: int, position: bytes) -> None:
        """Note that all outcomes since the first are of an inbox entry, the last of it now."""
        self.marks.append((first, self.number, position))

    def clear(self) -> None:
        self.pending.clear()
        self.marks.clear()

    def take(self, most: int) -> Batch:
        """Take out the oldest, some `most` of them.

        The outcomes of an inbox entry stay together, since only a whole one counts as read.
        """
        cut = min(most, len(self.pending))
        position = None
        while self.marks and self.marks[0][0] - self.taken < max(cut, 1):
            _, end, position = self.marks.popleft()
            cut = max(cut, end - self.taken)
        batch = self.pending[:cut]
        del self.pending[:cut]
        self.taken += cut
        return Batch(batch, position)
