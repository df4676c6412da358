"""Delayed prices: ticks of some minutes ago, read from the tick log, for clients entitled to them.

One reader for each delay and event loop, not for each client: it goes through the log that many
minutes behind, knows each instrument's last tick at that time, and hands ticks to its clients.
No client gets a tick sooner than its minutes after the bridge took it.
"""

import asyncio
import logging

import msgspec
import redis.asyncio
from redis.exceptions import RedisError

from instruments.keys import InstrumentKey
from quotes.layer.groups import Receiver
from quotes.runtime.background import BackgroundTasks
from quotes.runtime.warnings import RateLimitedWarnings
from quotes.store.redis_clock import redis_clock
from quotes.store.shards import shard_count_async
from quotes.store.tick_log import BEGINNING, LoggedTick, decode_entry, read_after
from quotes.websocket.delivery.isolation import end_failed_receiver
from quotes.websocket.delivery.price_message import DELAYED, PriceMessage

logger = logging.getLogger(__name__)

_POLL_S = 0.25
# While it catches up with the log it takes this many entries at a time, and a rest between: live
# prices go by the same event loop.
_PAGE = 10
_REST_S = 0.002
# A reader that has no receivers for this long ends, and forgets the last ticks.
_IDLE_S = 60.0


class DelayedReader:
    """The tick log as it was some minutes ago.

    Each receiver gets an instrument's ticks in order and at most once; while Redis does not answer
    they come later. Receivers are called in the reader's event loop.
    """

    def __init__(self, minutes: int, client: redis.asyncio.Redis) -> None:
        self._delay_ms = minutes * 60_000
        self._client = client
        self._receivers: dict[str, set[Receiver]] = {}  # by instrument key
        self._last: dict[str, LoggedTick] = {}  # instrument key -> its last tick at that time
        self._positions: dict[int, str] = {}  # shard -> id of the last entry read
        self._caught_up = False
        self._problem = ""
        self._closed = False
        self._warn = RateLimitedWarnings(logger)
        self._tasks = BackgroundTasks(logger)
        self._task: asyncio.Task[None] | None = None

    def join(self, key: str, receiver: Receiver, *, latest: bool = True) -> None:
        """Hand the last tick of that time if wanted, and those after it, to a receiver."""
        self._receivers.setdefault(key, set()).add(receiver)
        if self._task is None or self._task.done():
            # It rested: what it read last is too old to be a first price. It is read again.
            self._positions, self._caught_up = {}, False
            self._last.clear()
            self._task = self._tasks.complete("reading delayed prices", self._run)
        elif latest and self._caught_up and key in self._last:
            receiver(_message_of(self._last[key]))

    def leave(self, key: str, receiver: Receiver) -> None:
        """Hand it no more ticks of an instrument; may be called twice."""
        receivers = self._receivers.get(key, set())
        receivers.discard(receiver)
        if not receivers:
            self._receivers.pop(key, None)

    async def close(self) -> None:
        """End the task that reads."""
        self._closed = True
        await self._tasks.close()

    async def _run(self) -> None:
        """Read until there are no receivers."""
        loop = asyncio.get_running_loop()
        used_at = loop.time()
        while not self._closed and loop.time() - used_at < _IDLE_S:
            if self._receivers:
                used_at = loop.time()
            pause_s = _POLL_S
            try:
                if await self._read():
                    pause_s = _REST_S
                self._problem = ""
            except (RedisError, OSError) as error:
                if str(error) != self._problem:
                    logger.warning(
                        "cannot read the tick log for delayed prices, trying again: %s", error
                    )
                self._problem = str(error)
            await asyncio.sleep(pause_s)

    async def _read(self) -> bool:
        """Read on in the log of each shard; return whether there is more to read."""
        until = redis_clock.now_ms() - self._delay_ms  # the entries' ids are of Redis's clock
        more = False
        for shard in range(1, await shard_count_async(self._client) + 1):
            position = self._positions.get(shard, BEGINNING)
            entries = await read_after(self._client, shard, position, page=_PAGE, until=str(until))
            for entry in entries:
                self._positions[shard] = entry.id
                try:
                    ticks = decode_entry(entry.fields)
                except (msgspec.MsgspecError, LookupError, TypeError, ValueError) as error:
                    self._warn("tick log", f"passed over entry {entry.id}: {error}")
                    continue
                for tick in ticks:
                    self._take(tick)
            more = more or len(entries) == _PAGE
        if not more and not self._caught_up:
            self._caught_up = True
            for key in list(self._receivers):  # one that fails leaves
                if key in self._last:
                    self._deliver(self._last[key])
        return more

    def _take(self, tick: LoggedTick) -> None:
        if tick.shown:
            self._last[tick.key] = tick
            if self._caught_up:
                self._deliver(tick)

    def _deliver(self, tick: LoggedTick) -> None:
        receivers = self._receivers.get(tick.key)
        if receivers:
            message = _message_of(tick)
            for receiver in tuple(receivers):
                try:
                    receiver(message)
                except Exception as error:
                    end_failed_receiver(receiver, error)


