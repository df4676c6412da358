"""Writing what a bridge has decided on: when, how much at a time, and what if Redis is slow.

One writer serves one session of a bridge, that is one connection under one lease. What is written
and how is `flush.py`.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from quotes.bridge.counters import BridgeCounters
from quotes.bridge.flush import Flush
from quotes.bridge.market import Market
from quotes.runtime.redis_link import RedisLink

MAX_IN_FLIGHT = 2
# A write begins no sooner than so long after the one before: each costs as much as many ticks.
GATHER_S = 0.001
# One write holds so many ticks at most, so that Redis serves others in between.
MAX_FLUSH = 2000
# More than this is not held: reading stops until Redis has taken what there is.
MAX_HELD = 20_000


class TickWriter:
    """Writes a market's outcomes over one link, in order.

    Args:
        sub: where ticks come from; not read while too many are held.
        on_end: called when a write failed, and nothing more is to be written here.

    Attributes:
        lost: whether the lease turned out to be another bridge's.
    """

    def __init__(
        self,
        market: Market,
        flush: Flush,
        counters: BridgeCounters,
        *,
        link: RedisLink,
        sub: RedisLink,
        on_end: Callable[[], None],
    ) -> None:
        self.market = market
        self.flush = flush
        self.counters = counters
        self.link = link
        self.sub = sub
        self.on_end = on_end
        self.loop = asyncio.get_running_loop()
        self.in_flight = 0
        self.began_at = float("-inf")  # loop time of the last write
        self.timer: asyncio.TimerHandle | None = None
        self.progress = asyncio.Event()
        self.room = asyncio.Event()  # set while no more is held than may be
        self.room.set()
        self.lost = False

    def kick(self) -> None:
        """Write what is held, as soon as that is due."""
        if self.market.outcomes and self.in_flight < MAX_IN_FLIGHT and self.timer is None:
            wait = self.began_at + GATHER_S - self.loop.time()
            if wait <= 0:
                self.write()
            else:
                self.timer = self.loop.call_later(wait, self.write)
        if len(self.market.outcomes) > MAX_HELD:
            self.room.clear()
            self.sub.pause_reading()

    def write(self) -> None:
        """Begin to write what is held, unless enough is under way."""
        self.timer = None
        if self.market.outcomes and self.in_flight < MAX_IN_FLIGHT:
            batch = self.market.outcomes.take(MAX_FLUSH)
            self.in_flight += 1
            self.began_at = self.loop.time()
            began = time.monotonic()
            count = sum(row is None or row[5] for _, row in batch.outcomes)
            self.flush.start(batch).add_done_callback(
                lambda future: self.written(future, began, count)
            )

    def written(self, future: "asyncio.Future[Any]", began: float, count: int) -> None:
        self.in_flight -= 1
        self.progress.set()
        if future.cancelled() or future.exception() is not None or not future.result():
            # Not written, or not known to be: the session ends and the next one reads Redis anew.
            self.lost = not (future.cancelled() or future.exception())
            self.link.abort()
            self.on_end()
            return
        self.counters.wrote(count, time.monotonic() - began)
        self.kick()
        if len(self.market.outcomes) <= MAX_HELD:
            self.room.set()
            if not self.sub.reading:
                self.sub.resume_reading()

    async def drain(self) -> None:
        """Return when all that was taken is written, or cannot be."""
        while (self.in_flight or self.market.outcomes) and not self.link.closed:
            self.progress.clear()
            self.kick()
            await self.progress.wait()

    def close(self) -> None:
        """Begin no more writes."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
