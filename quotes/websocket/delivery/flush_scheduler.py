"""When outboxes are flushed: all of one event loop together, soon or when an interval is over."""

import asyncio
from time import monotonic

from quotes.runtime.pacing import Pacing
from quotes.store.redis_clock import redis_clock
from quotes.websocket.counters import counters
from quotes.websocket.delivery.intervals import PriceInterval, ScheduledOutbox
from quotes.websocket.delivery.isolation import end_failed

# In a busy process frames that become due within this time of the last flush leave together, in one
# write: the least, for each client that was written to (a write and what it wakes take about 10
# us), and the most. In an idle one each turn of the event loop flushes what it brought.
_GATHER_S = 0.001
_GATHER_PER_CLIENT_S = 0.000_025
_MAX_GATHER_S = 0.005
# Timers come late by up to a millisecond: a shorter wait is none.
_LEAST_WAIT_S = 0.000_5
# Intervals are rounded up to a multiple of this, so that many clients share a timer.
_STEP_MS = 10
# The first client is handed a tick within this time of the message that it came in.
_HAND_OVER_S = 0.05


class FlushScheduler:
    """Flushes the outboxes of one event loop that have something due, all in one go.

    Args:
        pacing: decides how long a flush waits for more; by default that of the calling thread.

    Attributes:
        now: the loop's time at the beginning of the flush that is under way.
        next_flush: the loop's time before which frames are gathered.
        pacing: of the event loop's thread.
        due: the outboxes that are due; always the same list. An outbox that it gets first has it
            flushed by `schedule`.
        intervals: length in ms -> interval that has members, or did until it is over.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, pacing: Pacing | None = None) -> None:
        self.loop = loop
        self.next_flush = float("-inf")
        self.now = loop.time()
        self.pacing = pacing or Pacing()
        self.intervals: dict[int, PriceInterval] = {}
        self.due: list[ScheduledOutbox] = []
        self._is_scheduled = False
        self._sampled_ms = 0  # when the bridge took a tick of the next flush; 0: no sample

    def gather(self, outbox: ScheduledOutbox) -> None:
        """Flush the outbox soon, with others."""
        self.due.append(outbox)
        if len(self.due) == 1:
            self.schedule()

    def schedule(self) -> None:
        """Have the outboxes that are due flushed soon; at once if the process is idle."""
        if not self._is_scheduled:
            self._is_scheduled = True
            if counters.received_ms:
                # Of a lane message whose ticks nobody here gets it is old by now.
                if monotonic() - counters.taken_at < _HAND_OVER_S:
                    self._sampled_ms = counters.received_ms
                counters.received_ms = 0
            wait = self.next_flush - self.loop.time()
            if wait <= _LEAST_WAIT_S:
                self.loop.call_soon(self.flush)
            else:
                self.loop.call_later(wait, self.flush)

    def flush(self) -> None:
        """Flush the outboxes that were gathered."""
        self._is_scheduled = False
        self.now = self.loop.time()
        due = self.due[:]
        self.due.clear()
        for outbox in due:
            try:
                outbox.flush()
            except Exception as error:
                end_failed(outbox, error)
        if self._sampled_ms:
            now_ms = redis_clock.now_ms()
            counters.latency.add((now_ms - self._sampled_ms) / 1000)
            counters.last_sample = self._sampled_ms, now_ms
            self._sampled_ms = 0
        longest = min(max(_GATHER_S, len(due) * _GATHER_PER_CLIENT_S), _MAX_GATHER_S)
        self.next_flush = self.loop.time() + self.pacing.look(self.now) * longest

    def join(self, outbox: ScheduledOutbox, interval_ms: int) -> PriceInterval:
        """Make the outbox a member of the interval of this length; it leaves by `members`."""
        length = -(-interval_ms // _STEP_MS) * _STEP_MS
        interval = self.intervals.get(length)
        if interval is None:
            interval = self.intervals[length] = PriceInterval()
            self.loop.call_later(length / 1000, self._interval_over, length)
        interval.members.add(outbox)
        return interval

    def _interval_over(self, length: int) -> None:
        interval = self.intervals[length]
        if not interval.members:
            del self.intervals[length]
            return
        self.loop.call_later(length / 1000, self._interval_over, length)
        self.now = self.loop.time()
        interval.over()
