"""Prices without a timestamp: a key that is read again is no new tick, each PUBLISH is one."""

import json
from typing import Any

import pytest
from django.test import Client
from redis import Redis

from instruments.index import index
from quotes.bridge.market import Market
from quotes.bridge.untimed_keys import UntimedKey, untimed_keys
from quotes.publish.publishing import forget_all_prices, forget_prices
from quotes.store.first_seen import first_seen, seen_key
from quotes.store.latest import Wanted, find_latest, read_snapshot
from quotes.store.names import own_key
from quotes.store.redis_clock import redis_clock
from quotes.store.tick_log import TIMESTAMP, decode_entry, log_key
from tests.live import LiveServer
from tests.ticks import message, publish
from tests.waiting import eventually, wait_until

ONE = '{"symbol":"A","price":1}'
TWO = '{"symbol":"A","price":2,"timestamp":null}'


def logged(redis: Redis) -> list[tuple[str, int]]:
    """Return price and time of the ticks in the log, in order."""
    entries: Any = redis.xrange(log_key(1))
    ticks = [tick for _, fields in entries for tick in decode_entry(fields)]
    return [(str(json.loads(tick.frame)["price"]), tick.timestamp) for tick in ticks]


def read(redis: Redis, name: str = "A") -> int:
    """Return the time of a price as a web process reads it now, which is later than before."""
    now = redis_clock.now_ms()
    wait_until(lambda: redis_clock.now_ms() > now + 1)
    found = read_snapshot([Wanted(index.resolve(name), name)], client=redis)
    latest = found.newest(index.resolve(name))
    assert latest is not None and json.loads(latest.frame)["timestamp"] == latest.timestamp
    return latest.timestamp


@pytest.mark.parametrize("value", [ONE, TWO])
async def test_bridge_and_web_processes_that_start_make_no_ticks(
    live: LiveServer, redis: Redis, value: str
) -> None:
    """One PUBLISH is one row of history, and its time stays, whoever reads the key again."""
    publish(redis, "A", value)
    await eventually(lambda: redis.hlen(own_key("latest")))
    record: Any = redis.hget(own_key("latest"), "A")
    latest = find_latest("A", record)
    assert latest is not None
    for _ in range(3):
        assert read(redis) == latest.timestamp
        await live.stop_bridges()
        assert read(redis) == latest.timestamp
        await live.start_bridge()
        async with LiveServer() as another, another.client() as client:
            await client.subscribe("A")
            assert (await client.price())["timestamp"] == latest.timestamp
    assert [at for _, at in logged(redis)] == [latest.timestamp]


async def test_bridge_that_starts_later_keeps_the_time_that_was_shown(redis: Redis) -> None:
    """Clients got the price while no bridge worked: it is not sent again, and logged once."""
    async with LiveServer() as server:
        redis.set("stock:A", ONE)
        async with server.client() as client, server.client() as second:
            await client.subscribe("A")
            first = await client.price()
            await second.subscribe("A")
            assert await second.price() == first
            for _ in range(2):
                await server.start_bridge()
                await eventually(lambda: len(logged(redis)) == 1)
                await server.stop_bridges()
            await server.start_bridge()
            await eventually(lambda: server.bridges[0][0].bridging)
            redis.publish("stock:A", ONE)
            for one in (client, second):
                again = await one.price()
                assert again["price"] == 1 and again["timestamp"] > first["timestamp"]
    assert logged(redis) == [("1", first["timestamp"]), ("1", again["timestamp"])]


async def test_every_publish_is_a_tick(live: LiveServer, redis: Redis) -> None:
    """Also at the same price, and after the key was read."""
    async with live.client() as client:
        await client.subscribe("A")
        for _ in range(3):
            publish(redis, "A", ONE)
            assert (await client.price())["price"] == 1
            async with live.client() as another:
                await another.subscribe("A")
                await another.price()
    assert len(logged(redis)) == 3


async def test_key_that_changes_and_changes_back(live: LiveServer, redis: Redis) -> None:
    """Each change that is read is a new price; what nobody read between is none."""
    redis.set("stock:A", ONE)
    times = [read(redis), read(redis)]
    redis.set("stock:A", TWO)
    times += [read(redis), read(redis)]
    redis.set("stock:A", ONE)
    times += [read(redis), read(redis)]
    assert times[::2] == times[1::2] == sorted(set(times))
    async with live.client() as client:
        await client.subscribe("A")
        assert await client.price() == {"symbol": "A", "price": 1, "timestamp": times[-1]}
    redis.set("stock:A", TWO)
    redis.set("stock:A", ONE)
    assert read(redis) == times[-1]


