"""Pacing: when outboxes are flushed, all of one event loop together."""

import asyncio

from quotes.websocket.delivery.intervals import Interval, Paced

# Frames that become due within this time of the last flush leave together, in one write: the least,
# for each client that was written to (a write and what it wakes take about 10 us), and the most.
GATHER_S = 0.001
GATHER_PER_CLIENT_S = 0.000_025
MAX_GATHER_S = 0.005
# Intervals are rounded up to a multiple of this, so that many clients share a timer.
STEP_MS = 10


class Pacers:
    """Flushes the outboxes of one event loop that have something due, all in one go.

    Attributes:
        now: the loop's time at the beginning of the flush that is under way.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.due: list[Paced] = []
        self.next_flush = float("-inf")
        self.scheduled = False
        self.now = loop.time()
        self.intervals: dict[int, Interval] = {}  # length in ms -> interval

    def gather(self, outbox: Paced) -> None:
        """Flush the outbox soon: at once if nothing was flushed for a moment."""
        self.due.append(outbox)
        if not self.scheduled:
            self.scheduled = True
            wait = self.next_flush - self.loop.time()
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
        pause = min(max(GATHER_S, len(due) * GATHER_PER_CLIENT_S), MAX_GATHER_S)
        self.next_flush = self.loop.time() + pause

    def join(self, outbox: Paced, interval_ms: int) -> Interval:
        """Tell the outbox whenever an interval of this length is over."""
        length = -(-interval_ms // STEP_MS) * STEP_MS
        interval = self.intervals.get(length)
        if interval is None:
            interval = self.intervals[length] = Interval()
            self.loop.call_later(length / 1000, self.interval_over, length)
        interval.members.add(outbox)
        return interval

    def interval_over(self, length: int) -> None:
        interval = self.intervals[length]
        if not interval.members:
            del self.intervals[length]
            return
        self.loop.call_later(length / 1000, self.interval_over, length)
        self.now = self.loop.time()
        interval.over()
