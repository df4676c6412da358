"""Stream positions: how far an instrument's stream was read, sent or seen."""

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
        """Return whether somebody who was given all ticks up to here was given that one."""
        return epoch == self.epoch and seq <= self.seq
