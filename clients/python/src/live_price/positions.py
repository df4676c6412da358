"""Where a stream was last, so that nothing is given twice or out of order. Pure."""

from collections.abc import Mapping
from typing import Any

# What is not part of a tick itself.
_NUMBERING = ("epoch", "seq")
# Derived from the day's other ticks as they are now.
_DERIVED = ("change", "change_pct", "open", "high", "low", "prev_close")


class Position:
    """The last tick of a stream that was given on.

    A numbered tick is given once, and never after a later one of its epoch. A tick that came
    without a number (epoch 0, while no bridge works) is not given again once it has one.

    Attributes:
        epoch, seq: of the last numbered tick; epoch 0 before the first.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.seq = 0
        self._last: dict[str, Any] | None = None
        self._is_provisional = False
        self._begins = False

    @property
    def since(self) -> dict[str, int] | None:
        """What to resume by; None if nothing numbered came."""
        return {"epoch": self.epoch, "seq": self.seq} if self.epoch else None

    def begin(self) -> None:
        """Note that the stream is subscribed again: its first tick may be one that was given."""
        self._begins = True

    def take(self, frame: Mapping[str, Any]) -> bool:
        """Return whether a price frame is to be given on; it is then the last one."""
        begins, self._begins = self._begins, False
        epoch, seq = frame.get("epoch", 0), frame.get("seq", 0)
        last, was_provisional = self._last, self._is_provisional
        if epoch:
            if epoch == self.epoch and seq <= self.seq:
                return False
            is_same_epoch = epoch == self.epoch
            self.epoch, self.seq = epoch, seq
            self._is_provisional = False
            if last is None:
                pass
            elif was_provisional or not is_same_epoch:
                # Given before it had this number.
                if self._is_same(frame, last):
                    return False
                if (was_provisional or begins) and frame["timestamp"] < last["timestamp"]:
                    self._is_provisional = was_provisional
                    return False
        elif last is not None:
            if self._is_same(frame, last):
                return False
            if begins and frame["timestamp"] < last["timestamp"]:
                return False
            self._is_provisional = True
        else:
            self._is_provisional = True
        self._last = {one: frame[one] for one in frame if one not in _NUMBERING}
        return True

    @staticmethod
    def _is_same(frame: Mapping[str, Any], last: Mapping[str, Any]) -> bool:
        return (
            frame["price"] == last["price"]
            and frame["timestamp"] == last["timestamp"]
            and all(
                frame[one] == last.get(one, frame[one])
                for one in frame
                if one not in _NUMBERING and one not in _DERIVED
            )
        )
