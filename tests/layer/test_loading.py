"""A Redis that is back, and answers every command with an error until it has read its file."""

import asyncio
import logging

import pytest
from redis import Redis

from quotes.layer import QuotesChannelLayer
from tests.ports import free_port
from tests.valkey import ValkeyProcess
from tests.waiting import eventually

# Two seconds of loading, during which commands are answered by LOADING.
SLOW = ("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
KEYS = 2000


async def test_members_hear_again_when_redis_has_loaded_its_file(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """LOADING is waited out: lanes are subscribed again, hooks run, and messages arrive."""
    caplog.set_level(logging.WARNING)
    with ValkeyProcess(free_port(), *SLOW, "--rdbcompression", "no") as server:
        layer = QuotesChannelLayer(hosts=[server.url])
        reconnected = asyncio.Event()

        async def hook() -> None:
            reconnected.set()

        layer.on_reconnect(hook)
        channel = await layer.new_channel()
        await layer.group_add("g", channel)
        with Redis.from_url(server.url) as client:
            client.mset({f"key:{number}": "x" * 100 for number in range(KEYS)})
            client.save()
        server.kill()
        await asyncio.to_thread(server.start)  # returns when the file is loaded
        async with asyncio.timeout(10):
            await reconnected.wait()
            await layer.group_send("g", {"type": "x"})
            assert await layer.receive(channel) == {"type": "x"}
        await layer.flush()
    assert any("LOADING" in record.message for record in caplog.records)


async def test_failing_hook_harms_no_other() -> None:
    """A reconnect hook that raises is logged; the next one runs, and the link stays."""
    with ValkeyProcess(free_port()) as server:
        layer = QuotesChannelLayer(hosts=[server.url])
        hooks: list[str] = []

        async def fails() -> None:
            raise RuntimeError("as a mistake in a hook would")

        async def works() -> None:
            hooks.append("ran")

        layer.on_reconnect(fails)
        layer.on_reconnect(works)
        channel = await layer.new_channel()
        await layer.group_add("g", channel)
        server.kill()
        await eventually(lambda: layer.state.links[0].link is None)
        await asyncio.to_thread(server.start)
        await eventually(lambda: hooks == ["ran"])
        await layer.group_send("g", {"type": "x"})
        async with asyncio.timeout(10):
            assert await layer.receive(channel) == {"type": "x"}
        await layer.flush()
