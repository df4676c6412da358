"""One flush of the bridge: the latest prices and the group messages of a batch of ticks.

With the layer of this project both are one fenced script, so who joined a group before reading the
latest price sees each tick once: in the price that was read, or as a message. With another layer
the latest prices are written first and the messages sent one by one.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from quotes.lane_host import lane_channel
from quotes.lanes import LANES, Entry, by_lane, lane_of, pack_entries
from quotes.layer import QuotesChannelLayer
from quotes.lease import HOLD, Lease
from quotes.redis_link import RedisLink

# KEYS: lease, last holder, latest. ARGV: token, life in ms, count of fields and records, these,
# then channels and payloads. Lua unpacks at most about 8,000 values.
SCRIPT = (
    HOLD
    + """
local last = 3 + tonumber(ARGV[3])
for i = 4, last, 4000 do
  redis.call('HSET', KEYS[3], unpack(ARGV, i, math.min(i + 3999, last)))
end
for i = last + 1, #ARGV, 2 do redis.call('PUBLISH', ARGV[i], ARGV[i + 1]) end
return 1
"""
)

Records = dict[str, bytes]  # instrument key -> record of its latest price


def newest_records(entries: Iterable[Entry]) -> Records:
    """Return the record of the newest tick of each instrument among group messages.

    Just that of these messages: a record ahead of them would let a client that reads it see the
    ticks in between as news.
    """
    newest = {message["key"]: message for _, message in entries}
    return {
        key: b"%d %d %d %b"
        % (message["epoch"], message["seq"], message["timestamp"], message["frame"].encode())
        for key, message in newest.items()
        if message["type"] == "quote.tick"
    }


class Flush:
    """Writes batches over one link under one lease, in the order in which they are started."""

    def __init__(self, link: RedisLink, layer: Any, *, lease: Lease, latest: str) -> None:
        self.link = link
        self.layer = layer
        self.lease = lease
        self.keys = (lease.name, lease.last_holder, latest)
        self.sha = b""
        # Looked up once: a setting takes as long to read as a tick to decide on.
        self.lane_channels = [lane_channel(lane) for lane in range(LANES)]
        self.previous: asyncio.Task[bool] | None = None

    async def prepare(self) -> None:
        self.sha = await self.link.command("SCRIPT", "LOAD", SCRIPT)

    def start(self, records: Records, entries: list[Entry]) -> "asyncio.Future[Any]":
        """Begin a flush; the future's result is false when the lease is another's."""
        if isinstance(self.layer, QuotesChannelLayer):
            if len(self.layer.hosts) == 1:
                return self.script(records, entries)
            mine = [e for e in entries if self.layer.host_index(lane_of(e[0])) == 0]
            others = [e for e in entries if self.layer.host_index(lane_of(e[0])) != 0]
        else:
            mine, others = [], entries
        task = asyncio.create_task(self.in_turn(self.previous, records, mine, others))
        self.previous = task
        return task

    def script(self, records: Records, entries: Iterable[Entry]) -> "asyncio.Future[Any]":
        args: list[str | bytes | int] = [self.lease.token, self.lease.life_ms, 2 * len(records)]
        for field_and_record in records.items():
            args += field_and_record
        for lane, messages in by_lane(entries).items():
            args += (self.lane_channels[lane], pack_entries(messages))
        return self.link.command("EVALSHA", self.sha, 3, *self.keys, *args)

    async def in_turn(
        self,
        previous: "asyncio.Task[bool] | None",
        records: Records,
        mine: list[Entry],
        others: list[Entry],
    ) -> bool:
        if previous is not None and not await previous:
            return False
        if not await self.script(records, mine):
            return False
        if isinstance(self.layer, QuotesChannelLayer):
            await self.layer.group_send_many(others)
        else:
            for group, message in others:
                await self.layer.group_send(group, message)
        return True
