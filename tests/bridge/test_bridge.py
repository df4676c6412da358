"""Bridges: taking over, starting over, Redis going away, and every fence between."""

import asyncio
import contextlib
import logging

import pytest
from redis import Redis

from quotes.publish.publishing import forget_all_prices, forget_prices, publish_ticks, stale_ticks
from quotes.runtime import speedups
from quotes.runtime.clock import now_ms
from quotes.store.latest import decode_latest
from quotes.store.names import lease_key, own_key
from tests.live import LiveServer
from tests.ticks import MOMENT, message, publish, tick
from tests.valkey import ValkeyProcess
from tests.waiting import eventually


async def test_second_bridge_stands_by_and_takes_over(live: LiveServer, redis: Redis) -> None:
    """With two bridges each tick is sent once; when the first ends the other goes on numbering."""
    second = await live.start_bridge()
    async with live.client() as client:
        await client.subscribe("A")
        for number in range(20):
            publish(redis, "A", message("A", str(number), MOMENT + number))
        assert [(await client.price())["price"] for _ in range(20)] == list(range(20))
        assert not second.bridging and second.counters.sent == 0
        bridge, task = live.bridges.pop(0)
        bridge.stop()
        await task
        await eventually(lambda: second.bridging, timeout_s=3)
        publish(redis, "A", message("A", "20", MOMENT + 20))
        assert (await client.price())["price"] == 20
    record = redis.hget(own_key("latest"), "A")
    assert isinstance(record, bytes) and decode_latest(record).seq == 21


async def test_paused_bridge_writes_nothing_when_it_wakes(live: LiveServer, redis: Redis) -> None:
    """A bridge whose lease another took has its writes refused, and stands by."""
    first = live.bridges[0][0]
    publish(redis, "A", message("A", "1"))
    await eventually(lambda: first.counters.sent == 1)
    redis.set(lease_key(1), "another", px=700)
    publish(redis, "A", message("A", "2", MOMENT + 1))
    await eventually(lambda: not first.bridging)
    record = redis.hget(own_key("latest"), "A")
    assert isinstance(record, bytes) and decode_latest(record).seq == 1
    # The other's lease runs out: what was refused is read from its key and shown once.
    await eventually(lambda: first.bridging, timeout_s=5)
    await eventually(lambda: decode_latest(redis.hget(own_key("latest"), "A")).seq == 2)  # type: ignore[arg-type]


