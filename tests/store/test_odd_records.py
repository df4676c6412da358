"""Records in Redis that this server did not write: one takes nobody else's prices away."""

from typing import Any

import pytest
from redis import Redis

from quotes.publish.publishing import publish_ticks
from quotes.store.latest import find_latest
from quotes.store.names import own_key
from quotes.websocket.feed.bridge_watch import FeedState
from quotes.websocket.feed.feed import current_feed
from tests.live import LiveServer
from tests.ticks import MOMENT, message, publish, tick
from tests.waiting import eventually

ODD_RECORDS = [
    b"x",
    b"",
    b"1 2 3",
    b"a 1 1 {}",
    b"-1 1 1 {}",
    b"99999999999999999999 1 1 {}",
    b"1 1 1 no price",
    b"\xff\xfe \xff 1 {}",
]
ODD_NAMES = [b"\xff", b"", b"*", b" A", b"NSE_EQ:"]
ODD_KEYS = [
    ("run:1", b"\xff\xfe"),
    ("run:1", b"x" * 10_000),
    ("master:1", b"\xff:\xfe"),
    ("shards", b"many"),
    ("shards", b"-1"),
    ("shards", b"0"),
    ("shards", b"1e99"),
    ("status:1", b"{"),
    ("status:1", b"[]"),
    ("status:1", b"{}"),
    ("status:1", b'{"last_tick":"x"}'),
    ("recorder:status", b"\xff"),
    ("recorder:status", b"[]"),
    ("recorder:status", b'{"committed":"x","behind":[]}'),
]


@pytest.mark.parametrize("record", ODD_RECORDS)
async def test_odd_latest_price_stops_nothing(
    live: LiveServer, redis: Redis, record: bytes
) -> None:
    """Bridges start, clients subscribe, and the next tick replaces the record."""
    publish_ticks([tick("B", "5")], client=redis)
    await eventually(lambda: redis.hget(own_key("latest"), "B"))
    await live.stop_bridges()
    odd: Any = {"A": record, **dict.fromkeys(ODD_NAMES, b"1 1 1 {}")}
    redis.hset(own_key("latest"), mapping=odd)
    await live.start_bridge()
    async with live.client() as client:
        acknowledged = await client.subscribe("A", "B")
        assert acknowledged["symbols"] == ["A", "B"]
        assert (await client.price())["price"] == 5
        publish(redis, "A", message("A", "7", MOMENT))
        assert (await client.price())["price"] == 7
    written: Any = redis.hget(own_key("latest"), "A")
    assert find_latest("A", written) is not None


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "value"), ODD_KEYS)
async def test_odd_key_of_our_own_stops_nothing(
    live: LiveServer, redis: Redis, name: str, value: bytes, async_client: Any
) -> None:
    """A bridge that starts later makes it right, and prices go on."""
    await live.stop_bridges()
    redis.set(own_key(name), value)
    response = await async_client.get("/readyz")
    assert response.status_code in (200, 503) and response["Content-Type"] == "application/json"
    await live.start_bridge()
    async with live.client() as client:
        assert (await client.subscribe("A"))["type"] == "subscribed"
        publish_ticks([tick("A", "7")], client=redis)
        assert (await client.price())["price"] == 7
        feed = await current_feed()
        await eventually(lambda: feed.state is FeedState.LIVE)
