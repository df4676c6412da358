"""First prices: the latest prices of instruments that are new to this process, for subscribers.

They are read once for all clients that wait for them, a bounded number at a time.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from quotes.runtime.background import BackgroundTasks
from quotes.websocket.delivery.price_message import PriceMessage
from quotes.websocket.feed.named_instruments import NamedInstrument

# Instruments that are read in one round trip. Decoding them takes a few milliseconds, in which the
# event loop does nothing else.
_MAX_BATCH = 100


class FirstPrices(NamedTuple):
    """What was read of the instruments that were requested, and perhaps of others.

    Attributes:
        messages: instrument key -> the message of its latest price, if the layer has not delivered
            it to the members of its group.
        is_complete: whether all were read.
    """

    messages: dict[str, PriceMessage]
    is_complete: bool = True


class _Batch:
    """Instruments that are read together, and the clients' wait for them."""

    def __init__(self, done: "asyncio.Future[FirstPrices | None]", until: float) -> None:
        self.until = until
        self.instruments: list[NamedInstrument] = []
        self.done = done


class FirstPriceReader:
    """Reads the latest prices for the clients of one event loop.

    Each price is read after all clients that wait for it have called, so what they do before the
    call, such as joining groups, is done before the read.

    Args:
        read: reads instruments, by a loop time if one is given; returns None if that failed.
        tasks: run the reading; it ends with them.
    """

    def __init__(
        self,
        read: Callable[[Sequence[NamedInstrument], float | None], Awaitable[FirstPrices | None]],
        tasks: BackgroundTasks,
    ) -> None:
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._read = read
        self._queue: deque[_Batch] = deque()
        self._batch_of: dict[NamedInstrument, _Batch] = {}  # of those in the queue
        self._task: asyncio.Task[None] | None = None

    async def read(self, wanted: Sequence[NamedInstrument], *, until: float) -> FirstPrices:
        """Return the latest prices, as far as they could be read; may be cancelled.

        Args:
            until: the loop time by which Redis must have answered for the first time.
        """
        messages: dict[str, PriceMessage] = {}
        if not wanted:
            return FirstPrices(messages)
        batches = {self._enqueue(one, until): None for one in wanted}
        if self._task is None or self._task.done():
            self._task = self._tasks.attempt("reading first prices", self._run)
        is_complete = True
        done = [batch.done for batch in batches]
        await asyncio.wait(done)
        for one in done:
            if (prices := one.result()) is None:
                is_complete = False
            else:
                messages.update(prices.messages)
        return FirstPrices(messages, is_complete)

    def _enqueue(self, one: NamedInstrument, until: float) -> _Batch:
        """Return the batch with which an instrument will be read."""
        batch = self._batch_of.get(one)
        if batch is None:
            if not self._queue or len(self._queue[-1].instruments) >= _MAX_BATCH:
                self._queue.append(_Batch(self._loop.create_future(), until))
            batch = self._batch_of[one] = self._queue[-1]
            batch.instruments.append(one)
        return batch

    def _next(self) -> _Batch:
        batch = self._queue.popleft()
        for one in batch.instruments:
            del self._batch_of[one]
        return batch

    async def _run(self) -> None:
        """Read until nothing is wanted; a read that fails ends the wait of all."""
        prices: FirstPrices | None = None
        batch: _Batch | None = None
        try:
            while self._queue:
                # Once Redis has answered, it is not at fault for what takes long.
                is_first = prices is None
                batch, prices = self._next(), None
                prices = await self._read(batch.instruments, batch.until if is_first else None)
                batch.done.set_result(prices)
                if prices is None:
                    break
        finally:
            if prices is None:
                self._give_up(batch)

    def _give_up(self, batch: _Batch | None) -> None:
        batches = [self._next() for _ in range(len(self._queue))]
        for one in [batch, *batches] if batch is not None else batches:
            if not one.done.done():
                one.done.set_result(None)
