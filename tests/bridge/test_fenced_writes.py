"""Writes under a lease: a script and a transaction do the same, or nothing when it is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from channels.layers import get_channel_layer
from redis import Redis

from quotes.bridge.counters import BridgeCounters
from quotes.bridge.fenced_writes import LARGE, FencedWrites, Write
from quotes.bridge.flush import Flush
from quotes.bridge.market import Market
from quotes.bridge.writer import TickWriter
from quotes.layer import QuotesChannelLayer
from quotes.layer.lanes import pack_entries, unpack_entries
from quotes.runtime.redis_link import RedisDown, RedisLink
from quotes.store.inbox import positions_key
from quotes.store.latest import decode_latest
from quotes.store.lease import AsyncLease
from quotes.store.names import lease_key
from quotes.store.tick_log import LoggedTick, LogRow, decode_entry
from tests.ticks import MOMENT, message
from tests.valkey import ValkeyProcess
from tests.waiting import eventually

TTL_MS = 60_000
LANES = ("quotes:lane:1", "quotes:lane:2")
LEASE = lease_key(1)


def write_of(number: int, *, count: int = LARGE, position: bytes | None = None) -> Write:
    """Return write number `number`: `count` ticks of one epoch, in two lanes."""
    first = number * count + 1
    rows: list[LogRow] = [
        (f"S{seq % 50}", MOMENT, seq, MOMENT + seq, b'{"price":%d}' % seq, True, MOMENT)
        for seq in range(first, first + count)
    ]
    records: list[str | bytes] = []
    for row in rows[-50:]:
        records += (row[0], b"%d %d %d %b" % row[1:5])
    messages = [pack_entries(rows[:10]), pack_entries(rows[10:])]
    published: list[str | bytes] = [LANES[0], messages[0], LANES[1], messages[1]]
    return Write(records, published, (), count, position)


class Session:
    """The writes of one holder of the lease.

    Attributes:
        sub: hears the lanes.
    """

    def __init__(self, redis: Redis, link: RedisLink, lease: AsyncLease) -> None:
        self.redis: Any = redis
        self.link = link
        self.lease = lease
        self.writes = FencedWrites(link, lease=lease, shard=1)
        self.sub: Any = redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        self.sub.subscribe(*LANES)
        self.sub.get_message(timeout=1)
        self.sub.get_message(timeout=1)

    async def arm(self) -> None:
        """Write a large write, behind which the next is a transaction."""
        assert await self.writes.write(write_of(0))
        await self.link.ping()

    def transactions(self) -> int:
        """Return how many transactions Redis has carried out or refused since the start."""
        stats: Any = self.redis.info("commandstats")
        one = stats.get("cmdstat_exec", {"calls": 0, "rejected_calls": 0})
        return cast(int, one["calls"] + one.get("rejected_calls", 0))

    def logged(self) -> list[LoggedTick]:
        entries: Any = self.redis.xrange("quotes:log:1")
        return [tick for _, fields in entries for tick in decode_entry(fields)]

    def heard(self) -> list[int]:
        """Return the numbers of the ticks that came by the lanes since the last call."""
        seqs: list[int] = []
        while (one := self.sub.get_message(timeout=0.05)) is not None:
            seqs += [row[2] for row in unpack_entries(one["data"])]
        return sorted(seqs)

    def state(self) -> dict[str, Any]:
        """Return everything that writes change."""
        entries: Any = self.redis.xrange("quotes:log:1")
        return {
            "latest": self.redis.hgetall("quotes:latest"),
            "log": [fields for _, fields in entries],
            "count": self.redis.get("quotes:log:1:n"),
            "positions": self.redis.hgetall(positions_key()),
            "heard": self.heard(),
        }


@asynccontextmanager
async def session(redis: Redis, url: str) -> AsyncIterator[Session]:
    link = await RedisLink.connect(url)
    lease = AsyncLease(LEASE, status_key="quotes:status:1", ttl_ms=TTL_MS)
    assert await lease.acquire(link)
    one = Session(redis, link, lease)
    try:
        await one.writes.prepare()
        yield one
    finally:
        link.close()
        one.sub.close()


async def test_transaction_does_what_the_script_does(
    redis: Redis, redis_server: ValkeyProcess
) -> None:
    """Records, log, count, position in the inbox and messages are the same, whichever wrote."""
    states = []
    for by_script in (True, False):
        redis.flushall()
        async with session(redis, redis_server.url) as one:
            write = one.writes.script if by_script else one.writes.write
            before = one.transactions()
            for number in range(3):
                assert await write(write_of(number, position=b"%d-0" % number))
                await one.link.ping()
            assert one.transactions() - before == (0 if by_script else 2)
            assert 0 < redis.pttl(LEASE) <= TTL_MS
            states.append(one.state())
    assert states[0] == states[1]
    assert states[0]["heard"] == list(range(1, 3 * LARGE + 1))
    assert states[0]["count"] == b"%d" % (3 * LARGE)
    assert states[0]["positions"] == {b"1": b"2-0"}


@pytest.mark.parametrize("count", [LARGE - 1, LARGE])
async def test_nothing_is_written_once_another_has_the_lease(
    redis: Redis, redis_server: ValkeyProcess, count: int
) -> None:
    """A write that was prepared before another process took the lease does nothing."""
    async with session(redis, redis_server.url) as one:
        await one.arm()
        state = one.state()
        redis.set(LEASE, "another", px=TTL_MS)
        assert not await one.writes.write(write_of(1, count=count))
        assert one.state() == {**state, "heard": []}
        assert redis.get(LEASE) == b"another"


def renew(redis: Redis) -> None:
    redis.pexpire(LEASE, TTL_MS)


def expire(redis: Redis) -> None:
    redis.delete(LEASE)


@pytest.mark.parametrize("touch", [renew, expire])
async def test_lease_that_was_touched_is_still_held(
    redis: Redis, redis_server: ValkeyProcess, touch: Callable[[Redis], None]
) -> None:
    """A transaction discarded by a renewal, or by an expiry, is made up for by the script, once."""
    async with session(redis, redis_server.url) as one:
        await one.arm()
        before = one.transactions()
        touch(redis)
        assert await one.writes.write(write_of(1))
        assert one.transactions() == before + 1
        assert [tick.seq for tick in one.logged()] == list(range(1, 2 * LARGE + 1))
        assert one.heard() == list(range(1, 2 * LARGE + 1))
        assert redis.get(LEASE) == one.lease.token.encode()


async def test_lease_that_is_gone_with_all_data_is_lost(
    redis: Redis, redis_server: ValkeyProcess
) -> None:
    """After FLUSHALL a prepared write does nothing."""
    async with session(redis, redis_server.url) as one:
        await one.arm()
        redis.flushall()
        assert not await one.writes.write(write_of(1))
        assert redis.dbsize() == 0


async def test_small_write_between_two_large_ones(
    redis: Redis, redis_server: ValkeyProcess
) -> None:
    """Each is written once and in order, and a transaction follows the next large one."""
    async with session(redis, redis_server.url) as one:
        await one.arm()
        before = one.transactions()
        for write in (write_of(LARGE, count=1), write_of(1), write_of(2)):
            assert await one.writes.write(write)
            await one.link.ping()
        assert one.transactions() == before + 1
        assert len(one.logged()) == 3 * LARGE + 1


async def test_full_redis_takes_large_writes(redis: Redis, redis_server: ValkeyProcess) -> None:
    """Where Redis refuses a transaction for want of memory, each write is there once, in order."""
    async with session(redis, redis_server.url) as one:
        await one.arm()
        redis.config_set("maxmemory", "1mb")
        try:
            for number in range(1, 5):
                assert await one.writes.write(write_of(number))
        finally:
            redis.config_set("maxmemory", "0")
        assert [tick.seq for tick in one.logged()] == list(range(1, 5 * LARGE + 1))
        assert one.heard() == list(range(1, 5 * LARGE + 1))


async def test_account_without_transactions_writes_by_script(
    redis: Redis, redis_server: ValkeyProcess
) -> None:
    """Redis refuses MULTI to it: no command of a transaction is carried out alone."""
    rules = ["~*", "&*", "+@all", "-multi", "-exec"]
    redis.acl_setuser("plain", enabled=True, passwords=["+secret"], reset=True)
    cast(Any, redis).execute_command("ACL", "SETUSER", "plain", *rules)
    try:
        async with session(redis, redis_server.url.replace("//", "//plain:secret@")) as one:
            for number in range(3):
                assert await one.writes.write(write_of(number))
                await one.link.ping()
            assert [tick.seq for tick in one.logged()] == list(range(1, 3 * LARGE + 1))
    finally:
        redis.acl_deluser("plain")


async def test_records_that_redis_refuses_end_the_write(
    redis: Redis, redis_server: ValkeyProcess
) -> None:
    """An error within a transaction is the write's."""
    async with session(redis, redis_server.url) as one:
        await one.arm()
        redis.set("quotes:latest", "no hash")
        with pytest.raises(Exception, match="WRONGTYPE"):
            await one.writes.write(write_of(1))


