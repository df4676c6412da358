"""A bridge that is stopped hands over to a standby: no tick is lost, doubled or renumbered."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from redis import Redis

from quotes.bridge import bridge as bridge_module
from quotes.bridge import handover
from quotes.bridge.bridge import Bridge
from quotes.bridge.handover import handover_channel
from quotes.bridge.inbox_reader import InboxReader
from quotes.publish.publishing import publish_ticks
from quotes.store.inbox import newest_id
from quotes.store.names import lease_key, status_keys
from tests.live import LiveServer
from tests.ticks import MOMENT, message, publish, tick
from tests.waiting import eventually


async def stop(live: LiveServer, bridge: Bridge) -> None:
    (found,) = [one for one in live.bridges if one[0] is bridge]
    live.bridges.remove(found)
    bridge.stop()
    await asyncio.wait_for(found[1], 15)


async def standing_by(live: LiveServer, redis: Redis, count: int = 1) -> list[Bridge]:
    """Start bridges behind the one that works; return when they would hear of its end."""
    bridges = [await live.start_bridge() for _ in range(count)]
    channel = handover_channel(1)
    await eventually(lambda: redis.pubsub_numsub(channel)[0][1] == count)
    return bridges


@contextlib.asynccontextmanager
async def publishing(redis: Redis) -> AsyncIterator[Callable[[], int]]:
    """Publish, in turn, foreign ticks of F and own ones of O; yields how many of each there are."""
    numbers = itertools.count()
    count = 0
    is_over = False

    def publish_all() -> None:
        nonlocal count
        while not is_over:
            number = next(numbers)
            publish(redis, "F", message("F", str(number), MOMENT + number))
            publish_ticks([tick("O", str(number), MOMENT + number)], client=redis)
            count += 1

    task = asyncio.create_task(asyncio.to_thread(publish_all))
    try:
        yield lambda: count
    finally:
        is_over = True
        await task


@pytest.mark.parametrize("standbys", [1, 2])
async def test_no_tick_falls_between_two_bridges(
    live: LiveServer, redis: Redis, standbys: int
) -> None:
    """While both kinds of publishers go on, one bridge after the other is stopped."""
    async with live.client() as client:
        await client.subscribe("F", "O", seq=True, conflate=False)
        async with publishing(redis) as count:
            for _ in range(3):
                first = live.bridges[0][0]
                while len(live.bridges) < 1 + standbys:
                    await standing_by(live, redis, standbys + 1 - len(live.bridges))
                begun = count()
                await eventually(lambda: count() > begun + 20)  # noqa: B023
                await stop(live, first)
                await eventually(lambda: any(one.bridging for one, _ in live.bridges))
                live.bridges.sort(key=lambda one: not one[0].bridging)
        seen: dict[str, list[tuple[int, int, int]]] = {"F": [], "O": []}
        while any(len(prices) < count() for prices in seen.values()):
            price = await client.price()
            seen[price["symbol"]].append((price["epoch"], price["seq"], price["price"]))
        for symbol, prices in seen.items():
            epoch = prices[0][0]
            wanted = [(epoch, number + 1, number) for number in range(count())]
            assert (symbol, prices) == (symbol, wanted)


async def test_the_feed_does_not_go_down(live: LiveServer, redis: Redis) -> None:
    """The standby has the lease before it is free, and the status stays until its own."""
    (second,) = await standing_by(live, redis)
    first = live.bridges[0][0]
    before = redis.get(lease_key(1))
    await stop(live, first)
    after = redis.get(lease_key(1))
    assert after is not None and after != before
    assert redis.exists(status_keys(1)[0])
    await eventually(lambda: second.bridging)


async def test_without_a_standby_a_bridge_ends_at_once(
    live: LiveServer, redis: Redis, settings: Any
) -> None:
    """It waits for nobody, and the lease is free."""
    first = live.bridges[0][0]
    first._lease.ttl_ms = 3_600_000
    await stop(live, first)
    assert not redis.exists(lease_key(1), status_keys(1)[0])


async def test_a_standby_that_does_not_answer_is_not_waited_for(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for long: the lease is then released."""
    monkeypatch.setattr(bridge_module, "HAND_OVER_S", 0.1)
    first = live.bridges[0][0]
    silent = redis.pubsub()  # type: ignore[no-untyped-call]
    silent.subscribe(handover_channel(1))
    await eventually(lambda: redis.pubsub_numsub(handover_channel(1))[0][1] == 1)
    await stop(live, first)
    silent.close()
    assert not redis.exists(lease_key(1))


@pytest.mark.parametrize("noise", [b"", b"[]", b'{"kind":"fly"}', b'{"kind":1}', b"\xff"])
async def test_noise_on_the_channel_is_dropped(
    live: LiveServer, redis: Redis, noise: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody but bridges writes there; what else comes is logged and passed over."""
    (second,) = await standing_by(live, redis)
    redis.publish(handover_channel(1), noise)
    await eventually(lambda: "invalid message about a hand-over" in caplog.text)
    await stop(live, live.bridges[0][0])
    await eventually(lambda: second.bridging)


async def test_words_of_a_bridge_that_died_are_forgotten(live: LiveServer, redis: Redis) -> None:
    """A standby that was ready for a bridge that gave nothing takes over from the next one."""
    (second,) = await standing_by(live, redis)
    token = second._lease.token
    redis.publish(handover_channel(1), '{"kind":"leaving"}')
    redis.publish(handover_channel(1), f'{{"kind":"divide","token":"{token}"}}')
    async with live.client() as client:
        await client.subscribe("F")
        publish(redis, "F", message("F", "1"))
        assert (await client.price())["price"] == 1
        await stop(live, live.bridges[0][0])
        await eventually(lambda: second.bridging)
        publish(redis, "F", message("F", "2", MOMENT + 1))
        assert (await client.price())["price"] == 2


async def test_a_standby_holds_no_more_than_its_bound(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis holds the rest until the standby works; nothing is lost."""
    monkeypatch.setattr(handover, "MAX_HELD", 10)
    (second,) = await standing_by(live, redis)
    standby = second._standby
    assert standby is not None
    redis.publish(handover_channel(1), '{"kind":"leaving"}')
    await eventually(lambda: standby._answer is not None and standby._answer.done())
    redis.publish(handover_channel(1), f'{{"kind":"divide","token":"{second._lease.token}"}}')
    for number in range(100):
        publish(redis, "F", message("F", str(number), MOMENT + number))
        await asyncio.sleep(0)
    await eventually(lambda: not standby.link.reading)
    held = len(standby._held)
    for number in range(100, 200):
        publish(redis, "F", message("F", str(number), MOMENT + number))
        await asyncio.sleep(0)
    assert 10 < held == len(standby._held)


async def test_two_readings_of_the_inbox_at_once_take_each_entry_once(
    live: LiveServer, redis: Redis
) -> None:
    """A request to read publishers' keys may come while a bridge that begins catches up."""
    bridge = live.bridges[0][0]
    publish_ticks([tick("O", "1")], client=redis)
    await eventually(lambda: bridge.market.counters.shown == 1)
    link = await bridge._connect()
    reader = InboxReader(link, bridge.market, bridge.writer, after=b"0-0")
    taken: list[bytes] = []
    reader._market = SimpleNamespace(take_inbox=lambda entry: taken.append(entry.id))  # type: ignore[assignment]
    newest = await newest_id(link)
    await asyncio.gather(reader.reach(newest), reader.reach(newest), reader.catch_up())
    link.close()
    assert taken == [newest]
