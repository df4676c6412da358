"""Decided ticks that wait to be written, in order."""

from collections import deque
from dataclasses import dataclass

from quotes.bridge.tick_order import Stream
from quotes.store.tick_log import LogRow

# A stream and its tick; None instead of a tick: the stream starts over.
PendingTick = tuple[Stream, LogRow | None]


@dataclass(slots=True)
class PendingBatch:
    """Ticks that are written in one step.

    Attributes:
        position: the position in the inbox up to which this batch and those before it hold all
            ticks; None if it does not change.
        shown: how many of them are for clients; the flush counts them.
    """

    ticks: list[PendingTick]
    position: bytes | None = None
    shown: int = 0


class PendingTicks:
    """A first-in, first-out queue of decided ticks that knows which inbox entries they are from.

    Attributes:
        ticks: the oldest first. To add one, append it.
    """

    def __init__(self) -> None:
        self.ticks: list[PendingTick] = []
        self._taken = 0  # how many ticks were taken out
        # For each inbox entry: the numbers of its first tick and of the one behind its last, and
        # its position.
        self._entries: deque[tuple[int, int, bytes]] = deque()

    def __len__(self) -> int:
        return len(self.ticks)

    def __bool__(self) -> bool:
        return bool(self.ticks or self._entries)

    @property
    def next_number(self) -> int:
        """The number of the next tick that is appended, counted from the start."""
        return self._taken + len(self.ticks)

    def mark_entry(self, first: int, position: bytes) -> None:
        """Note that all ticks from number `first` on are those of the inbox entry at `position`."""
        self._entries.append((first, self.next_number, position))

    def clear(self) -> None:
        """Drop everything."""
        self.ticks.clear()
        self._entries.clear()

    def take(self, limit: int) -> PendingBatch:
        """Take out the oldest ticks, about `limit` of them.

        The ticks of an inbox entry stay together, since only a whole entry counts as read.
        """
        cut = min(limit, len(self.ticks))
        position = None
        while self._entries and self._entries[0][0] - self._taken < max(cut, 1):
            _, end, position = self._entries.popleft()
            cut = max(cut, end - self._taken)
        batch = self.ticks[:cut]
        del self.ticks[:cut]
        self._taken += cut
        return PendingBatch(batch, position)
