"""One flush of the bridge: the latest prices, the group messages and the log of a batch of ticks.

With the layer of this project all is one fenced script, so a client that joins a group before it
reads the latest price sees each tick once, in that price or as a message, and each tick is in the
log once. With another layer, prices and log are written first and the messages sent one by one.
"""

import asyncio
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from quotes.bridge.pending import PendingBatch
from quotes.bridge.tick_order import Stream
from quotes.layer.any_layer import Layer
from quotes.layer.lanes import Entry, pack_entries
from quotes.runtime.redis_link import RedisLink
from quotes.store.inbox import positions_key
from quotes.store.latest import RECORD_FORMAT
from quotes.store.lease import HOLD, AsyncLease
from quotes.store.names import own_key
from quotes.store.tick_log import (
    ENTRY_BYTES,
    RECORD,
    SHOWN,
    LogRow,
    count_key,
    log_key,
    tick_message,
)

# KEYS: lease, last holder, latest, log, its count, positions in the inbox. ARGV: token, TTL in ms,
# shard, position or "", count of ticks, count of keys to forget, count of fields and records, then
# those keys, fields and records, and for each lane its number, its channel ("" if its message goes
# by another Redis), and its message. Lua unpacks at most some 8,000 values.
_SCRIPT = (
    HOLD
    + """
local first = 8 + tonumber(ARGV[6])
for i = 8, first - 1 do redis.call('HDEL', KEYS[3], ARGV[i]) end
local last = first - 1 + tonumber(ARGV[7])
for i = first, last, 4000 do
  redis.call('HSET', KEYS[3], unpack(ARGV, i, math.min(i + 3999, last)))
end
if ARGV[5] ~= '0' then
  local fields = {'n', redis.call('INCRBY', KEYS[5], ARGV[5])}
  for i = last + 1, #ARGV, 3 do
    fields[#fields + 1] = ARGV[i]
    fields[#fields + 1] = ARGV[i + 2]
  end
  redis.call('XADD', KEYS[4], '*', unpack(fields))
end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[6], ARGV[3], ARGV[4]) end
for i = last + 1, #ARGV, 3 do
  if ARGV[i + 1] ~= '' then redis.call('PUBLISH', ARGV[i + 1], ARGV[i + 2]) end
end
return 1
"""
)

Records = dict[str, bytes]  # instrument key -> record of its latest price
# lane -> its entries: ticks, and names with messages
Lanes = dict[int, list[LogRow | Entry]]


class LatestChanges(NamedTuple):
    """Changes of the latest prices.

    Attributes:
        forgotten: instrument keys whose records are deleted, before the others are written.
    """

    records: Records
    forgotten: Sequence[str] = ()


class Flush:
    """Writes batches over one link under one lease, in the order in which they are started.

    A batch is written as a whole or, when the lease is lost, not at all. When the connection is
    lost during a write it may be either.

    Attributes:
        logged_bytes: what was appended to the log since the start, about.
        alarm_at: when `logged_bytes` reaches it, `alarm` is set.
    """

    def __init__(self, link: RedisLink, layer: Layer, *, lease: AsyncLease, shard: int) -> None:
        self._link = link
        self._layer = layer
        self._lease = lease
        self._shard = shard
        log = (log_key(shard), count_key(shard))
        self._keys = (*lease.keys, own_key("latest"), *log, positions_key())
        self._sha = b""
        self.logged_bytes = 0
        self.alarm_at = sys.maxsize
        self.alarm = asyncio.Event()
        # Looked up once: a setting takes as long to read as a tick to decide on.
        self._lane_channels = layer.lane_channels() if layer.is_direct else []
        self._previous: asyncio.Task[bool] | None = None

    async def prepare(self) -> None:
        """Load the script; call this once, before anything is written."""
        self._sha = await self._link.command("SCRIPT", "LOAD", _SCRIPT)

    async def write_records(self, records: Records) -> None:
        """Write latest prices and nothing else."""
        await self.script(PendingBatch([]), LatestChanges(records), {}, set())

    def start(self, batch: PendingBatch) -> "asyncio.Future[Any]":
        """Begin a flush; the future's result is false when another bridge has the lease."""
        lanes: Lanes = {}
        newest: dict[Stream, LogRow] = {}
        forgotten: dict[str, None] = {}
        for stream, row in batch.ticks:
            entries = lanes.get(stream.lane)
            if entries is None:
                entries = lanes[stream.lane] = []
            if row is None:
                entries.append((stream.group, _forget_message(stream)))
                forgotten[stream.field] = None
                newest.pop(stream, None)
            else:
                entries.append(row)
                if row[SHOWN]:
                    newest[stream] = row
        # A record ahead of its batch would let a client that reads it get the ticks in between
        # after it: so it is the last of this batch.
        records = {one.field: RECORD_FORMAT % row[RECORD] for one, row in newest.items()}
        changes = LatestChanges(records, list(forgotten))
        layer = self._layer
        if layer.is_direct and len(layer.hosts) == 1:
            return self.script(batch, changes, lanes, set())
        elsewhere = layer.lanes_elsewhere(lanes) if layer.is_direct else set(lanes)
        task = asyncio.create_task(self._in_turn(self._previous, batch, changes, lanes, elsewhere))
        self._previous = task
        return task

    def script(
        self, batch: PendingBatch, changes: LatestChanges, lanes: Lanes, elsewhere: set[int]
    ) -> "asyncio.Future[Any]":
        ticks = sum(row is not None for _, row in batch.ticks)
        args: list[str | bytes | int] = [self._lease.token, self._lease.ttl_ms, self._shard]
        records = changes.records
        args += (batch.position or "", ticks, len(changes.forgotten), 2 * len(records))
        args += changes.forgotten
        for field_and_record in records.items():
            args += field_and_record
        for lane, entries in lanes.items():
            channel = "" if lane in elsewhere else self._lane_channels[lane]
            message = pack_entries(entries)
            self.logged_bytes += len(message)
            args += (lane, channel, message)
        self.logged_bytes += ENTRY_BYTES
        if self.logged_bytes >= self.alarm_at:
            self.alarm.set()
        return self._link.command("EVALSHA", self._sha, len(self._keys), *self._keys, *args)

    async def _in_turn(
        self,
        previous: "asyncio.Task[bool] | None",
        batch: PendingBatch,
        changes: LatestChanges,
        lanes: Lanes,
        elsewhere: set[int],
    ) -> bool:
        if previous is not None and not await previous:
            return False
        if not await self.script(batch, changes, lanes, elsewhere):
            return False
        if self._layer.is_direct:
            for lane in elsewhere:
                await self._layer.publish(lanes[lane], lane)
        else:
            await self._layer.group_send_many(
                [
                    (stream.group, _forget_message(stream) if row is None else tick_message(*row))
                    for stream, row in batch.ticks
                    if row is None or row[SHOWN]
                ]
            )
        return True


def _forget_message(stream: Stream) -> dict[str, Any]:
    """Return the group message of a stream that starts over."""
    return {"type": "quote.forget", "key": stream.field}
