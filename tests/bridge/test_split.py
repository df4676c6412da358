"""The network splits: the old master goes on with a bridge, and a promoted one has another."""

import asyncio
from collections.abc import Callable
from typing import Any

from redis import Redis

from quotes.bridge.bridge import Bridge
from quotes.runtime.redis_link import PublishedMessages, RedisLink
from quotes.store.names import own_key
from quotes.store.tick_log import decode_entry, log_key
from tests.live import LiveServer
from tests.sentinels import SentinelGroup
from tests.ticks import MOMENT, message, publish
from tests.valkey import ValkeyProcess
from tests.waiting import eventually, wait_until


def logged(server: ValkeyProcess) -> dict[tuple[int, int], int]:
    """Return number -> time of the ticks that a server's log has."""
    with Redis(port=server.port) as client:
        entries: Any = client.xrange(log_key(1))
    ticks = [tick for _, fields in entries for tick in decode_entry(fields)]
    return {(tick.epoch, tick.seq): tick.timestamp for tick in ticks}


def publish_at(server: ValkeyProcess, number: int) -> None:
    with Redis(port=server.port) as client:
        publish(client, "A", message("A", str(number), MOMENT + number))


def cut_off(bridge: Bridge, server: ValkeyProcess) -> None:
    """Let a bridge reach one server alone, and no Sentinel."""

    async def connect(
        on_messages: Callable[[PublishedMessages], None] | None = None,
    ) -> RedisLink:
        return await RedisLink.connect(
            server.url, on_messages=on_messages, on_lost=bridge._wake.set
        )

    bridge._connect = connect  # type: ignore[method-assign]


async def test_both_sides_give_numbers_of_their_own(settings: Any) -> None:
    """And the old side stops, where a master needs a replica to take writes."""
    settings.QUOTES_BRIDGE_LEASE_MS = 500
    with SentinelGroup() as group:
        settings.REDIS_URL = group.url
        old = group.master
        async with LiveServer() as service:
            first = await service.start_bridge()
            standing_by = Bridge(service.layer, report=print)
            cut_off(standing_by, old)
            running = asyncio.create_task(standing_by.run())
            publish_at(old, 1)
            await eventually(lambda: logged(old))
            wait_until(group.is_replicated)
            old.pause()
            new = await asyncio.to_thread(group.wait_for_fail_over, old)
            await eventually(lambda: first.bridging and first.writer.link.address[1] == new.port)
            group.sentinel.kill()  # it would demote the old master
            old.resume()
            await eventually(lambda: standing_by.bridging)
            for number in range(2, 6):
                publish_at(old, number)
                publish_at(new, number)
            await eventually(lambda: len(logged(old)) == len(logged(new)) == 5)
            with Redis(port=old.port) as client, Redis(port=new.port) as other:
                holders = [one.get(own_key("lease:1")) for one in (client, other)]
                assert None not in holders and len(set(holders)) == 2
                shared = logged(old).keys() & logged(new).keys()
                assert {logged(old)[one] for one in shared} == {MOMENT + 1}
                client.config_set("min-replicas-to-write", 1)
            await eventually(lambda: not standing_by.bridging)
            assert len(logged(old)) == 5
            assert first.bridging
            standing_by.stop()
            await running
