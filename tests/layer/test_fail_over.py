"""Several hosts carry the lanes, each a master of Sentinels: one fails over, the others go on."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from quotes.layer import QuotesChannelLayer
from quotes.layer.lanes import host_index, lane_of
from quotes.runtime.redis_link import RedisDown
from tests.sentinels import SentinelGroup
from tests.valkey import ValkeyProcess
from tests.waiting import DEADLINE_S, eventually


@pytest.fixture
def group() -> Iterator[SentinelGroup]:
    with SentinelGroup() as group:
        yield group


async def test_a_fail_over_of_one_host_stops_no_other(
    group: SentinelGroup, redis: Redis, redis_server: ValkeyProcess
) -> None:
    """Groups of its lanes are back on the promoted replica, without a new membership."""
    hosts = [group.url, redis_server.url]
    names = {host_index(lane_of(name), hosts): name for name in map(str, range(64))}
    layer = QuotesChannelLayer(hosts=hosts)
    got: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    channel = await layer.new_channel()
    layer.attach(channel, got.put_nowait)
    await layer.group_add_many(names.values(), channel)
    missed = asyncio.Event()

    async def note() -> None:
        missed.set()

    layer.on_reconnect(note)

    async def send(host: int, text: str) -> None:
        await layer.group_send(names[host], {"type": "test", "text": text})
        async with asyncio.timeout(DEADLINE_S):
            assert (await got.get())["text"] == text

    for host in names:
        await send(host, "before")
    old = group.master
    old.kill()
    for number in range(20):
        await send(1, str(number))
    with pytest.raises(RedisDown):
        await layer.group_send(names[0], {"type": "test", "text": "lost"})
    failing_over = asyncio.create_task(asyncio.to_thread(group.wait_for_fail_over, old))
    while not failing_over.done():
        await send(1, "meanwhile")
    await eventually(missed.is_set)
    for host in names:
        await send(host, "after")
    assert got.empty()
    await layer.flush()