def _message_of(tick: LoggedTick) -> PriceMessage:
    """Return the message of a delayed tick."""
    return PriceMessage(tick.key, tick.epoch, tick.seq, tick.timestamp, tick.frame, kind=DELAYED)


class DelayedReaders:
    """The readers of one event loop, by their minutes."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._readers: dict[int, DelayedReader] = {}

    def reader(self, minutes: int) -> DelayedReader:
        """Return the reader of a delay, made at the first call."""
        found = self._readers.get(minutes)
        if found is None:
            found = self._readers[minutes] = DelayedReader(minutes, self._client)
        return found

    async def close(self) -> None:
        for reader in self._readers.values():
            await reader.close()


class DelayedSubscriptions:
    """One client's subscriptions to delayed prices.

    Attributes:
        keys: instrument key's text -> key.
        minutes: the same -> how many minutes its prices are delayed.
    """

    def __init__(self, readers: DelayedReaders, receiver: Receiver) -> None:
        self.keys: dict[str, InstrumentKey] = {}
        self.minutes: dict[str, int] = {}
        self._readers = readers
        self._receiver = receiver
        # instrument key -> the key that its name had before, whose last ticks are still to come
        self._former: dict[str, tuple[str, int, asyncio.TimerHandle]] = {}

    def join(self, key: InstrumentKey, minutes: int) -> None:
        """Begin to take an instrument's ticks, that many minutes late."""
        self.keys[str(key)] = key
        self.minutes[str(key)] = minutes
        self._readers.reader(minutes).join(str(key), self._receiver)

    def repeat(self, field: str) -> None:
        """Take an instrument's last tick of that time once more, if it has one."""
        self._readers.reader(self.minutes[field]).join(field, self._receiver)

    def leave(self, field: str) -> None:
        """Take no more ticks of an instrument, nor of the key that its name had before."""
        del self.keys[field]
        self._readers.reader(self.minutes.pop(field)).leave(field, self._receiver)
        self._leave_former(field)

    def finish(self, field: str, minutes: int, *, successor: str) -> None:
        """Take what was logged until now of a key that was left, beside its successor's ticks."""
        self._leave_former(successor)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(minutes * 60, self._leave_former, successor)
        self._former[successor] = field, minutes, timer
        self._readers.reader(minutes).join(field, self._receiver, latest=False)

    def _leave_former(self, successor: str) -> None:
        if (former := self._former.pop(successor, None)) is not None:
            field, minutes, timer = former
            timer.cancel()
            self._readers.reader(minutes).leave(field, self._receiver)

    def end(self) -> None:
        """Leave all."""
        for successor in list(self._former):
            self._leave_former(successor)
        for field in list(self.keys):
            self.leave(field)
