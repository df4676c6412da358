"""One flush of the bridge: the latest prices, the group messages and the log of a batch of ticks.

With the layer of this project all is one fenced script, so who joined a group before reading the
latest price sees each tick once, in the price that was read or as a message, and each tick is in
the log once. With another layer prices and log are written first and the messages sent one by one.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from quotes.bridge.pending import Batch
from quotes.bridge.streams import Stream
from quotes.layer.any_layer import Layer
from quotes.layer.lanes import Entry, pack_entries
from quotes.runtime.redis_link import RedisLink
from quotes.store.inbox import positions_key
from quotes.store.lease import HOLD, AsyncLease
from quotes.store.names import own_key
from quotes.store.tick_log import SHOWN, LogRow, count_key, log_key, tick_message

# KEYS: lease, last holder, latest, log, its count, positions in the inbox. ARGV: token, TTL in ms,
# shard, position or "", count of ticks, count of keys to forget, count of fields and records, then
# those keys, fields and records, and for each lane its number, its channel or "" where another
# way leads there, and its message. Lua unpacks at most some 8,000 values.
SCRIPT = (
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


class Changes(NamedTuple):
    """What becomes of the latest prices.

    Attributes:
        forgotten: instrument keys that have none any more; they go before the records come.
    """

    records: Records
    forgotten: Sequence[str] = ()


class Flush:
    """Writes batches over one link under one lease, in the order in which they are started."""

    def __init__(self, link: RedisLink, layer: Layer, *, lease: AsyncLease, shard: int) -> None:
        self.link = link
        self.layer = layer
        self.lease = lease
        self.shard = shard
        log = (log_key(shard), count_key(shard))
        self.keys = (*lease.keys, own_key("latest"), *log, positions_key())
        self.sha = b""
        # Looked up once: a setting takes as long to read as a tick to decide on.
        self.lane_channels = layer.lane_channels() if layer.is_direct else []
        self.previous: asyncio.Task[bool] | None = None

    async def prepare(self) -> None:
        self.sha = await self.link.command("SCRIPT", "LOAD", SCRIPT)

    async def write_records(self, records: Records) -> None:
        """Write latest prices and nothing else."""
        await self.script(Batch([]), Changes(records), {}, set())

    def start(self, batch: Batch) -> "asyncio.Future[Any]":
        """Begin a flush; the future's result is false when the lease is another's."""
        lanes: Lanes = {}
        newest: dict[Stream, LogRow] = {}
        forgotten: dict[str, None] = {}
        for stream, row in batch.outcomes:
            entries = lanes.get(stream.lane)
            if entries is None:
                entries = lanes[stream.lane] = []
            if row is None:
                entries.append((stream.group, forget_message(stream)))
                forgotten[stream.field] = None
                newest.pop(stream, None)
            else:
                entries.append(row)
                if row[SHOWN]:
                    newest[stream] = row
        # A record ahead of its batch would let a client that reads it see the ticks in between as
        # news: so it is the last of the batch's own.
        records = {one.field: b"%d %d %d %b" % row[1:5] for one, row in newest.items()}
        changes = Changes(records, list(forgotten))
        layer = self.layer
        if layer.is_direct and len(layer.hosts) == 1:
            return self.script(batch, changes, lanes, set())
        elsewhere = layer.lanes_elsewhere(lanes) if layer.is_direct else set(lanes)
        task = asyncio.create_task(self.in_turn(self.previous, batch, changes, lanes, elsewhere))
        self.previous = task
        return task

    def script(
        self, batch: Batch, changes: Changes, lanes: Lanes, elsewhere: set[int]
    ) -> "asyncio.Future[Any]":
        ticks = sum(row is not None for _, row in batch.outcomes)
        args: list[str | bytes | int] = [self.lease.token, self.lease.ttl_ms, self.shard]
        records = changes.records
        args += (batch.position or "", ticks, len(changes.forgotten), 2 * len(records))
        args += changes.forgotten
        for field_and_record in records.items():
            args += field_and_record
        for lane, entries in lanes.items():
            channel = "" if lane in elsewhere else self.lane_channels[lane]
            args += (lane, channel, pack_entries(entries))
        return self.link.command("EVALSHA", self.sha, len(self.keys), *self.keys, *args)

    async def in_turn(
        self,
        previous: "asyncio.Task[bool] | None",
        batch: Batch,
        changes: Changes,
        lanes: Lanes,
        elsewhere: set[int],
    ) -> bool:
        if previous is not None and not await previous:
            return False
        if not await self.script(batch, changes, lanes, elsewhere):
            return False
        if self.layer.is_direct:
            for lane in elsewhere:
                await self.layer.publish(lanes[lane], lane)
        else:
            await self.layer.group_send_many(
                [
                    (stream.group, forget_message(stream) if row is None else tick_message(*row))
                    for stream, row in batch.outcomes
                    if row is None or row[SHOWN]
                ]
            )
        return True


def forget_message(stream: Stream) -> dict[str, Any]:
    """Return the group message that a stream starts over."""
    return {"type": "quote.forget", "key": stream.field}