async def test_a_bridge_says_whether_it_uses_the_speedups(
    live: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    """An operator who built the package sees in the log that it is used."""
    with caplog.at_level(logging.INFO, "quotes.bridge.bridge"):
        await live.stop_bridges()
        await live.start_bridge()
        await eventually(lambda: "bridging" in caplog.text)
    assert ("bridging stock:*, with speedups" in caplog.text) == (speedups.package is not None)


async def test_price_set_while_no_bridge_worked_is_shown(live: LiveServer, redis: Redis) -> None:
    """A bridge that starts reads the publishers' keys and shows what changed, once."""
    async with live.client() as client:
        publish(redis, "A", message("A", "1"))
        await client.subscribe("A")
        assert (await client.price())["price"] == 1
        await live.stop_bridges()
        await client.heartbeat("down")
        publish(redis, "A", message("A", "2", MOMENT + 1))
        publish(redis, "A", message("A", "3", MOMENT + 1))
        await live.start_bridge()
        publish(redis, "A", message("A", "4", MOMENT + 2))
        assert [(await client.price())["price"] for _ in range(2)] == [3, 4]


async def test_price_is_served_while_no_bridge_works(live: LiveServer, redis: Redis) -> None:
    """Without a bridge a subscriber gets the publisher's value, and not again from the next."""
    await live.stop_bridges()
    async with live.client() as early, live.client() as client:
        await early.subscribe("A")
        publish(redis, "A", message("A", "2"))
        await client.subscribe("A")
        assert (await client.price())["price"] == 2
        assert (await early.price())["price"] == 2  # earlier subscribers get it too
        await live.start_bridge()
        publish(redis, "A", message("A", "3", MOMENT + 1))
        for one in (client, early):
            assert (await one.price())["price"] == 3


async def test_redis_restart_loses_no_client_and_no_stream(
    live: LiveServer, redis: Redis, redis_server: ValkeyProcess
) -> None:
    """Redis comes back empty: clients stay, the numbering goes on, prices flow within 3 s."""
    async with live.client() as client:
        publish(redis, "A", message("A", "1"))
        publish(redis, "B", message("B", "1"))
        await client.subscribe("A")
        assert (await client.price())["price"] == 1
        redis_server.kill()
        await client.heartbeat("down")
        redis_server.start()
        await eventually(lambda: live.bridges[0][0].bridging, timeout_s=3)
        fresh = Redis.from_url(redis_server.url)
        publish(fresh, "A", message("A", "2", MOMENT + 1))
        assert (await client.price())["price"] == 2
        await eventually(lambda: fresh.hlen(own_key("latest")) == 2)
        assert decode_latest(fresh.hget(own_key("latest"), "A")).seq == 2  # type: ignore[arg-type]
        await client.subscribe("B")
        assert (await client.price())["symbol"] == "B"
        fresh.close()


async def test_forgotten_price_lets_an_older_day_be_shown(live: LiveServer, redis: Redis) -> None:
    """After forget_price older ticks are shown, in a new epoch, to old and new subscribers."""
    async with live.client() as client:
        publish_ticks([tick("A", "5"), tick("B", "5")], client=redis)
        await client.subscribe("A")
        await client.price()
        older = tick("A", "4", MOMENT - 1000)
        assert [one.tick for one in stale_ticks([older], client=redis)] == [older]
        assert forget_prices(["A"], client=redis) == 1
        assert stale_ticks([older], client=redis) == []
        publish_ticks([older], client=redis)
        assert (await client.price())["price"] == 4
        assert forget_all_prices(client=redis) == 2
        await eventually(lambda: not live.bridges[0][0].market.streams)
        async with live.client() as second:
            await second.subscribe("A", "B")
            publish_ticks([tick("B", "1", MOMENT - 5000)], client=redis)
            assert (await second.price())["price"] == 1


async def test_every_tick_is_accounted_for(live: LiveServer, redis: Redis) -> None:
    """received is shown, stale, bad and repeated together, and what was shown was sent."""
    bridge = live.bridges[0][0]
    ticks = [tick("A", str(n), MOMENT + n % 50) for n in range(2000)]
    publish_ticks(ticks, client=redis)
    redis.publish("stock:A", "rubbish")
    counters = bridge.market.counters
    await eventually(lambda: counters.received == 2001)
    await eventually(lambda: bridge.counters.sent == counters.shown)
    assert counters.shown + counters.stale + counters.bad + counters.repeated == 2001
    assert counters.bad == 1 and counters.stale == 2000 - counters.shown > 0


async def test_bad_and_stale_input_is_told_but_not_for_each(
    live: LiveServer, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """A flood of rubbish gives a few lines in the log."""
    with caplog.at_level(logging.WARNING, "quotes.bridge.bridge"):
        for _ in range(200):
            redis.publish("stock:A", "rubbish")
        await eventually(lambda: live.bridges[0][0].market.counters.bad == 200)
    warnings = [record for record in caplog.records if "stock:A" in record.getMessage()]
    assert 1 <= len(warnings) <= 3


async def test_rubbish_requests_to_the_bridge_are_dropped(live: LiveServer, redis: Redis) -> None:
    """Invalid requests on the control channel stop nothing."""
    for rubbish in (b"", b"[]", b'{"forget":5}', b'{"adopt":[1]}', b'{"adopt":["nosuch"]}', b"{}"):
        redis.publish(own_key("control"), rubbish)
    publish(redis, "A", message("A"))
    await eventually(lambda: live.bridges[0][0].counters.sent == 1)


async def test_stopping_writes_what_is_held(live: LiveServer, redis: Redis) -> None:
    """A bridge that stops has written all that it read, and gives up its lease."""
    bridge, _ = live.bridges[0]
    publish_ticks([tick("A", str(n), MOMENT + n) for n in range(500)], client=redis)
    await eventually(lambda: bridge.market.counters.received > 0)
    await live.stop_bridges()
    assert bridge.counters.sent == bridge.market.counters.shown
    assert not redis.exists(lease_key(1))
    await asyncio.sleep(0)
    assert "received=" in live.lines[-1]


async def test_shards_share_the_market(live: LiveServer, redis: Redis) -> None:
    """Each instrument is bridged by one shard, under all of its names, and all of them are."""
    await live.stop_bridges()
    for number in (1, 2, 3):
        await live.start_bridge(shard=(number, 3))
        await eventually(lambda: live.bridges[-1][0].bridging)
    async with live.client() as client:
        names = [f"S{n}" for n in range(60)]
        await client.subscribe(*names, "BSE_EQ:S1")
        publish_ticks([tick(name, "1") for name in names], client=redis)
        publish(redis, "BSE_EQ:S1", message("S1", "2"))
        got = [await client.price() for _ in range(61)]
        assert sorted(one["symbol"] for one in got) == sorted([*names, "S1"])
        shown = [bridge.market.counters.shown for bridge, _ in live.bridges]
        assert sum(shown) == 61 and all(shown)
        bridge, task = live.bridges.pop(1)
        bridge.stop()
        await task
        await client.heartbeat("down")


async def test_slow_bridge_keeps_a_lease_that_nobody_took(live: LiveServer, redis: Redis) -> None:
    """A lease that ran out is still the last holder's: what it holds is written, not lost."""
    bridge = live.bridges[0][0]
    redis.delete(lease_key(1))
    publish(redis, "A", message("A", "1"))
    await eventually(lambda: bridge.counters.sent == 1)
    assert bridge.bridging and redis.exists(lease_key(1))


async def test_subscribers_without_a_bridge_get_a_price_once_each(
    live: LiveServer, redis: Redis
) -> None:
    """Clients that subscribe at the same time while no bridge works get no price twice."""
    publish(redis, "A", message("A", "1"))
    await eventually(lambda: live.bridges[0][0].counters.sent == 1)
    await live.stop_bridges()
    publish(redis, "A", message("A", "2", MOMENT + 1))
    publish(redis, "B", message("B", "2"))

    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(live.client()) for _ in range(8)]
        for client in clients:
            await client.send(action="subscribe", symbols=["A", "B"])
        seen: list[dict[str, list[int]]] = [{"A": [], "B": []} for _ in clients]

        async def read_until(last: int) -> None:
            for client, prices in zip(clients, seen, strict=True):
                while not prices["A"][-1:] == prices["B"][-1:] == [last]:
                    frame = await client.price()
                    prices[frame["symbol"]].append(frame["price"])

        await read_until(2)
        await live.start_bridge()
        for name in "AB":
            publish(redis, name, message(name, "9", MOMENT + 9))
        await read_until(9)
        # A client that read the price at the same time as another may get the older one first.
        assert all(prices["A"] in ([1, 2, 9], [2, 9]) for prices in seen)
        assert all(prices["B"] == [2, 9] for prices in seen)
        assert live.layer.state.withheld is None  # nothing is compared any more


async def test_names_that_are_let_go_leave_redis(live: LiveServer, redis: Redis) -> None:
    """Their latest prices are deleted, publishers' keys stay, and the new name is shown."""
    live.bridges[0][0].market.max_streams = 2
    publish(redis, "OLD", message("OLD", "1", MOMENT))
    publish(redis, "A", message("A", "1", now_ms()))
    async with live.client() as client:
        await client.subscribe("NEW")
        publish(redis, "NEW", message("NEW", "1", now_ms()))
        assert (await client.price())["price"] == 1
    assert sorted(redis.hkeys(own_key("latest"))) == [b"A", b"NEW"]
    assert redis.exists("stock:OLD") == 1
