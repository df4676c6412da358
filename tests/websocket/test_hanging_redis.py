"""Redis hangs, is away or loads its file: every request is answered, and prices come afterwards."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis import Redis

from quotes.websocket.feed.feed import current_feed
from tests.live import Client, Frame, LiveServer
from tests.ticks import MOMENT, message, publish
from tests.valkey import ValkeyProcess
from tests.waiting import eventually

# Each waits for Redis for 1 s at most; the rest is for a busy machine.
SOON_S = 3.5
MANY = [f"S{number}" for number in range(500)]


@pytest.fixture
def hanging(redis: Redis, redis_server: ValkeyProcess) -> Iterator[ValkeyProcess]:
    """Redis, which a test pauses and may leave paused."""
    yield redis_server
    redis_server.resume()


@contextlib.asynccontextmanager
async def clients(live: LiveServer, count: int) -> AsyncIterator[list[Client]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(live.client()) for _ in range(count)]


async def answers(client: Client, *ids: Any) -> dict[Any, Frame]:
    """Return the frames that answer these requests, and no others."""
    found: dict[Any, Frame] = {}
    while found.keys() != set(ids):
        frame = await client.receive()
        if frame.get("type") in ("subscribed", "unsubscribed", "pong", "error"):
            found[frame["id"]] = frame
    return found


async def subscribe_all(everyone: list[Client]) -> None:
    """Let each client send many changes at once; all are answered soon."""
    async with asyncio.timeout(SOON_S):
        for number, client in enumerate(everyone):
            await client.send(action="subscribe", symbols=[f"OWN{number}", "SHARED"], id=1)
            await client.send(action="subscribe", symbols=MANY, id=2)
            await client.send(action="subscribe", symbol="CANDLES", candles="1m", id=3)
            await client.send(action="subscribe", symbol="PAST", history={"ticks": 5}, id=4)
            await client.send(action="unsubscribe", symbols=MANY, id=5)
            await client.send(action="ping", id=6)
        for client in everyone:
            found = await answers(client, 1, 2, 3, 4, 5, 6)
            assert [found[id]["type"] for id in range(1, 7)] == [
                *["subscribed"] * 4,
                *("unsubscribed", "pong"),
            ]


@pytest.mark.parametrize("live", ["wire", "asgi"], indirect=True)
async def test_requests_are_answered_while_redis_hangs(
    live: LiveServer, redis: Redis, hanging: ValkeyProcess
) -> None:
    """From the first moment, before anybody knows: subscribes are made, and come alive later."""
    redis.set("stock:SHARED", message("SHARED", "1"))
    async with clients(live, 5) as everyone:
        await everyone[0].subscribe("FIRST")
        hanging.pause()
        await subscribe_all(everyone)
        # Connections are accepted, and their requests answered at once: it is known by now.
        async with asyncio.timeout(SOON_S), clients(live, 3) as later:
            await subscribe_all(later)
        hanging.resume()
        for client in everyone:
            first = await client.price()
            assert (first["symbol"], first["price"]) == ("SHARED", 1)
        publish(redis, "SHARED", message("SHARED", "2", MOMENT + 1))
        for client in everyone:
            assert (await client.price())["price"] == 2


async def test_requests_are_answered_while_redis_is_away(
    live: LiveServer, redis: Redis, redis_server: ValkeyProcess
) -> None:
    """Subscriptions that were made meanwhile get the latest price by themselves."""
    async with clients(live, 3) as everyone:
        redis_server.kill()
        await subscribe_all(everyone)
        await asyncio.to_thread(redis_server.start)
        await eventually(lambda: live.bridges[0][0].bridging)
        publish(redis, "SHARED", message("SHARED", "1"))
        for client in everyone:
            assert (await client.price())["symbol"] == "SHARED"


async def test_short_hang_leaves_no_subscription_without_a_price(
    live: LiveServer, redis: Redis, hanging: ValkeyProcess, settings: Any
) -> None:
    """A hang that ends no connection: what was not read in time is read, and no tick is missed."""
    settings.QUOTES_REDIS_TIMEOUT_S = 0.1
    redis.set("stock:A", message("A", "1"))
    async with live.client() as client, live.client() as other:
        await other.subscribe("FIRST")
        feed = await current_feed()
        hanging.pause()
        assert (await client.subscribe("A"))["symbols"] == ["A"]
        assert feed.requests.breaker.is_open
        hanging.resume()
        assert (await client.price())["price"] == 1
        await eventually(lambda: not feed.requests.breaker.is_open)
        assert (await other.subscribe("A"))["symbols"] == ["A"]
        assert (await other.price())["price"] == 1
        publish(redis, "A", message("A", "2", MOMENT + 1))
        assert [(await one.price())["price"] for one in (client, other)] == [2, 2]


async def test_resuming_says_that_the_log_cannot_be_read(
    live: LiveServer, redis: Redis, hanging: ValkeyProcess
) -> None:
    """Neither a false "no longer kept" nor an empty past without a reason."""
    since = {"epoch": 1, "seq": 1}
    async with live.client() as client:
        hanging.pause()
        async with asyncio.timeout(SOON_S):
            assert (await client.subscribe("A", since=since))["symbols"] == ["A"]
            resumed = await client.receive()
            await client.subscribe("B", history={"ticks": 5})
            history = await client.receive()
        assert (resumed["type"], resumed["recovered"], resumed["retry"]) == ("resumed", False, True)
        assert (history["type"], history["ticks"]) == ("history", [])
        for frame in (resumed, history):
            assert "cannot be read at the moment" in frame["reason"]


async def test_process_that_starts_while_redis_hangs_serves_its_clients(
    redis: Redis, hanging: ValkeyProcess
) -> None:
    """The first handshake waits for Redis no longer than any request."""
    hanging.pause()
    async with LiveServer() as server:
        async with asyncio.timeout(SOON_S), server.client() as client:
            assert (await client.ask(action="ping"))["feed"] == "down"
        async with server.client() as client:
            async with asyncio.timeout(SOON_S):
                assert (await client.subscribe("A"))["feed"] == "down"
            redis_is_back = asyncio.get_running_loop().run_in_executor(None, hanging.resume)
            await redis_is_back
            await server.start_bridge()
            publish(redis, "A", message("A", "1"))
            assert (await client.price())["price"] == 1
