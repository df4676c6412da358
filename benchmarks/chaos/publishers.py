"""Two publishers with one ledger: a foreign one (SET and PUBLISH), and this project's (the inbox).

Each tick is tried once. A tick whose fate is not known, since Redis did not answer, stays
unacknowledged: it may arrive or not, but once at most.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from decimal import Decimal

import redis
import redis.asyncio

from benchmarks.chaos.day import Row
from benchmarks.chaos.ledger import Ledger, Published
from quotes.errors import InboxFull
from quotes.publish.publishing import publish_ticks
from quotes.runtime.clock import now_ms
from quotes.store.names import stock_key
from quotes.ticks import Tick

BATCH_S = 0.1
# Two names that tick in the middle of a fault and then no more: the last value has to stay.
QUIET_FOREIGN, QUIET_OWN = "QUIETFOREIGN", "QUIETOWN"


class Publishers:
    """Publishes at a fixed rate until closed; ticks of even-numbered names are foreign.

    Args:
        client: that of the foreign publisher, which is closed at the end.
        rate: ticks per second, of both together.
        own_client: returns the client that this project's publishers use.
    """

    def __init__(
        self,
        *,
        client: redis.asyncio.Redis,
        ledger: Ledger,
        rows: Iterator[Row],
        names: Sequence[str],
        rate: float,
        own_client: Callable[[], redis.Redis],
    ) -> None:
        self.ledger = ledger
        self.names = [*names, QUIET_FOREIGN, QUIET_OWN]
        self._own = {*names[1::2], QUIET_OWN}
        self._rows = (row for row in rows if row.symbol in set(names))
        self._batch = max(1, round(rate * BATCH_S))
        self._own_client = own_client
        self._client = client
        self._running = asyncio.Event()
        self._idle = {name: asyncio.Event() for name in ("foreign", "own")}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._running.set()
        self._tasks = [
            asyncio.create_task(self._publish("foreign", self._put_foreign)),
            asyncio.create_task(self._publish("own", self._put_own)),
        ]

    async def pause(self) -> None:
        """Publish no more; return when every tick under way has its answer."""
        self._running.clear()
        for idle in self._idle.values():
            await idle.wait()

    def resume(self) -> None:
        self._running.set()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    async def publish_quiet(self) -> None:
        """Publish one tick of each quiet name."""
        for name, put in ((QUIET_FOREIGN, self._put_foreign), (QUIET_OWN, self._put_own)):
            await put([self._enter(Row(name, Decimal(100 + len(self.ledger.ticks)), 0))])

    def _enter(self, row: Row) -> Published:
        is_own = row.symbol in self._own
        return self.ledger.add(row.symbol, row.price, now_ms(), row.volume, is_own=is_own)

    def _next(self, *, is_own: bool) -> list[Row]:
        """Return the next rows of one publisher; the other's are passed over."""
        found: list[Row] = []
        while len(found) < max(1, self._batch // 2):
            row = next(self._rows)
            if (row.symbol in self._own) is is_own:
                found.append(row)
        return found

    async def _publish(self, name: str, put: Callable[[list[Published]], Awaitable[None]]) -> None:
        is_own = name == "own"
        idle = self._idle[name]
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            idle.set()
            await self._running.wait()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not self._running.is_set():
                continue
            idle.clear()
            due = max(due + BATCH_S, loop.time())
            await put([self._enter(row) for row in self._next(is_own=is_own)])

    async def _put_foreign(self, ticks: list[Published]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for tick in ticks:
            frame = (
                f'{{"symbol":"{tick.symbol}","price":{tick.price},"timestamp":{tick.timestamp},'
                f'"volume":{tick.volume},"n":{tick.n}}}'
            )
            pipeline.set(stock_key(tick.symbol), frame)
            pipeline.publish(stock_key(tick.symbol), frame)
        try:
            replies = await pipeline.execute(raise_on_error=False)
        except (redis.RedisError, OSError):
            await asyncio.sleep(BATCH_S)
            return
        for tick, reached in zip(ticks, replies[1::2], strict=True):
            if isinstance(reached, int):  # a full Redis refuses SET, and carries out PUBLISH
                tick.is_acknowledged, tick.receivers = True, reached

    async def _put_own(self, ticks: list[Published]) -> None:
        frames = [
            Tick(
                tick.symbol,
                str(tick.price),
                tick.timestamp,
                others=b',"volume":%d,"n":%d' % (tick.volume, tick.n),
            )
            for tick in ticks
        ]
        try:
            await asyncio.to_thread(publish_ticks, frames, client=self._own_client())
        except (redis.RedisError, OSError, InboxFull):
            await asyncio.sleep(BATCH_S)
            return
        for tick in ticks:
            tick.is_acknowledged = True
