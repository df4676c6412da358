"""One flush of the bridge: the latest prices, the group messages and the log of a batch of ticks.

With the layer of this project all is one fenced write, so a client that joins a group before it
reads the latest price sees each tick once, in that price or as a message, and each tick is in the
log once. With another layer, prices and log are written first and the messages sent one by one.
"""

import asyncio
import sys
from collections.abc import Iterable
from typing import Any

from quotes.bridge.batches import (
    Lanes,
    alternating,
    forget_message,
    pack_batch,
    records_of,
    sort_batch,
)
from quotes.bridge.fenced_writes import FencedWrites, Write
from quotes.bridge.pending import PendingBatch
from quotes.layer.any_layer import Layer
from quotes.layer.lanes import LANES, pack_entries
from quotes.runtime.redis_link import RedisLink
from quotes.store.lease import AsyncLease
from quotes.store.tick_log import ENTRY_BYTES, SHOWN, tick_message

Records = dict[str, bytes]  # instrument key -> record of its latest price


class Flush:
    """Writes batches over one link under one lease, in the order in which they are started.

    A batch is written as a whole or, when the lease is lost, not at all. When the connection is
    lost during a write it may be either.

    Attributes:
        logged_bytes: what was appended to the log since the start, about.
        alarm_at: when `logged_bytes` reaches it, `alarm` is set.
    """

    def __init__(self, link: RedisLink, layer: Layer, *, lease: AsyncLease, shard: int) -> None:
        self._layer = layer
        self._writes = FencedWrites(link, lease=lease, shard=shard)
        self.logged_bytes = 0
        self.alarm_at = sys.maxsize
        self.alarm = asyncio.Event()
        # Looked up once: a setting takes as long to read as a tick to decide on.
        channels = layer.lane_channels() if layer.is_direct else map(str, range(LANES))
        self._lane_names = list(channels)
        self._is_one_step = layer.is_direct and len(layer.hosts) == 1
        self._previous: asyncio.Task[bool] | None = None

    @property
    def ready(self) -> bool:
        """Whether a batch may be started now; false until a large one before it is written."""
        return self._writes.ready

    async def prepare(self) -> None:
        """Load the script; call this once, before anything is written."""
        await self._writes.prepare()

    async def write_records(self, records: Records) -> None:
        """Write latest prices and nothing else."""
        await self._writes.script(Write(alternating(records)))

    def start(self, batch: PendingBatch) -> "asyncio.Future[Any]":
        """Begin a flush; the future's result is false when another bridge has the lease."""
        self.logged_bytes += ENTRY_BYTES
        position = batch.position
        if self._is_one_step:
            packed, records, forgotten, ticks, batch.shown = pack_batch(batch.ticks, LANES)
            published = self._named(enumerate(packed))
            return self._writes.write(Write(records, published, (), ticks, position, forgotten))
        lanes, newest, forgotten, ticks, batch.shown = sort_batch(batch.ticks, LANES)
        used = {lane for lane, entries in enumerate(lanes) if entries}
        elsewhere = self._layer.lanes_elsewhere(used) if self._layer.is_direct else used
        published, logged = (
            self._named((lane, pack_entries(lanes[lane])) for lane in sorted(chosen))
            for chosen in (used - elsewhere, elsewhere)
        )
        write = Write(records_of(newest), published, logged, ticks, position, forgotten)
        task = asyncio.create_task(self._in_turn(self._previous, batch, write, lanes, elsewhere))
        self._previous = task
        return task

    def _named(self, messages: Iterable[tuple[int, bytes]]) -> list[str | bytes]:
        """Return the names of lanes and their messages, in turn, which are to be logged."""
        named: list[str | bytes] = []
        for lane, message in messages:
            if message:
                self.logged_bytes += len(message)
                named += (self._lane_names[lane], message)
        if self.logged_bytes >= self.alarm_at:
            self.alarm.set()
        return named

    async def _in_turn(
        self,
        previous: "asyncio.Task[bool] | None",
        batch: PendingBatch,
        write: Write,
        lanes: Lanes,
        elsewhere: set[int],
    ) -> bool:
        if previous is not None and not await previous:
            return False
        if not await self._writes.script(write):
            return False
        if self._layer.is_direct:
            for lane in elsewhere:
                await self._layer.publish(lanes[lane], lane)
        else:
            await self._layer.group_send_many(
                [
                    (stream.group, forget_message(stream) if row is None else tick_message(*row))
                    for stream, row in batch.ticks
                    if row is None or row[SHOWN]
                ]
            )
        return True
