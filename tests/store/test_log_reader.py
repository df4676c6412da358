"""Reading the tick log: on from a position, a page at a time, in either direction."""

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from quotes.store.tick_log import (
    BEGINNING,
    LogReader,
    RawEntry,
    count_key,
    log_key,
    newest_position,
    position_order,
    read_after,
    read_before,
)
from tests.valkey import ValkeyProcess


def fill(redis: Redis, entries: int, shard: int = 1) -> list[RawEntry]:
    """Log entries of two ticks each; return them as they are read."""
    for number in range(1, entries + 1):
        redis.xadd(log_key(shard), {"n": number * 2, "0": b"x"}, id=f"{number}-0")
    redis.set(count_key(shard), entries * 2)
    return [
        RawEntry(shard, f"{number}-0", {b"n": b"%d" % (number * 2), b"0": b"x"})
        for number in range(1, entries + 1)
    ]


@pytest.mark.parametrize("protocol", [2, 3])
def test_reader_reads_on_in_all_shards(
    redis: Redis, redis_server: ValkeyProcess, protocol: int
) -> None:
    """Each page is behind the one before it, whatever the protocol; then there are none."""
    expected = fill(redis, 5) + fill(redis, 3, shard=2)
    with Redis.from_url(redis_server.url, protocol=protocol) as client:
        reader = LogReader(client, {1: BEGINNING, 2: BEGINNING}, page=2)
        pages = [reader.read(wait_ms=None) for _ in range(4)]
        assert [len(page) for page in pages] == [4, 3, 1, 0]
        assert sorted(entry for page in pages for entry in page) == sorted(expected)
        assert reader.positions == {1: "5-0", 2: "3-0"}
        assert reader.logged() == {1: 10, 2: 6}
        assert reader.read(wait_ms=1) == []


async def test_pages_go_either_way(redis: Redis, redis_server: ValkeyProcess) -> None:
    """Behind a position oldest first, up to a time; before one newest first."""
    entries = fill(redis, 5)
    client = AsyncRedis.from_url(redis_server.url)
    assert await read_after(client, 1, BEGINNING, page=2) == entries[:2]
    assert await read_after(client, 1, "2-0", page=9) == entries[2:]
    assert await read_after(client, 1, "2-0", page=9, until="4") == entries[2:4]
    assert await read_before(client, 1, None, page=2) == [entries[4], entries[3]]
    assert await read_before(client, 1, "3-0", page=9) == [entries[1], entries[0]]
    assert await read_after(client, 2, BEGINNING, page=2) == []
    await client.aclose()


def test_newest_position_outlives_its_entry(redis: Redis) -> None:
    """The log's newest id is that of the last entry, also when that entry is gone."""
    assert newest_position(redis, 1) == BEGINNING
    entries = fill(redis, 3)
    redis.xdel(log_key(1), "3-0")
    assert newest_position(redis, 1) == "3-0"
    assert entries[2].n == 6


def test_positions_are_compared_by_number() -> None:
    mixed = ["10-10", "10-0", "9-1", "10-2"]
    assert sorted(mixed, key=position_order) == ["9-1", "10-0", "10-2", "10-10"]
    assert position_order("10") == position_order("10-0")
