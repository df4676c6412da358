"""Redis full: live prices and publishers' own SET go on, the tick log gives way first."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from quotes.store.memory import RedisMemory
from quotes.store.tick_log import log_key
from tests.environment import REDIS_TEST_PORT
from tests.live import Client, LiveServer
from tests.ticks import MOMENT, message, publish
from tests.valkey import ValkeyProcess
from tests.waiting import eventually

MIB = 1 << 20
PADDING = "x" * 1000  # a tick of about 1.1 KB


@pytest.fixture
def small_redis(redis_server: ValkeyProcess) -> Iterator[Redis]:
    """A client of a server that was started with 12 MiB and evicts nothing."""
    redis_server.kill()
    with (
        ValkeyProcess(
            REDIS_TEST_PORT, "--maxmemory", "12mb", "--maxmemory-policy", "noeviction"
        ) as server,
        Redis.from_url(server.url, socket_timeout=5) as client,
    ):
        yield client
    redis_server.start()


async def working(redis: Redis) -> LiveServer:
    server = await LiveServer().__aenter__()
    await server.start_bridge()
    return server


def memory(redis: Redis) -> RedisMemory:
    info: Any = redis.info("memory")
    return RedisMemory.from_info(info)


def large(price: int) -> str:
    return message("A", str(price), MOMENT + price, extra=PADDING)


async def received(server: LiveServer, least: int) -> None:
    """Wait until the bridge has so many messages."""
    counters = server.bridges[0][0].market.counters
    await eventually(lambda: counters.received >= least)


async def publish_many(redis: Redis, server: LiveServer, first: int, last: int) -> None:
    """Publish ticks as other programs do, each with a SET of its own, in pieces."""
    for begin in range(first, last + 1, 200):
        with redis.pipeline(transaction=False) as pipeline:
            for price in range(begin, min(begin + 200, last + 1)):
                pipeline.set("stock:A", large(price))
                pipeline.publish("stock:A", large(price))
            pipeline.execute()  # raises if one SET is refused
        await received(server, begin)


async def read_until(client: Client, price: int) -> None:
    while (await client.price())["price"] != price:
        pass


async def test_log_gives_way_before_publishers_are_refused(small_redis: Redis) -> None:
    """Several times as many ticks as fit are published: each SET succeeds, the last is shown."""
    server = await working(small_redis)
    try:
        async with server.client() as client:
            await client.subscribe("A")
            # A client that read nothing meanwhile would be closed on a slow machine.
            reading = asyncio.create_task(read_until(client, 30_000))
            await publish_many(small_redis, server, 1, 30_000)
            await reading
        await eventually(lambda: not memory(small_redis).is_high)
        assert small_redis.xlen(log_key(1)) > 0
        entries: Any = small_redis.xrevrange(log_key(1), count=1)
        assert entries[0][1][b"n"] == b"30000"
    finally:
        await server.__aexit__()


@pytest.mark.parametrize("new_bridge", [False, True], ids=["bridge works", "bridge is new"])
async def test_full_redis_is_left_again(
    small_redis: Redis, new_bridge: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Another program fills Redis to the last byte: prices flow on, and room is made."""
    caplog.set_level(logging.WARNING)
    server = await working(small_redis)
    try:
        await publish_many(small_redis, server, 1, 3000)
        if new_bridge:
            await server.stop_bridges()
        small_redis.config_set("maxmemory", memory(small_redis).used - MIB)
        with pytest.raises(ResponseError, match="maxmemory"):
            small_redis.set("other", "x")
        if new_bridge:
            await server.start_bridge()
        await eventually(lambda: not memory(small_redis).is_high)
        async with server.client() as client:
            await client.subscribe("A")
            publish(small_redis, "A", large(4000))
            while (await client.price())["price"] != 4000:
                pass
        assert "trimmed the oldest" in caplog.text
    finally:
        await server.__aexit__()


async def test_prices_flow_where_nothing_can_be_freed(small_redis: Redis) -> None:
    """Full of what others wrote, Redis takes no SET, and subscribers get each PUBLISH."""
    server = await working(small_redis)
    try:
        async with server.client() as client:
            await client.subscribe("A")
            small_redis.set("other", "x" * 4 * MIB)
            small_redis.config_set("maxmemory", 2 * MIB)
            bridge = server.bridges[0][0]
            for price in range(1, 6):
                small_redis.publish("stock:A", large(price))
                assert (await client.price())["price"] == price
            await server.stop_bridges()
            await server.start_bridge()
            small_redis.publish("stock:A", large(6))
            while (await client.price())["price"] != 6:
                pass
            assert bridge.counters.sent >= 5
    finally:
        await server.__aexit__()


async def test_log_is_bounded_by_bytes(live: LiveServer, redis: Redis, settings: Any) -> None:
    """However large ticks and batches are, the log takes no more memory than is set."""
    settings.QUOTES_LOG_MAX_BYTES = 2 * MIB
    counters = live.bridges[0][0].market.counters

    def size() -> int:
        return int(redis.memory_usage(log_key(1), samples=0) or 0)

    for size_of_tick, batch, count in ((10, 3, 900), (3000, 250, 3000), (10, 300, 20_000)):
        for first in range(0, count, batch):
            least = counters.received + 1
            with redis.pipeline(transaction=False) as pipeline:
                for price in range(first, min(count, first + batch)):
                    pipeline.publish("stock:B", message("B", str(price), extra="x" * size_of_tick))
                pipeline.execute()
            await received(live, least)
        await eventually(lambda: size() < 2.1 * MIB)
    await eventually(lambda: size() > MIB / 2)
    entries: Any = redis.xrevrange(log_key(1), count=1)
    assert entries[0][1][b"n"] == b"23900"


@pytest.mark.parametrize(
    ("policy", "limit", "warning"),
    [
        ("allkeys-lru", "4gb", "set its maxmemory-policy to noeviction, got allkeys-lru"),
        ("volatile-ttl", "4gb", "set its maxmemory-policy to noeviction, got volatile-ttl"),
        ("noeviction", "1gb", "QUOTES_LOG_MAX_BYTES to at most 644245094"),
        ("noeviction", "4gb", ""),
        ("allkeys-lru", "0", ""),
    ],
)
async def test_bridge_warns_of_a_redis_that_cannot_keep_the_log(
    live: LiveServer,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
    policy: str,
    limit: str,
    warning: str,
) -> None:
    """At its start it names the setting of Redis, its value and the value to set."""
    await live.stop_bridges()
    before: Any = redis.config_get("maxmemory*")
    try:
        redis.config_set("maxmemory-policy", policy)
        redis.config_set("maxmemory", limit)
        await live.start_bridge()
        found = [one.getMessage() for one in caplog.records if one.name.endswith("log_trimmer")]
        assert len(found) == bool(warning) and warning in "".join(found)
    finally:
        for name, value in before.items():
            redis.config_set(name, value)
