"""A client that fails is ended by itself; all others get what is due to them."""

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest
from redis import Redis
from websockets.exceptions import ConnectionClosed

from quotes.websocket.delivery import framing, intervals
from quotes.websocket.delivery.flush_scheduler import FlushScheduler
from quotes.websocket.delivery.intervals import PriceInterval
from quotes.websocket.delivery.price_message import PriceMessage
from quotes.websocket.feed.feed import current_feed
from quotes.websocket.session import ClientSession
from tests.live import Client, LiveServer
from tests.ticks import MOMENT, message, publish
from tests.waiting import DEADLINE_S, eventually

Opened = Callable[..., AbstractAsyncContextManager[Client]]
BOTH = pytest.mark.parametrize("live", ["wire", "asgi"], indirect=True)


class Failing:
    """An outbox that raises, or only notes that it was called."""

    def __init__(self, *, raises: bool) -> None:
        self.raises = raises
        self.calls = 0
        self.errors: list[Exception] = []

    def flush(self) -> None:
        self.calls += 1
        if self.raises:
            raise RuntimeError("as a mistake in an outbox would")

    interval_over = flush

    def fail(self, error: Exception) -> None:
        self.errors.append(error)
        raise RuntimeError("cannot even be ended")


async def test_outbox_that_raises_takes_no_flush_from_others() -> None:
    """All others are flushed, it alone is ended, and the next flush is scheduled as ever."""
    scheduler = FlushScheduler(asyncio.get_running_loop())
    before, failing, behind = (Failing(raises=one) for one in (False, True, False))
    for count in (1, 2):
        for outbox in (before, failing, behind):
            scheduler.gather(outbox)
        await eventually(lambda count=count: behind.calls == count)  # type: ignore[misc]
        assert (before.calls, failing.calls, len(failing.errors)) == (count,) * 3
        assert scheduler.next_flush > scheduler.now


async def test_outbox_that_raises_takes_no_interval_from_others() -> None:
    """The others of its interval are called, and it is a member no more."""
    interval = PriceInterval()
    members = [Failing(raises=one) for one in (False, True, False)]
    interval.members.update(members)
    interval.price(PriceMessage("A", 1, 1, 1, b""))
    for _ in range(2):
        interval.over()
    assert [one.calls for one in members] == [2, 1, 2]
    assert len(members[1].errors) == 1 and members[1] not in interval.members
    assert not interval.so_far({"A"})


CONFIGURATIONS: list[dict[str, Any]] = [
    {"batch": False, "interval_ms": 0},
    {"batch": True, "interval_ms": 0},
    {"batch": False, "interval_ms": 20},
    {"batch": True, "interval_ms": 20},
]


async def price_of(client: Client) -> int:
    """Return the next price, alone or in an array."""
    while True:
        frame = json.loads(await client.receive_text())
        for item in frame if isinstance(frame, list) else [frame]:
            if "type" not in item:
                return int(item["price"])


async def close_code(client: Client) -> int:
    """Return the code with which the server closes the connection."""
    with pytest.raises(ConnectionClosed) as closed:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                await client.connection.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


async def end_a_client_of_three(opened: Opened, redis: Redis, wish: dict[str, Any]) -> None:
    """Publish three prices, of which the second cannot be framed for the client in the middle."""
    async with (
        opened() as before,
        opened(subprotocols=["live-price.msgpack"]) as failing,
        opened() as behind,
    ):
        for client in (before, failing, behind):
            await client.ask(action="configure", **wish)
            await client.subscribe("A")
        for number in (1, 2, 3):
            publish(redis, "A", message("A", str(number), MOMENT + number))
            for client in (before, behind):
                assert await price_of(client) == number
        assert await close_code(failing) == 4000


@BOTH
@pytest.mark.parametrize("wish", CONFIGURATIONS)
async def test_client_whose_prices_cannot_be_framed_is_ended_alone(
    live: LiveServer,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    wish: dict[str, Any],
) -> None:
    """It is closed with 4000 and logged once, and those before and behind it have each price."""
    monkeypatch.setattr(intervals, "SETTLED_S", 0.0)
    payload = framing.payload

    def broken(price: PriceMessage, encoding: str, mode: str) -> bytes:
        if encoding == "msgpack" and b'"price":2' in price.frame:
            raise RuntimeError("as a mistake in an encoder would")
        return payload(price, encoding, mode)

    monkeypatch.setattr(framing, "payload", broken)
    caplog.set_level(logging.ERROR)
    await end_a_client_of_three(live.client, redis, wish)
    assert (await current_feed()).failed_clients == 1
    incidents = [one for one in caplog.records if "incident" in one.getMessage()]
    assert len(incidents) == 1 and incidents[0].exc_info is not None


