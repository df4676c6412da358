"""A Redis that confirms a membership late: the caller goes on, and learns when it must catch up."""

import asyncio

from redis import Redis

from quotes.layer import QuotesChannelLayer
from tests.valkey import ValkeyProcess


async def test_member_that_does_not_wait_catches_up_later(
    redis: Redis, redis_server: ValkeyProcess
) -> None:
    """`within_s` bounds the wait; the hooks run once when all late lanes are listened to."""
    layer = QuotesChannelLayer(hosts=[redis_server.url])
    caught_up = asyncio.Queue[None]()

    async def hook() -> None:
        caught_up.put_nowait(None)

    layer.on_reconnect(hook)
    channel = await layer.new_channel()
    groups = [f"g{number}" for number in range(20)]
    redis_server.pause()
    try:
        async with asyncio.timeout(2):
            for group in groups:
                await layer.group_add_many([group], channel, within_s=0.01)
        assert caught_up.empty()
    finally:
        redis_server.resume()
    async with asyncio.timeout(10):
        await caught_up.get()
        for group in groups:
            await layer.group_send(group, {"type": "x"})
            assert await layer.receive(channel) == {"type": "x"}
    assert caught_up.empty()
    await layer.group_add_many(["other"], channel, within_s=5)
    assert caught_up.empty()
    await layer.flush()
