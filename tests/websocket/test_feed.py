"""Heartbeats: a feed that is down never looks like a quiet market."""

import pytest
from redis import Redis

from tests.live import LiveServer
from tests.ticks import message, publish
from tests.valkey import ValkeyProcess


async def test_silence_is_broken_by_heartbeats(
    live: LiveServer, redis: Redis, settings: pytest.FixtureRequest
) -> None:
    """After QUOTES_HEARTBEAT_S without a frame a client gets the state of the feed."""
    settings.QUOTES_HEARTBEAT_S = 0.3  # type: ignore[attr-defined]
    settings.QUOTES_QUIET_AFTER_S = 1.5  # type: ignore[attr-defined]
    async with live.client() as client:
        quiet = await client.heartbeat("quiet")
        assert quiet["last_tick"] is None and quiet["timestamp"] > 0
        publish(redis, "A", message("A"))
        heard = await client.heartbeat("live")
        assert heard["last_tick"] <= heard["timestamp"]
        await client.heartbeat("quiet")


async def test_feed_going_down_and_coming_back_is_sent_at_once(live: LiveServer) -> None:
    """A client is sent that the bridge is gone, and that it is back."""
    async with live.client() as client:
        await client.ask(action="ping")
        await live.stop_bridges()
        await client.heartbeat("down")
        assert (await client.ask(action="ping"))["feed"] == "down"
        await live.start_bridge()
        await client.heartbeat("quiet")


async def test_subscribing_while_redis_is_away_works_when_it_is_back(
    live: LiveServer, redis: Redis, redis_server: ValkeyProcess
) -> None:
    """The subscription is acknowledged, and served from the moment Redis is back."""
    publish(redis, "A", message("A", "1"))
    async with live.client() as client:
        await client.ask(action="ping")
        redis_server.kill()
        await client.heartbeat("down")
        answer = await client.subscribe("A")
        assert answer["symbols"] == ["A"] and answer["feed"] == "down"
        redis_server.start()
        await client.heartbeat("live")
        with Redis.from_url(redis_server.url) as fresh:
            publish(fresh, "A", message("A", "2", 1_712_331_900_001))
        prices = [(await client.price())["price"]]
        if prices == [1]:  # what the bridge had kept
            prices.append((await client.price())["price"])
        assert prices[-1] == 2
