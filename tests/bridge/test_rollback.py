"""Redis comes back with older data than was published: no number is given twice."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from quotes.bridge.epochs import Numbering
from quotes.store.tick_log import log_key
from tests.live import Client, LiveServer
from tests.ticks import MOMENT, message, publish
from tests.valkey import ValkeyProcess
from tests.waiting import eventually


@pytest.fixture
def keeps_file(redis_server: ValkeyProcess) -> Iterator[ValkeyProcess]:
    """The server, whose file is gone after the test."""
    yield redis_server
    Path(redis_server.folder.name, "dump.rdb").unlink(missing_ok=True)


async def numbered(client: Client, count: int) -> list[tuple[int, int, int]]:
    """Return epoch, number and price of the next prices."""
    prices = [await client.price() for _ in range(count)]
    return [(one["epoch"], one["seq"], one["price"]) for one in prices]


async def publish_all(server: ValkeyProcess, first: int, last: int) -> None:
    with Redis.from_url(server.url) as redis:
        for number in range(first, last + 1):
            publish(redis, "A", message("A", str(number), MOMENT + number))


@pytest.mark.parametrize("same_bridge", [True, False], ids=["bridge lives", "bridge is new"])
async def test_older_data_begins_a_new_numbering(
    live: LiveServer, redis: Redis, keeps_file: ValkeyProcess, same_bridge: bool
) -> None:
    """Every tick after the restart is shown, under numbers that were never given."""
    server = keeps_file
    async with live.client() as client:
        await client.subscribe("A", seq=True)
        await publish_all(server, 1, 10)
        before = await numbered(client, 10)
        redis.save()
        await publish_all(server, 11, 40)
        before += await numbered(client, 30)
        assert [one[2] for one in before] == list(range(1, 41))
        server.kill()
        if not same_bridge:
            await live.stop_bridges()
        await client.heartbeat("down")
        server.start()
        if not same_bridge:
            await live.start_bridge()
        await eventually(lambda: live.bridges[0][0].bridging)
        await publish_all(server, 41, 75)
        after: list[tuple[int, int, int]] = []
        while not after or after[-1][2] != 75:
            after += await numbered(client, 1)
        assert [one[2] for one in after if one[2] > 40] == list(range(41, 76))
        given = [one[:2] for one in before + after]
        assert len(set(given)) == len(given)
        assert {one[0] for one in after}.isdisjoint({one[0] for one in before})
        last = before[-1]
        async with live.client() as other:
            ack = await other.subscribe("A", seq=True, since={"epoch": last[0], "seq": last[1]})
            assert ack["type"] == "subscribed"
            resumed: dict[str, Any] = await other.receive()
            assert resumed["type"] == "resumed" and not resumed["recovered"]
            assert "start" in resumed["reason"]


async def test_complete_data_continues_the_numbering(
    live: LiveServer, redis: Redis, keeps_file: ValkeyProcess
) -> None:
    """A bridge that finds everything it wrote goes on counting."""
    async with live.client() as client:
        await client.subscribe("A", seq=True)
        await publish_all(keeps_file, 1, 3)
        before = await numbered(client, 3)
        await eventually(lambda: redis.xlen(log_key(1)) > 0)
        redis.save()
        keeps_file.kill()
        await client.heartbeat("down")
        keeps_file.start()
        await eventually(lambda: live.bridges[0][0].bridging)
        await publish_all(keeps_file, 4, 4)
        assert await numbered(client, 1) == [(before[-1][0], 4, 4)]


@pytest.mark.parametrize("is_saved", [True, False], ids=["older data", "no data"])
async def test_prices_that_the_bridge_brings_back_are_sent(
    live: LiveServer,
    redis: Redis,
    keeps_file: ValkeyProcess,
    monkeypatch: pytest.MonkeyPatch,
    is_saved: bool,
) -> None:
    """A client that subscribes before the bridge has found Redis again misses none of them."""
    restore, may_restore = Numbering.restore, asyncio.Event()

    async def late(numbering: Numbering, *arguments: Any) -> None:
        await may_restore.wait()
        await restore(numbering, *arguments)

    async with live.client() as before:
        await before.subscribe("A")
        await publish_all(keeps_file, 1, 2)
        await eventually(lambda: redis.xlen(log_key(1)) > 0)
        if is_saved:
            redis.save()
        await publish_all(keeps_file, 3, 3)
        while (await before.price())["price"] != 3:
            pass
        await before.ask(action="unsubscribe", symbol="A")
        monkeypatch.setattr(Numbering, "restore", late)
        keeps_file.kill()
        await before.heartbeat("down")
        keeps_file.start()
        await eventually(lambda: live.layer.state.links[0].link is not None)
        async with live.client() as client:
            await client.subscribe("A")
            may_restore.set()
            while (await client.price())["price"] != 3:
                pass


async def test_a_user_that_may_not_run_info_still_bridges(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Without INFO nothing tells one Redis from the next; prices flow all the same."""
    redis.acl_setuser("default", enabled=True, nopass=True, commands=["+@all", "-info"])
    try:
        async with LiveServer() as server:
            await server.start_bridge()
            async with server.client() as client:
                await client.subscribe("A")
                publish(redis, "A", message("A", "1"))
                assert (await client.price())["price"] == 1
        assert "may not run INFO" in caplog.text
    finally:
        redis.acl_setuser("default", enabled=True, nopass=True, commands=["+@all"])


async def test_bridge_that_worked_goes_before_one_that_stood_by(
    live: LiveServer,
    redis: Redis,
    redis_server: ValkeyProcess,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It knows what was shown, which Redis may not."""
    caplog.set_level(logging.INFO)
    other = await live.start_bridge()
    await eventually(lambda: "standing by" in caplog.text)
    worked = live.bridges[0][0]
    for _ in range(3):
        redis_server.kill()
        await eventually(lambda: not worked.bridging)
        redis_server.start()
        await eventually(lambda: worked.bridging or other.bridging)
        assert worked.bridging and not other.bridging
