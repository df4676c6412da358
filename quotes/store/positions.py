"""Stream positions: up to which tick of an instrument's stream something was read or sent."""

from typing import NamedTuple


class StreamPosition(NamedTuple):
    """The number of a tick: an epoch in which numbers count up, and the number in it.

    A new epoch begins when the numbering starts over. Positions of one epoch are ordered; of two
    epochs the later one is usually, but not always, the greater (a clock may have gone back).

    Attributes:
        epoch: Unix milliseconds at which the numbering began.
        seq: from 1; 0 before the first tick.
    """

    epoch: int
    seq: int

    def covers(self, epoch: int, seq: int) -> bool:
        """Return whether a tick is at or before this position, in the same epoch."""
        return epoch == self.epoch and seq <= self.seq
