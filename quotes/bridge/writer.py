"""Writing decided ticks: when, how many at a time, and what happens when Redis is slow.

One writer serves one session of a bridge, that is one connection under one lease. The
contents of a write are made in `flush.py`.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from quotes.bridge.counters import BridgeCounters
from quotes.bridge.flush import Flush
from quotes.bridge.market import Market
from quotes.runtime.pacing import Pacing
from quotes.runtime.redis_link import RedisLink

MAX_IN_FLIGHT = 2
# Time between two reads, and between the starts of two writes, of a bridge that is busy: each costs
# as much as twenty ticks. One that is idle for most of the time does not wait.
MAX_GATHER_S = 0.003
# The same while nobody needs prices at once (`patience.py`).
PATIENT_GATHER_S = 0.010
# Timers come late by up to a millisecond: a shorter wait is none.
LEAST_WAIT_S = 0.000_5
# Ticks in one write, so that Redis serves others in between.
MAX_FLUSH = 2000
# Ticks in memory above which reading pauses until Redis has taken some.
MAX_HELD = 20_000


class TickWriter:
    """Writes a market's pending ticks over one link, in order, each at most once.

    After a failed write it writes nothing more: the next session of the bridge reads Redis first.

    Args:
        sub: the connection that ticks come from; not read while too many are pending.
        on_end: called when a write failed; with the error, if that is the reason.

    Attributes:
        lost: whether the lease turned out to be another bridge's.
        room: set while more ticks may be decided on.
        least_gather_s: for how long ticks gather at least, however idle the bridge is.
    """

    def __init__(
        self,
        market: Market,
        flush: Flush,
        counters: BridgeCounters,
        *,
        link: RedisLink,
        sub: RedisLink,
        on_end: Callable[[Exception | None], None],
    ) -> None:
        self._market = market
        self._flush = flush
        self._counters = counters
        self.link = link
        self.sub = sub
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._pacing = Pacing()
        self._in_flight = 0
        self._began_at = float("-inf")  # loop time of the last write
        self._timer: asyncio.TimerHandle | None = None
        self._progress = asyncio.Event()
        self.room = asyncio.Event()
        self.room.set()
        self.lost = False
        self.least_gather_s = 0.0

    def schedule(self) -> None:
        """Write pending ticks as soon as a write is due."""
        now = self._loop.time()
        gather_s = max(MAX_GATHER_S * self._pacing.look(now), self.least_gather_s)
        self.sub.gather_s = gather_s if gather_s > LEAST_WAIT_S else 0.0
        if self._timer is None and self._may_write():
            wait = self._began_at + gather_s - now
            if wait <= LEAST_WAIT_S:
                self.write()
            else:
                self._timer = self._loop.call_later(wait, self.write)
        if len(self._market.pending) > MAX_HELD:
            self.room.clear()
            self.sub.pause_reading()

    def write(self) -> None:
        """Begin to write pending ticks, unless enough writes are under way."""
        self._timer = None
        if self._may_write():
            batch = self._market.pending.take(MAX_FLUSH)
            self._in_flight += 1
            self._began_at = self._loop.time()
            began = time.monotonic()
            try:
                writing = self._flush.start(batch)
            except Exception as error:
                self._end(error)
                return
            count = batch.shown
            writing.add_done_callback(lambda future: self._written(future, began, count))

    def _may_write(self) -> bool:
        """Return whether there is something to write, and few enough writes are under way."""
        return bool(self._market.pending) and self._in_flight < MAX_IN_FLIGHT and self._flush.ready

    def _written(self, future: "asyncio.Future[Any]", began: float, count: int) -> None:
        self._in_flight -= 1
        self._progress.set()
        error: Any = None if future.cancelled() else future.exception()
        if future.cancelled() or error is not None or not future.result():
            self.lost = not (future.cancelled() or error)
            self._end(error)
            return
        self._counters.wrote(count, time.monotonic() - began)
        self.schedule()
        if len(self._market.pending) <= MAX_HELD:
            self.room.set()
            if not self.sub.reading:
                self.sub.resume_reading()

    def _end(self, error: Exception | None) -> None:
        """End the session: a batch is not written, or unknown; the next one reads Redis first."""
        self.link.abort()
        self._on_end(error)

    async def drain(self) -> None:
        """Return when all pending ticks are written, or the connection is lost."""
        while (self._in_flight or self._market.pending) and not self.link.closed:
            self._progress.clear()
            self.schedule()
            await self._progress.wait()

    def close(self) -> None:
        """Begin no more writes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
