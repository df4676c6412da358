"""Sentinel makes a replica the master: prices are back, no number is given twice, none is lost."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis import Redis

from quotes.store.clients import sync_client
from tests.live import Client, LiveServer
from tests.sentinels import SentinelGroup
from tests.ticks import MOMENT, message, publish
from tests.valkey import ValkeyProcess
from tests.waiting import eventually, wait_until


@pytest.fixture
def group(settings: Any) -> Iterator[SentinelGroup]:
    with SentinelGroup() as group:
        settings.REDIS_URL = group.url
        yield group


@pytest.fixture
async def service(group: SentinelGroup) -> AsyncIterator[LiveServer]:
    """A bridge and a web server that know the Sentinels alone."""
    async with LiveServer() as server:
        await server.start_bridge()
        yield server


async def publish_all(first: int, last: int) -> None:
    """Publish prices by the Sentinel URL, as all publishers of this project do."""
    for number in range(first, last + 1):
        await asyncio.to_thread(
            publish, sync_client(), "A", message("A", str(number), MOMENT + number)
        )


async def numbered(client: Client, last: int) -> list[tuple[int, int, int]]:
    """Return epoch, number and price of the next prices, up to a price."""
    found: list[tuple[int, int, int]] = []
    while not found or found[-1][2] != last:
        one = await client.price()
        found.append((one["epoch"], one["seq"], one["price"]))
    return found


async def until_moved(service: LiveServer, master: ValkeyProcess) -> None:
    """Return when the bridge works with a master, and the web process listens to it."""
    bridge, _ = service.bridges[0]

    def has_moved() -> bool:
        link = service.layer.state.links[0].link
        is_there = link is not None and link.address[1] == master.port
        return is_there and bridge.bridging and bridge.writer.link.address[1] == master.port

    await eventually(has_moved)


def assert_given_once(
    before: list[tuple[int, int, int]], after: list[tuple[int, int, int]]
) -> None:
    """No number is given twice, no tick comes twice, and their order is kept.

    A new epoch begins with the newest price of before, under the number 0.
    """
    given = [one[:2] for one in before + after]
    assert len(set(given)) == len(given)
    prices = [one[2] for one in before + after if one[1]]
    assert prices == sorted(set(prices))
    again = {one[2] for one in after if not one[1]}
    assert again <= {before[-1][2]}


def newer(after: list[tuple[int, int, int]], than: int) -> list[int]:
    return [one[2] for one in after if one[2] > than]


async def test_replica_that_lags_begins_a_new_numbering(
    service: LiveServer, group: SentinelGroup
) -> None:
    """Prices are back after the master was killed, and resuming says that some are missing."""
    async with service.client() as client:
        await client.subscribe("A", seq=True)
        await publish_all(1, 10)
        before = await numbered(client, 10)
        wait_until(group.is_replicated)
        group.cut_replication()
        await publish_all(11, 40)
        before += await numbered(client, 40)
        master = group.master
        master.kill()
        new = await asyncio.to_thread(group.wait_for_fail_over, master)
        await until_moved(service, new)
        with Redis(port=new.port) as direct:
            assert direct.get("stock:A") == message("A", "10", MOMENT + 10).encode()
        await publish_all(41, 75)
        after = await numbered(client, 75)
        assert_given_once(before, after)
        assert newer(after, than=40) == list(range(41, 76))
        assert {one[0] for one in after}.isdisjoint({one[0] for one in before})
        await assert_not_resumed(service, before[-1])


async def assert_not_resumed(service: LiveServer, last: tuple[int, int, int]) -> None:
    async with service.client() as client:
        await client.subscribe("A", seq=True, since={"epoch": last[0], "seq": last[1]})
        resumed = await client.receive()
        assert resumed["type"] == "resumed" and not resumed["recovered"]


async def test_a_master_that_hung_and_came_back_is_left(
    service: LiveServer, group: SentinelGroup
) -> None:
    """It is still a master by its own account, and keeps the connections that were open."""
    async with service.client() as client:
        await client.subscribe("A", seq=True)
        await publish_all(1, 3)
        before = await numbered(client, 3)
        old = group.master
        wait_until(group.is_replicated)
        old.pause()
        new = await asyncio.to_thread(group.wait_for_fail_over, old)
        old.resume()
        await until_moved(service, new)
        await publish_all(4, 20)
        after = await numbered(client, 20)
        with Redis(port=old.port) as direct:
            # Sentinel demotes it some ten seconds later; nobody writes to it meanwhile.
            assert direct.info("replication")["role"] == "master"
            assert direct.get("stock:A") == message("A", "3", MOMENT + 3).encode()
        assert_given_once(before, after)
        assert newer(after, than=3) == list(range(4, 21))


async def test_fail_over_by_hand_begins_a_new_numbering(
    service: LiveServer, group: SentinelGroup
) -> None:
    """Although the replica has everything: the old master might go on, with another bridge."""
    async with service.client() as client:
        await client.subscribe("A", seq=True)
        await publish_all(1, 3)
        before = await numbered(client, 3)
        old = group.master
        wait_until(group.is_replicated)
        with group.sentinel.client() as sentinel:
            await asyncio.to_thread(sentinel.execute_command, "SENTINEL", "FAILOVER", "prices")
        await until_moved(service, await asyncio.to_thread(group.wait_for_fail_over, old))
        await publish_all(4, 9)
        after = await numbered(client, 9)
        assert_given_once(before, after)
        assert newer(after, than=3) == list(range(4, 10))
        assert {one[0] for one in after}.isdisjoint({one[0] for one in before})
        await assert_not_resumed(service, before[-1])
