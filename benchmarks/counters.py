"""Counts of received prices that several processes share, as a small mapped file.

Each load process writes its own slot; the publisher and the benchmark read the sum.
"""

import mmap
from pathlib import Path

SLOT_BYTES = 8


class Counters:
    """64-bit counts; each has one writer, and a read may be a moment old."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)
        self.slots = memoryview(self.map).cast("q")

    @classmethod
    def create(cls, path: Path, count: int) -> "Counters":
        """Make a file with so many counts of 0."""
        path.write_bytes(bytes(SLOT_BYTES * count))
        return cls(path)

    def total(self) -> int:
        """Return the sum of all counts."""
        return sum(self.slots)

    def close(self) -> None:
        self.slots.release()
        self.map.close()
