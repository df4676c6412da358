"""The bridge of the state machine: it takes ticks when it is called, and knows what it numbered."""

import asyncio
from typing import Any, Literal
from unittest import mock

import msgspec
from redis import Redis

from quotes.bridge import epochs
from quotes.bridge.epochs import Numbering
from quotes.bridge.flush import Flush
from quotes.bridge.market import Market
from quotes.layer import QuotesChannelLayer
from quotes.runtime.redis_link import RedisLink
from quotes.store.lease import AsyncLease
from quotes.store.names import lease_key, status_keys
from quotes.store.tick_log import EPOCH, SEQ
from quotes.ticks import read_frame
from tests.ticks import MOMENT, message

# What Redis has when it is back: everything, what it had at the last `save`, or nothing.
Data = Literal["complete", "saved", "empty"]


class MachineBridge:
    """Market, numbering and flush of a bridge, without its tasks and publishers.

    The price of a tick is its ordinal: how many ticks of its symbol were published, with it.

    Attributes:
        published: symbol -> the ordinal of its last tick.
        numbered: symbol, epoch and seq -> the ordinal of the tick that was given this number.
        continues: whether no number started over so far.
        starts: symbol and ordinal of each tick with which a new bridge began, from what Redis had.
        sessions: how many times it began to work.
    """

    def __init__(self, redis: Redis, layer: QuotesChannelLayer, symbols: str) -> None:
        self.redis = redis
        self.layer = layer
        self.published = dict.fromkeys(symbols, 0)
        self.numbered: dict[tuple[str, int, int], int] = {}
        self.continues = True
        self.starts: set[tuple[str, int]] = set()
        self.writes: list[asyncio.Future[Any]] = []
        self._runs = 0  # of the Redis server
        self.sessions = 0
        self._file: dict[bytes, bytes] = {}
        self._begin()

    def _begin(self) -> None:
        self.market = Market(prefix="stock:", warn=lambda kind, text: None)
        self._numbering = Numbering(1)
        self._lease = AsyncLease(lease_key(1), status_key=status_keys(1)[0], ttl_ms=60_000)

    async def work(self) -> None:
        """Take the lease and find out how numbers go on, as at the beginning of a session."""
        self.link = await RedisLink.connect(self.layer.hosts[0])
        assert await self._lease.acquire(self.link)
        self._flush = Flush(self.link, self.layer, lease=self._lease, shard=1)
        await self._flush.prepare()
        master = epochs._Master(str(self._runs), f"{self._runs}:1")

        async def read_master(link: RedisLink) -> epochs._Master:
            return master

        with mock.patch.object(epochs, "_read_master", read_master):
            await self._numbering.restore(self.link, self.market, self._flush)
        self._numbering.is_current = True
        self.sessions += 1
        status = msgspec.json.encode({"last_tick": None, "session": str(self.sessions)})
        assert await self._lease.renew(self.link, status)
        for field, stream in self.market.streams.items():
            self._note(field, stream.epoch, stream.seq, self.newest(field))

    def publish(self, symbol: str) -> int:
        """Publish the next tick of a symbol, without a turn of the event loop; return its price."""
        ordinal = self.published[symbol] = self.published[symbol] + 1
        text = message(symbol, str(ordinal), MOMENT + ordinal)
        self.market.take([(f"stock:{symbol}".encode(), text.encode())])
        batch = self.market.pending.take(10)
        for stream, row in batch.ticks:
            assert row is not None
            self._note(stream.field, row[EPOCH], row[SEQ], ordinal)
        self.writes.append(self._flush.start(batch))
        return ordinal

    def _note(self, symbol: str, epoch: int, seq: int, ordinal: int) -> None:
        if seq == 0:
            self.starts.add((symbol, ordinal))
        before = self.numbered.setdefault((symbol, epoch, seq), ordinal)
        assert before == ordinal, f"{symbol} {epoch} {seq} for {before} and for {ordinal}"

    def newest(self, symbol: str) -> int:
        """Return the price that the bridge showed last, 0 if none."""
        stream = self.market.streams.get(symbol)
        return int(read_frame(stream.frame).price) if stream else 0

    @property
    def forgotten(self) -> list[str]:
        """The symbols of which this bridge does not know the newest price."""
        return [name for name, ordinal in self.published.items() if self.newest(name) != ordinal]

    async def written(self) -> None:
        """Return when all ticks are written."""
        assert all(await asyncio.gather(*self.writes))
        self.writes.clear()

    def save(self) -> None:
        """Let Redis write its file."""
        self._file = self._dump()

    def _dump(self) -> dict[bytes, bytes]:
        keys: Any = self.redis.keys("quotes:*")
        leases = {key.encode() for key in self._lease.keys}
        return {key: self.redis.dump(key) for key in keys if key not in leases}  # type: ignore[misc]

    async def restart_redis(self, data: Data, *, same_bridge: bool) -> None:
        """Let Redis stop and come back with some data; `work` is due afterwards."""
        await self.written()
        self.link.close()
        file = {"complete": self._dump(), "saved": self._file, "empty": {}}[data]
        # A bridge that did not write what it finds cannot know that it is everything.
        self.continues = self.continues and data == "complete" and same_bridge
        self.redis.flushall()
        for key, value in file.items():
            self.redis.restore(key, 0, value)
        self._file = file
        self._runs += 1
        if not same_bridge:
            self._begin()

    def close(self) -> None:
        self.link.close()