async def test_old_value_is_not_shown_again_after_newer_messages(
    live: LiveServer, redis: Redis
) -> None:
    """A publisher that SETs once and then only PUBLISHes has newer prices than its key."""
    redis.set("stock:A", ONE)
    async with live.client() as client:
        await client.subscribe("A")
        assert (await client.price())["price"] == 1
        redis.publish("stock:A", '{"symbol":"A","price":5}')
        assert (await client.price())["price"] == 5
        await live.stop_bridges()
        await live.start_bridge()
        redis.publish("stock:A", message("A", "6", redis_clock.now_ms() + 1000))
        assert (await client.price())["price"] == 6
    async with LiveServer() as another, another.client() as client:
        await client.subscribe("A")
        assert (await client.price())["price"] == 6
    assert [price for price, _ in logged(redis)] == ["1", "5", "6"]


def test_message_that_comes_while_a_key_is_read_wins() -> None:
    """The key's value may be older than the message."""
    market = Market(prefix="stock:", warn=lambda kind, text: None)
    market.take([(b"stock:A", b'{"price":1}')])
    values = [(b"stock:A", b'{"price":2}'), (b"stock:B", b'{"price":3}'), (b"stock:C", b"x")]
    found = untimed_keys(values, market.streams, prefix=market.prefix, is_ours=lambda key: True)
    assert [one.key for one in found] == [b"stock:A", b"stock:B"]
    market.take([(b"stock:A", b'{"price":4}')])
    now = redis_clock.now_ms()
    market.take_keys(values, untimed=dict.fromkeys(found, now))
    assert b'"price":4,' in market.streams["A"].frame
    assert b'"price":3,' in market.streams["B"].frame
    (row,) = [row for stream, row in market.pending.ticks if stream.field == "B" and row]
    assert row[TIMESTAMP] == now


def test_untimed_keys_begin_no_streams_when_it_is_crowded() -> None:
    """They may be of names that were let go."""
    market = Market(prefix="stock:", warn=lambda kind, text: None, max_streams=1)
    market.take([(b"stock:A", b'{"price":1}')])
    one = UntimedKey(b"stock:B", "B", b'{"price":3}', None)
    market.take_keys([(b"stock:B", one.value)], untimed={one: redis_clock.now_ms()})
    assert list(market.streams) == ["A"] and market.counters.shown == 1


@pytest.mark.django_db
def test_rest_answers_one_time(client: Client, redis: Redis) -> None:
    """Without a bridge, for one symbol and for many, until the value changes."""
    redis.set("stock:A", ONE)
    redis.set("stock:B", '{"price":7}')
    first = client.get("/api/prices/A/").json()
    now = redis_clock.now_ms()
    wait_until(lambda: redis_clock.now_ms() > now + 1)
    assert client.get("/api/prices/A/").json() == first
    assert client.get("/api/prices/?symbols=A").json()["prices"] == [first]
    both = client.get("/api/prices/?symbols=B,A").json()["prices"]
    assert both == client.get("/api/prices/?symbols=B,A").json()["prices"] and both[1] == first
    redis.set("stock:A", TWO)
    assert client.get("/api/prices/A/").json()["timestamp"] > first["timestamp"]


def test_times_are_kept_for_as_long_as_they_are_read(redis: Redis) -> None:
    """Nobody has to delete them; forgetting a price does."""
    values = [("A", b"1"), ("B", b"2")]
    times = first_seen(values, client=redis)
    assert first_seen(values, client=redis) == times
    assert 0 < redis.pttl(seen_key("A")) <= 7 * 86_400_000
    assert first_seen([], client=redis) == []
    forget_prices(["A"], client=redis)
    assert not redis.exists(seen_key("A")) and redis.exists(seen_key("B"))
    forget_all_prices(client=redis)
    assert not redis.exists(seen_key("B"))


def test_full_redis_stores_no_time(redis: Redis) -> None:
    """The price is served all the same."""
    before: Any = redis.config_get("maxmemory")
    redis.set("stock:A", ONE)
    try:
        redis.config_set("maxmemory", 1)
        assert abs(read(redis) - redis_clock.now_ms()) < 10_000
    finally:
        redis.config_set("maxmemory", before["maxmemory"])
