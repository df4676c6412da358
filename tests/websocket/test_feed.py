"""Heartbeats: a feed that is down never looks like a quiet market."""

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import BusyLoadingError

from instruments.index import InstrumentIndex
from quotes.publish.publishing import publish_ticks
from quotes.runtime.clock import now_ms
from quotes.store.latest import LatestPrice, aread_snapshot, encode_latest
from quotes.store.names import own_key
from quotes.websocket.feed import latest_prices
from quotes.websocket.feed.feed import current_feed, feeds
from tests.live import LiveServer
from tests.ticks import MOMENT, message, publish, tick
from tests.valkey import ValkeyProcess
from tests.waiting import eventually


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


async def test_watch_ends_though_its_cancellation_is_lost(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Redis client may swallow a cancellation; a server that stops does not wait for it."""
    feed = await current_feed()
    reading = asyncio.Event()

    async def swallow() -> list[Any]:
        reading.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return []

    monkeypatch.setattr(feed.bridges, "_statuses", swallow)
    await reading.wait()
    del feeds[asyncio.get_running_loop()]
    async with asyncio.timeout(3):
        await feed.close()


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


@pytest.mark.parametrize("failure", [BusyLoadingError("LOADING"), TimeoutError(), None])
async def test_prices_that_were_missed_are_read_until_redis_answers(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch, failure: Exception | None
) -> None:
    """An error of Redis or silence after a reconnect only puts it off."""
    real, calls = aread_snapshot, 0

    async def failing(*arguments: Any, **keywords: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 2:
            return await real(*arguments, **keywords)
        if failure is not None:
            raise failure
        await asyncio.Event().wait()

    monkeypatch.setattr(latest_prices, "_REFRESH_TIMEOUT_S", 0.3)
    async with live.client() as client:
        await client.subscribe("A")
        publish(redis, "A", message("A", "1"))
        assert (await client.price())["price"] == 1
        monkeypatch.setattr(latest_prices, "aread_snapshot", failing)
        feed = await current_feed()
        missed = LatestPrice(now_ms(), 9, MOMENT + 5, message("A", "2", MOMENT + 5).encode())
        redis.hset("quotes:latest", "A", encode_latest(missed))
        await feed.refresh()
        assert (await client.price())["price"] == 2
        assert calls == 3


async def test_no_older_key_is_shown_while_no_bridge_works(live: LiveServer, redis: Redis) -> None:
    """Redis came back with a publisher's key of before; a newer key is shown, and then numbered."""
    async with live.client() as client:
        await client.subscribe("A", "B")
        publish(redis, "A", message("A", "1", MOMENT + 9))
        assert (await client.price())["price"] == 1
        await live.stop_bridges()
        redis.delete("quotes:latest")
        feed = await current_feed()
        for price, at in (("3", MOMENT + 5), ("4", MOMENT + 8)):
            redis.set("stock:A", message("A", price, at))
            redis.set("stock:B", message("B", price, at))
            await feed.refresh()
            found = await client.price()
            assert (found["symbol"], found["price"]) == ("B", int(price))
        redis.set("stock:A", message("A", "5", MOMENT + 10))
        await feed.refresh()
        assert (await client.price())["price"] == 5


async def test_prices_of_one_time_keep_their_order_when_a_bridge_comes_back(
    live: LiveServer, redis: Redis
) -> None:
    """Two were published in one millisecond: the first is not shown after the second."""
    async with live.client() as client:
        await client.subscribe("A", "B")
        await live.stop_bridges()
        publish_ticks([tick("A", price, MOMENT) for price in ("1", "2")], client=redis)
        redis.set("stock:B", message("B", "3", MOMENT))
        await (await current_feed()).refresh()
        assert {(await client.price())["price"] for _ in "AB"} == {2, 3}
        redis.delete("stock:B")
        await live.start_bridge()
        # Nothing but the time of this one says that it was published after what was shown.
        publish(redis, "B", message("B", "4", MOMENT))
        assert (await client.price())["price"] == 4
        publish(redis, "A", message("A", "5", MOMENT))
        assert (await client.price())["price"] == 5


async def test_no_older_price_is_shown_when_redis_comes_back_with_older_data(
    live: LiveServer, redis: Redis
) -> None:
    """A new epoch is no news while its latest price is older than the one delivered last."""
    async with live.client() as client:
        await client.subscribe("A", "B")
        publish(redis, "A", message("A", "1", MOMENT + 9))
        assert (await client.price())["price"] == 1
        feed = await current_feed()
        for field, price, at in (("A", "3", MOMENT + 5), ("B", "4", MOMENT)):
            older = LatestPrice(now_ms() * 2, 1, at, message(field, price, at).encode())
            redis.hset("quotes:latest", field, encode_latest(older))
        await feed.refresh()
        assert (await client.price())["symbol"] == "B"


class OneThread(ThreadPoolExecutor):
    """A pool that counts what it is used for."""

    def __init__(self) -> None:
        super().__init__(1)
        self.calls = 0

    def submit(self, *arguments: Any, **keywords: Any) -> Any:
        self.calls += 1
        return super().submit(*arguments, **keywords)


async def test_nobody_is_served_before_the_master_was_read(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the first client nor the second, and no pool of threads is used to wait."""
    read = False
    monkeypatch.setattr(InstrumentIndex, "wait", lambda index, timeout_s: read)
    pool = OneThread()
    asyncio.get_running_loop().set_default_executor(pool)

    async def enter() -> str:
        async with live.client() as client:
            return str((await client.ask(action="ping"))["type"])

    tasks = [asyncio.create_task(enter()) for _ in range(2)]
    await asyncio.wait(tasks, timeout=0.2)
    assert not any(task.done() for task in tasks) and not pool.calls
    read = True
    assert await asyncio.gather(*tasks) == ["pong", "pong"]


async def test_threads_of_history_end_with_the_feed(live: LiveServer) -> None:
    """They are no threads of the process."""
    async with live.client() as client:
        await client.subscribe("A")
    feed = feeds.pop(asyncio.get_running_loop())
    thread = await feed.history._query(threading.current_thread, threading.main_thread())
    assert thread.is_alive()
    await feed.close()
    await eventually(lambda: not thread.is_alive())


async def test_price_without_a_number_has_that_of_no_other(live: LiveServer, redis: Redis) -> None:
    """A newer price in a publisher's key is shown as one that no bridge has numbered."""
    publish(redis, "A", message("A", "1", MOMENT))
    await eventually(lambda: redis.hget(own_key("latest"), "A"))
    await live.stop_bridges()
    redis.set("stock:A", message("A", "2", MOMENT + 1))
    async with live.client() as client:
        await client.subscribe("A", seq=True)
        prices = [await client.price()]
        if prices[0]["price"] == 1:
            prices.append(await client.price())
        assert (prices[-1]["price"], prices[-1]["epoch"], prices[-1]["seq"]) == (2, 0, 0)
