"""Pacing: when outboxes are flushed, all of one event loop together."""

import asyncio
from typing import Protocol

# Frames that become due within this time of the last flush leave together, in one write.
GATHER_S = 0.002
# Intervals are rounded up to a multiple of this, so that many clients share a timer.
STEP_MS = 10


class Paced(Protocol):
    """An outbox, as far as pacing is concerned."""

    def flush(self) -> None: ...
    def interval_over(self) -> None: ...


class Pacers:
    """Flushes the outboxes of one event loop that have something due, all in one go.

    Attributes:
        now: the loop's time at the beginning of the flush that is under way.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.due: list[Paced] = []
        self.flushed_at = float("-inf")
        self.scheduled = False
        self.now = loop.time()
        self.members: dict[int, set[Paced]] = {}  # interval in ms -> outboxes

    def gather(self, outbox: Paced) -> None:
        """Flush the outbox soon: at once if nothing was flushed for a moment."""
        self.due.append(outbox)
        if not self.scheduled:
            self.scheduled = True
            wait = self.flushed_at + GATHER_S - self.loop.time()
            if wait <= 0:
                self.loop.call_soon(self.flush)
            else:
                self.loop.call_later(wait, self.flush)

    def flush(self) -> None:
        self.scheduled = False
        self.now = self.loop.time()
        due, self.due = self.due, []
        for outbox in due:
            outbox.flush()
        self.flushed_at = self.loop.time()

    def join(self, outbox: Paced, interval_ms: int) -> None:
        """Tell the outbox whenever an interval is over; 0 stands for never."""
        if not interval_ms:
            return
        interval_ms = -(-interval_ms // STEP_MS) * STEP_MS
        members = self.members.get(interval_ms)
        if members is None:
            members = self.members[interval_ms] = set()
            self.loop.call_later(interval_ms / 1000, self.interval_over, interval_ms)
        members.add(outbox)

    def leave(self, outbox: Paced, interval_ms: int) -> None:
        if interval_ms:
            self.members.get(-(-interval_ms // STEP_MS) * STEP_MS, set()).discard(outbox)

    def interval_over(self, interval_ms: int) -> None:
        members = self.members[interval_ms]
        if not members:
            del self.members[interval_ms]
            return
        self.loop.call_later(interval_ms / 1000, self.interval_over, interval_ms)
        self.now = self.loop.time()
        for outbox in tuple(members):
            outbox.interval_over()
