"""A Redis that is back, and answers every command with an error until it has read its file."""

import asyncio
import logging

import pytest
from redis import Redis

from quotes.layer import QuotesChannelLayer
from quotes.layer.lane_link import LaneLink
from quotes.runtime.background import background_failures
from quotes.runtime.redis_link import RedisLink
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
    """A reconnect hook that raises is run again; the next one runs once, and the link stays."""
    with ValkeyProcess(free_port()) as server:
        layer = QuotesChannelLayer(hosts=[server.url])
        hooks: list[str] = []

        failures: list[str] = []

        async def fails() -> None:
            if len(failures) < 2:
                failures.append("failed")
                raise RuntimeError("as a mistake in a hook would")
            hooks.append("ran after failures")

        async def works() -> None:
            hooks.append("ran")

        layer.on_reconnect(fails)
        layer.on_reconnect(works)
        channel = await layer.new_channel()
        await layer.group_add("g", channel)
        server.kill()
        await eventually(lambda: layer.state.links[0].link is None)
        await asyncio.to_thread(server.start)
        await eventually(lambda: hooks == ["ran", "ran after failures"])
        assert not background_failures()
        await layer.group_send("g", {"type": "x"})
        async with asyncio.timeout(10):
            assert await layer.receive(channel) == {"type": "x"}
        await layer.flush()


@pytest.mark.parametrize("is_first", [True, False])
async def test_link_that_fails_to_open_is_opened_again(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, is_first: bool
) -> None:
    """Whatever goes wrong, nobody waits for ever, it is listed, and the link comes back alone."""
    layer = QuotesChannelLayer()
    channel = await layer.new_channel() if not is_first else layer.local_channel()
    ping = RedisLink.ping
    links: list[RedisLink] = []

    async def fails(link: RedisLink) -> None:
        if len(links) < 4:
            links.append(link)
            raise KeyError("as a mistake would")
        await ping(link)

    monkeypatch.setattr(RedisLink, "ping", fails)
    (link,) = layer.state.links
    if link.link is not None:
        link.link.abort()
    async with asyncio.timeout(10):
        await layer.group_add("g", channel)
    await eventually(lambda: len(links) == 4)
    (failure,) = background_failures()
    assert failure.name == "connecting to Redis" and failure.error == "KeyError"
    assert failure.stops_prices == (failure.times >= 3)
    await eventually(lambda: link.link is not None)
    await eventually(lambda: not background_failures())
    assert all(one.closed for one in links)  # none that also hands messages over
    assert isinstance(link, LaneLink) and link.confirmed
    await layer.flush()
