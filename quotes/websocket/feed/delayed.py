"""Late prices: what came some minutes ago, read from the tick log, for who may see no sooner.

One reader for each delay and event loop, not for each client: it goes through the log that many
minutes behind, knows each instrument's last tick at that time, and hands ticks to its clients.
Nobody gets a tick sooner than its minutes after the bridge took it.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec
import redis.asyncio
from redis.exceptions import RedisError

from instruments.keys import InstrumentKey
from quotes.runtime.clock import now_ms
from quotes.store.shards import shard_count_async
from quotes.store.tick_log import BEGINNING, LoggedTick, decode_entry, read_after, tick_message

logger = logging.getLogger(__name__)

Receiver = Callable[[dict[str, Any]], None]

POLL_S = 0.25
# While it catches up with the log it takes this many entries at a time, and a rest between: live
# prices go by the same event loop.
PAGE = 10
REST_S = 0.002
# A reader that nobody has listened to for so long ends, and forgets what it knew.
IDLE_S = 60.0


class LateReader:
    """The tick log as it was some minutes ago."""

    def __init__(self, minutes: int, client: redis.asyncio.Redis) -> None:
        self.delay_ms = minutes * 60_000
        self.client = client
        self.members: dict[str, set[Receiver]] = {}  # instrument key -> who gets its ticks
        self.last: dict[str, LoggedTick] = {}  # instrument key -> its last tick at that time
        self.positions: dict[int, str] = {}  # shard -> id of the last entry read
        self.caught_up = False
        self.problem = ""
        self.closed = False
        self.task: asyncio.Task[None] | None = None

    def join(self, key: str, receiver: Receiver) -> None:
        """Hand the last tick of that time, and those after it, to a receiver."""
        self.members.setdefault(key, set()).add(receiver)
        if self.caught_up and key in self.last:
            receiver(tick_message(*msgspec.structs.astuple(self.last[key])))
        if self.task is None or self.task.done():
            self.positions, self.caught_up = {}, False
            self.last.clear()
            self.task = asyncio.create_task(self.run())

    def leave(self, key: str, receiver: Receiver) -> None:
        members = self.members.get(key, set())
        members.discard(receiver)
        if not members:
            self.members.pop(key, None)

    async def run(self) -> None:
        """Read until nobody listens."""
        loop = asyncio.get_running_loop()
        heard_at = loop.time()
        while not self.closed and loop.time() - heard_at < IDLE_S:
            if self.members:
                heard_at = loop.time()
            pause_s = POLL_S
            try:
                if await self.read():
                    pause_s = REST_S
                self.problem = ""
            except (RedisError, OSError, msgspec.DecodeError) as error:
                if str(error) != self.problem:
                    logger.warning("the tick log cannot be read for late prices: %s", error)
                self.problem = str(error)
            await asyncio.sleep(pause_s)

    async def read(self) -> bool:
        """Read on in the log of each shard; return whether there is more to read."""
        until = now_ms() - self.delay_ms
        more = False
        for shard in range(1, await shard_count_async(self.client) + 1):
            position = self.positions.get(shard, BEGINNING)
            entries = await read_after(self.client, shard, position, page=PAGE, until=str(until))
            for entry in entries:
                for tick in decode_entry(entry.fields):
                    self.take(tick)
                self.positions[shard] = entry.id
            more = more or len(entries) == PAGE
        if not more and not self.caught_up:
            self.caught_up = True
            for key in self.members:
                if key in self.last:
                    self.deliver(self.last[key])
        return more

    def take(self, tick: LoggedTick) -> None:
        if tick.shown:
            self.last[tick.key] = tick
            if self.caught_up:
                self.deliver(tick)

    def deliver(self, tick: LoggedTick) -> None:
        receivers = self.members.get(tick.key)
        if receivers:
            message = tick_message(*msgspec.structs.astuple(tick))
            for receiver in tuple(receivers):
                try:
                    receiver(message)
                except Exception:
                    logger.exception("a client of late prices failed")

    async def close(self) -> None:
        self.closed = True
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])


class LateReaders:
    """The readers of one event loop, by their minutes."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.client = client
        self.readers: dict[int, LateReader] = {}

    def reader(self, minutes: int) -> LateReader:
        found = self.readers.get(minutes)
        if found is None:
            found = self.readers[minutes] = LateReader(minutes, self.client)
        return found

    async def close(self) -> None:
        for reader in self.readers.values():
            await reader.close()


class LateSubscriptions:
    """What one client is subscribed to that comes late."""

    def __init__(self, readers: LateReaders, receiver: Receiver) -> None:
        self.readers = readers
        self.receiver = receiver
        self.keys: dict[str, InstrumentKey] = {}  # instrument key's text -> key
        self.minutes: dict[str, int] = {}  # the same -> how late

    def join(self, key: InstrumentKey, minutes: int) -> None:
        self.keys[str(key)] = key
        self.minutes[str(key)] = minutes
        self.readers.reader(minutes).join(str(key), self.receiver)

    def leave(self, field: str) -> None:
        del self.keys[field]
        self.readers.reader(self.minutes.pop(field)).leave(field, self.receiver)

    def end(self) -> None:
        for field in list(self.keys):
            self.leave(field)
