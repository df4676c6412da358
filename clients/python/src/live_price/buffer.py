"""The bounded buffer between a connection and the loop that reads a subscription. Pure."""

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Buffer(Generic[T]):
    """Keeps items in order until they are taken.

    A buffer that conflates never holds more than its size, or two items for each label if these are
    more: when it is full, only the newest item of each label stays. One that does not conflate
    takes everything; `is_full` tells its owner to put in no more.

    Attributes:
        skipped: items left out since this was read last with `take_skipped`.
    """

    def __init__(self, size: int, *, conflates: bool) -> None:
        if size < 1:
            raise ValueError(f"a buffer must have room for at least 1, got {size}")
        self._size = size
        self._limit = size
        self._conflates = conflates
        self._items: deque[tuple[Hashable, T]] = deque()
        self.skipped = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_full(self) -> bool:
        """Whether a buffer that keeps everything should get no more for now."""
        return not self._conflates and len(self._items) >= self._size

    @property
    def has_room(self) -> bool:
        """Whether one that was full may get more: half of it is free."""
        return len(self._items) <= self._size // 2

    def put(self, label: Hashable, item: T) -> None:
        """Add an item; of each label only the newest may stay."""
        self._items.append((label, item))
        if self._conflates and len(self._items) > self._limit:
            self._conflate()

    def take(self) -> T:
        """Return the oldest item; raise IndexError if there is none."""
        item = self._items.popleft()[1]
        if not self._items:
            self._limit = self._size
        return item

    def take_skipped(self) -> int:
        """Return how many were left out since the last call."""
        skipped, self.skipped = self.skipped, 0
        return skipped

    def clear(self) -> None:
        self._items.clear()
        self._limit = self._size

    def _conflate(self) -> None:
        newest: dict[Hashable, int] = {label: at for at, (label, _) in enumerate(self._items)}
        kept = set(newest.values())
        before = len(self._items)
        self._items = deque(one for at, one in enumerate(self._items) if at in kept)
        self.skipped += before - len(self._items)
        # Many labels: not after each item again.
        self._limit = max(self._size, 2 * len(self._items))
