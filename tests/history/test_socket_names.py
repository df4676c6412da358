"""What came before a name meant an instrument is sent to its clients as the instrument's."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from quotes.websocket.feed.feed import master_changed
from tests.history.logs import OPENING
from tests.history.masters import Import, replaced_master
from tests.history.test_socket import publish, record_here, resume, stored
from tests.instruments.factories import reliance
from tests.live import LiveServer
from tests.ticks import tick

__all__ = ["stored"]

pytestmark = pytest.mark.usefixtures("stored")


@pytest.fixture
def master() -> Iterator[Import]:
    with replaced_master() as use:
        use()
        yield use


async def publish_bare(redis: Redis, first: int, last: int) -> None:
    ticks = [tick("RELIANCE", str(n), OPENING + n, volume=10 * n) for n in range(first, last + 1)]
    await publish(redis, *ticks)


def learn(live: LiveServer, master: Import) -> None:
    master(reliance(), reliance("BSE_EQ"))
    live.bridges[0][0].market.rebind_names()
    master_changed()


def shown(frame: dict[str, Any]) -> list[tuple[object, ...]]:
    return [(one["symbol"], one["segment"], one["price"]) for one in frame["ticks"]]


@pytest.mark.parametrize("where", ["log", "database", "both"])
@pytest.mark.parametrize("name", ["RELIANCE", "NSE:RELIANCE"])
async def test_last_ticks_are_those_of_both_names(
    live: LiveServer, redis: Redis, master: Import, where: str, name: str
) -> None:
    """They come in order, under the name that the instrument has now."""
    await publish_bare(redis, 1, 3)
    if where != "log":
        await asyncio.to_thread(record_here, redis)
        redis.xtrim("quotes:log:1", maxlen=0)
    if where == "both":
        await publish_bare(redis, 4, 4)
    learn(live, master)
    expected = [("RELIANCE", "NSE_EQ", n) for n in range(1, 5 if where == "both" else 4)]
    async with live.client() as client:
        await client.send(action="subscribe", symbol=name, history={"ticks": 9})
        assert (await client.receive())["type"] == "subscribed"
        assert shown(await client.receive()) == expected
    await publish_bare(redis, 8, 9)
    expected += [("RELIANCE", "NSE_EQ", n) for n in (8, 9)]
    async with live.client() as client:
        await client.send(action="subscribe", symbol=name, history={"ticks": 9})
        await client.receive()
        assert shown(await client.receive()) == expected
    async with live.client() as client:  # which another listing has not
        await client.send(action="subscribe", symbol="BSE:RELIANCE", history={"ticks": 9})
        await client.receive()
        assert shown(await client.receive()) == []


async def test_client_that_comes_back_after_the_change_misses_nothing(
    live: LiveServer, redis: Redis, master: Import
) -> None:
    """Until the instrument has a number of its own, those of its former name go on."""
    await publish_bare(redis, 1, 1)
    async with live.client() as client:
        await client.subscribe("RELIANCE", seq=True)
        last = await client.price()
    since = {"epoch": last["epoch"], "seq": last["seq"]}
    await publish_bare(redis, 2, 4)
    learn(live, master)
    async with live.client() as client:
        answer = await resume(client, "RELIANCE", since)
        assert (answer["recovered"], answer["ticks"]) == (True, 3)
        prices = [await client.price() for _ in range(3)]
        assert [(one["price"], one["segment"]) for one in prices] == [
            (price, "NSE_EQ") for price in (2, 3, 4)
        ]
        await publish_bare(redis, 5, 5)
        following = await client.price()
        assert following["price"] == 5 and following["epoch"] > since["epoch"]
    async with live.client() as client:  # from then on the numbers are others
        answer = await resume(client, "RELIANCE", since)
        assert answer["recovered"] is False
        assert (await client.price())["price"] == 5


async def test_past_candles_are_those_of_both_names(
    live: LiveServer, redis: Redis, master: Import
) -> None:
    """The first candles of a subscription come from both series."""
    await publish_bare(redis, 1, 3)
    await asyncio.to_thread(record_here, redis)
    learn(live, master)
    past = {"candles": {"interval": "1m", "count": 10}}
    for ticks in (3, 4):
        async with live.client() as client:
            await client.send(action="subscribe", symbol="RELIANCE", candles="1m", history=past)
            await client.receive()
            (one,) = (await client.receive())["candles"]
            assert (one["ticks"], one["volume"], one["open"]) == (ticks, ticks * 10, 1)
        await publish_bare(redis, 4, 4)
        await asyncio.to_thread(record_here, redis)