@BOTH
@pytest.mark.parametrize("call", ["check_deadlines", "market_changed", "feed_changed"])
async def test_client_that_fails_in_the_feeds_watch_is_ended_alone(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The watch goes on: the others learn that the feed went down, and have their prices."""
    sessions: list[ClientSession] = []
    original = getattr(ClientSession, call)

    def broken(session: ClientSession, *arguments: Any) -> None:
        if session is sessions[0]:
            raise RuntimeError("as a mistake in a session would")
        original(session, *arguments)

    begin = ClientSession.__init__

    def note(session: ClientSession, *arguments: Any, **keywords: Any) -> None:
        sessions.append(session)
        begin(session, *arguments, **keywords)

    monkeypatch.setattr(ClientSession, "__init__", note)
    async with live.client() as failing, live.client() as other:
        for client in (failing, other):
            await client.subscribe("A")
        monkeypatch.setattr(ClientSession, call, broken)
        feed = await current_feed()
        if call == "market_changed":
            values = {"segment": "NSE_EQ", "status": "open", "name": ""}
            changes = [[{**values, "next_change": None, "next_status": ""}]]
            monkeypatch.setattr(feed.markets, "changes", lambda: changes.pop() if changes else [])
        await live.stop_bridges()
        await other.heartbeat("down")
        assert await close_code(failing) == 4000
        assert feed.failed_clients == 1
        await live.start_bridge()
        publish(redis, "A", message("A", "1"))
        assert (await other.price())["price"] == 1


async def test_client_that_cannot_follow_the_master_is_ended_alone(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All others follow, whatever becomes of one of them."""
    followed: list[ClientSession] = []

    async def follow(session: ClientSession, resolve: object) -> None:
        followed.append(session)
        if len(followed) == 1:
            raise RuntimeError("as a mistake in a session would")

    monkeypatch.setattr(ClientSession, "follow_master", follow)
    async with live.client() as one, live.client() as other:
        for client in (one, other):
            await client.subscribe("A")
        feed = await current_feed()
        await feed.follow_master()
        assert len(followed) == 2 and len(feed.listeners) == 1 and feed.failed_clients == 1


ODD_FIELDS = [
    ',"volume":' + "9" * 30,
    ',"x":' + "[" * 30 + "]" * 30,
    ',"x":{"y":[' + "-" + "9" * 60 + "]}",
    ',"x":1e-999999999999999999999',
]


async def send_odd_values(opened: Opened, redis: Redis, field: str) -> None:
    """Publish ticks with a field, and read them in two encodings."""
    async with opened(subprotocols=["live-price.msgpack"]) as packed, opened() as plain:
        for client in (packed, plain):
            await client.ask(action="configure", batch=True)
            await client.subscribe("A")
        for number in (1, 2):
            text = message("A", str(number + 2), MOMENT + number)[:-1] + field + "}"
            publish(redis, "A", text)
            assert await price_of(plain) == number + 2
            async with asyncio.timeout(DEADLINE_S):
                found = msgspec.msgpack.decode(await packed.connection.recv(decode=False))
            assert [one["price"] for one in found] == [number + 2]


@BOTH
@pytest.mark.parametrize("field", ODD_FIELDS)
async def test_tick_with_odd_values_reaches_every_encoding(
    live: LiveServer, redis: Redis, field: str
) -> None:
    """Numbers that MessagePack cannot carry are text there, and its clients stay."""
    await send_odd_values(live.client, redis, field)


async def send_too_deep(live: LiveServer, opened: Opened, redis: Redis) -> None:
    """Publish a tick that is nested too deep, and one that is not."""
    async with opened(subprotocols=["live-price.msgpack"]) as packed:
        await packed.subscribe("A")
        publish(redis, "A", message("A")[:-1] + ',"x":' + "[" * 900 + "]" * 900 + "}")
        publish(redis, "A", message("A", "5", MOMENT + 1))
        async with asyncio.timeout(DEADLINE_S):
            found = msgspec.msgpack.decode(await packed.connection.recv(decode=False))
        assert found["price"] == 5
    await eventually(lambda: live.bridges[0][0].market.counters.bad == 1)


async def test_tick_nested_too_deep_is_refused_and_the_next_one_is_shown(
    live: LiveServer, redis: Redis
) -> None:
    """The bridge refuses what some encoder cannot carry."""
    await send_too_deep(live, live.client, redis)


MODES = ["ltp", "quote", "full"]


async def send_longest_tick(opened: Opened, redis: Redis, mode: str) -> None:
    """Publish a tick of 16 KiB, and read it."""
    key = "NFO:NIFTY26AUGFUT"
    async with opened() as client:
        await client.subscribe(key, mode=mode)
        text = message("NIFTY26AUGFUT", "5", pad="")
        text = message("NIFTY26AUGFUT", "5", pad="x" * (16_384 - len(text)))
        assert len(text) == 16_384
        publish(redis, key, text)
        price = await client.price()
        assert price["price"] == 5 and price["segment"] == "NFO"


@pytest.mark.parametrize("mode", MODES)
async def test_longest_tick_comes_in_every_mode(live: LiveServer, redis: Redis, mode: str) -> None:
    """A tick of 16 KiB, to which a segment is added, is not lost in any mode."""
    await send_longest_tick(live.client, redis, mode)


@BOTH
async def test_subscribe_that_fails_leaves_nothing_behind(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client is told of a failure, is subscribed to nothing, and can subscribe again."""
    feed = await current_feed()
    read = feed.latest.first.read

    async def fails(*args: Any, **options: Any) -> Any:
        raise RuntimeError("as a mistake would")

    async with live.client() as client:
        monkeypatch.setattr(feed.latest.first, "read", fails)
        assert (await client.subscribe("A", "B"))["code"] == 500
        assert (await client.ask(action="list"))["symbols"] == []
        publish(redis, "A", message("A", "1", MOMENT))
        monkeypatch.setattr(feed.latest.first, "read", read)
        assert (await client.subscribe("A"))["symbols"] == ["A"]
        assert (await client.price())["price"] == 1
        publish(redis, "A", message("A", "2", MOMENT + 1))
        assert (await client.price())["price"] == 2
