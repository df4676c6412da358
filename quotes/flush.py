"""One flush of the bridge: the latest prices, the group messages and the log of a batch of ticks.

With the layer of this project all is one fenced script, so who joined a group before reading the
latest price sees each tick once, in the price that was read or as a message, and each tick is in
the log once. With another layer prices and log are written first and the messages sent one by one.
"""

import asyncio
from typing import Any

from quotes.inbox import positions_key
from quotes.lane_host import lane_channel
from quotes.lanes import LANES, Entry, pack_entries
from quotes.layer import QuotesChannelLayer
from quotes.lease import HOLD, Lease
from quotes.outcomes import Batch
from quotes.redis_link import RedisLink
from quotes.store import own_key
from quotes.streams import Stream
from quotes.ticklog import LogRow, count_key, encode_entry, log_key

# KEYS: lease, last holder, latest, log, its count, positions in the inbox. ARGV: token, life in ms,
# shard, position or "", count and text of the log's ticks, count of fields and records, these, then
# channels and payloads. Lua unpacks at most about 8,000 values.
SCRIPT = (
    HOLD
    + """
local last = 7 + tonumber(ARGV[7])
for i = 8, last, 4000 do
  redis.call('HSET', KEYS[3], unpack(ARGV, i, math.min(i + 3999, last)))
end
if ARGV[5] ~= '0' then
  local n = redis.call('INCRBY', KEYS[5], ARGV[5])
  redis.call('XADD', KEYS[4], '*', 'n', n, 't', ARGV[6])
end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[6], ARGV[3], ARGV[4]) end
for i = last + 1, #ARGV, 2 do redis.call('PUBLISH', ARGV[i], ARGV[i + 1]) end
return 1
"""
)

Records = dict[str, bytes]  # instrument key -> record of its latest price
Lanes = dict[int, list[Entry]]


class Flush:
    """Writes batches over one link under one lease, in the order in which they are started."""

    def __init__(self, link: RedisLink, layer: Any, *, lease: Lease, shard: int) -> None:
        self.link = link
        self.layer = layer
        self.lease = lease
        self.shard = shard
        log = (log_key(shard), count_key(shard))
        self.keys = (lease.name, lease.last_holder, own_key("latest"), *log, positions_key())
        self.sha = b""
        # Looked up once: a setting takes as long to read as a tick to decide on.
        self.lane_channels = [lane_channel(lane) for lane in range(LANES)]
        self.previous: asyncio.Task[bool] | None = None

    async def prepare(self) -> None:
        self.sha = await self.link.command("SCRIPT", "LOAD", SCRIPT)

    async def write_records(self, records: Records) -> None:
        """Write latest prices and nothing else."""
        await self.script(records, [], None, {})

    def start(self, batch: Batch) -> "asyncio.Future[Any]":
        """Begin a flush; the future's result is false when the lease is another's."""
        lanes: Lanes = {}
        rows: list[LogRow] = []
        newest: dict[Stream, LogRow] = {}
        for stream, message, row in batch.outcomes:
            if row is not None:
                rows.append(row)
            if message is not None:
                entries = lanes.get(stream.lane)
                if entries is None:
                    entries = lanes[stream.lane] = []
                entries.append((stream.group, message))
                if row is not None:
                    newest[stream] = row
        # A record ahead of its batch would let a client that reads it see the ticks in between as
        # news: so it is the last of the batch's own.
        records = {one.field: b"%d %d %d %b" % row[1:5] for one, row in newest.items()}
        if not isinstance(self.layer, QuotesChannelLayer):
            mine, others = {}, lanes
        elif len(self.layer.hosts) == 1:
            return self.script(records, rows, batch.position, lanes)
        else:
            here = {lane for lane in lanes if self.layer.host_index(lane) == 0}
            mine = {lane: entries for lane, entries in lanes.items() if lane in here}
            others = {lane: entries for lane, entries in lanes.items() if lane not in here}
        write = (records, rows, batch.position, mine)
        task = asyncio.create_task(self.in_turn(self.previous, write, others))
        self.previous = task
        return task

    def script(
        self, records: Records, rows: list[LogRow], position: bytes | None, lanes: Lanes
    ) -> "asyncio.Future[Any]":
        args: list[str | bytes | int] = [self.lease.token, self.lease.life_ms]
        args += (self.shard, position or "", len(rows), encode_entry(rows), 2 * len(records))
        for field_and_record in records.items():
            args += field_and_record
        for lane, messages in lanes.items():
            args += (self.lane_channels[lane], pack_entries(messages))
        return self.link.command("EVALSHA", self.sha, len(self.keys), *self.keys, *args)

    async def in_turn(
        self,
        previous: "asyncio.Task[bool] | None",
        write: tuple[Records, list[LogRow], bytes | None, Lanes],
        others: Lanes,
    ) -> bool:
        if previous is not None and not await previous:
            return False
        if not await self.script(*write):
            return False
        entries = [entry for lane in others.values() for entry in lane]
        if isinstance(self.layer, QuotesChannelLayer):
            await self.layer.group_send_many(entries)
        else:
            for group, message in entries:
                await self.layer.group_send(group, message)
        return True
