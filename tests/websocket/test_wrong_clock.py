"""A web process on a machine with a wrong clock: the feed's state, delayed prices, deadlines."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from quotes.store.clients import async_client
from quotes.store.names import status_keys
from quotes.websocket.feed.delayed import DelayedReader
from tests.access.people import access_token, asha
from tests.conftest import In
from tests.live import LiveServer
from tests.waiting import eventually
from tests.websocket.test_delayed import KEY, log

SetClock = Callable[[float], None]


def right_ms() -> int:
    """Return the present by the right clock, Redis's."""
    return time.time_ns() // 1_000_000


@pytest.mark.parametrize("ahead_s", [20, 3600, -3600])
async def test_live_feed_is_live(
    set_clock: SetClock, redis: Redis, settings: Any, ahead_s: int
) -> None:
    """However this machine's clock differs from that of the bridge."""
    settings.QUOTES_HEARTBEAT_S = 0.1
    set_clock(ahead_s)
    redis.set(status_keys(1)[0], b'{"last_tick":%d}' % right_ms())
    async with LiveServer() as server, server.client() as client:
        beat = await client.heartbeat("live")
        assert abs(beat["timestamp"] - right_ms()) < 10_000
        await client.send(action="ping")
        while (pong := await client.receive())["type"] != "pong":
            pass  # the status of a market may change meanwhile
        assert pong["feed"] == "live" and abs(pong["timestamp"] - right_ms()) < 10_000
        redis.set(status_keys(1)[0], b'{"last_tick":%d}' % (right_ms() - 20_000))
        await client.heartbeat("quiet")


@pytest.mark.parametrize("ahead_s", [3600, -3600])
async def test_delayed_prices_are_delayed_by_the_clock_of_the_log(
    set_clock: SetClock, redis: Redis, ahead_s: int
) -> None:
    """A clock that is ahead shows none early, one that is behind none late."""
    now = right_ms()
    log(redis, now - 16 * 60_000, "100")
    log(redis, now - 14 * 60_000, "101")
    set_clock(ahead_s)
    client = async_client()
    prices: list[bytes] = []
    async with LiveServer() as server:
        async with server.client() as first:
            await first.ask(action="ping")  # now the process knows Redis's clock
        reader = DelayedReader(15, client)
        reader.join(KEY, lambda message: prices.append(message.frame))
        await eventually(lambda: prices)
        await reader._read()
        await reader.close()
    await client.aclose()
    assert len(prices) == 1 and b'"price":100,' in prices[0]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("required")
async def test_clock_that_is_set_ends_no_connection(
    set_clock: SetClock,
    live: LiveServer,
    settings: Any,
    database: In,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A token lasts as long as it did when it was shown, and so does the time to authenticate."""
    settings.QUOTES_HEARTBEAT_S = 0.1
    token = await database(access_token, await database(asha))
    async with live.client() as waiting, live.client() as client:
        await client.ask(action="authenticate", token=token)
        right = time.time
        monkeypatch.setattr(time, "time", lambda: right() + 7200)
        set_clock(7200)
        for one in (client, waiting, client, waiting):  # deadlines are checked before each
            await one.heartbeat("quiet")