async def test_lost_connection_fails_a_large_write(
    redis: Redis, redis_server: ValkeyProcess
) -> None:
    """Both a script and a transaction raise RedisDown, and the next write too."""
    async with session(redis, redis_server.url) as one:
        await one.arm()
        writing = one.writes.write(write_of(1))
        one.link.abort()
        with pytest.raises(RedisDown):
            await writing
        with pytest.raises(RedisDown):
            await one.writes.write(write_of(2))


async def test_no_write_starts_while_a_large_one_is_under_way(
    redis: Redis, redis_server: ValkeyProcess
) -> None:
    """Ticks that come meanwhile wait: a transaction may have to be repeated, and stays in order."""
    layer = get_channel_layer()
    assert isinstance(layer, QuotesChannelLayer)
    link = await RedisLink.connect(redis_server.url)
    lease = AsyncLease(LEASE, status_key="quotes:status:1", ttl_ms=TTL_MS)
    assert await lease.acquire(link)
    flush = Flush(link, layer, lease=lease, shard=1)
    await flush.prepare()
    market = Market(prefix="stock:", warn=lambda kind, text: None)
    counters = BridgeCounters(market.counters)
    ended: list[Exception | None] = []
    writer = TickWriter(market, flush, counters, link=link, sub=link, on_end=ended.append)
    try:
        sent = 0
        for _ in range(4):
            for count in (LARGE, 3):
                texts = [message("A", str(n), MOMENT + n) for n in range(sent, sent + count)]
                market.take([(b"stock:A", text.encode()) for text in texts])
                sent += count
                writer.write()
            assert not flush.ready and len(market.pending) == 3
            redis.pexpire(LEASE, TTL_MS)
            await writer.drain()
        await eventually(lambda: counters.sent == sent)
        entries: Any = redis.xrange("quotes:log:1")
        seqs = [tick.seq for _, fields in entries for tick in decode_entry(fields)]
        assert seqs == list(range(1, sent + 1)) and not ended
        assert decode_latest(cast(Any, redis.hget("quotes:latest", "A"))).seq == sent
    finally:
        writer.close()
        link.close()
        await asyncio.sleep(0)
