"""Many clients subscribe to many instruments at once: others go on, and each has every price."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from redis import Redis

from quotes.publish.publishing import publish_ticks
from quotes.runtime.clock import now_ms
from quotes.runtime.time_slices import Steps
from quotes.store.latest import LatestPrice, PriceSnapshot, Wanted, encode_latest
from quotes.websocket.feed.feed import Feed, current_feed
from quotes.websocket.feed.latest_prices import LatestPrices
from quotes.websocket.session import ClientSession
from tests.live import Client, LiveServer
from tests.ticks import MOMENT, message, publish, tick
from tests.waiting import DEADLINE_S, eventually

BOTH = pytest.mark.parametrize("live", ["wire", "asgi"], indirect=True)
NAMES = [f"S{number}" for number in range(3000)]


def store(redis: Redis, names: Sequence[str]) -> None:
    """Write a latest price of each, as a bridge does."""
    epoch = now_ms()
    records: dict[Any, Any] = {
        name: encode_latest(LatestPrice(epoch, 1, MOMENT, message(name, "1").encode()))
        for name in names
    }
    redis.hset("quotes:latest", mapping=records)


async def first_prices(client: Client, count: int) -> dict[str, Any]:
    """Return the first price of so many symbols; none may come twice."""
    found: dict[str, Any] = {}
    async with asyncio.timeout(DEADLINE_S):
        while len(found) < count:
            text = await client.connection.recv()
            price = json.loads(text) if isinstance(text, str) else msgspec.msgpack.decode(text)
            if "type" not in price:
                assert price["symbol"] not in found
                found[price["symbol"]] = price["price"]
    return found


def endless() -> Steps[None]:
    while True:
        yield


@BOTH
async def test_prices_pings_and_small_requests_pass_long_work(
    live: LiveServer, redis: Redis
) -> None:
    """While work goes on that never ends, a client is served as ever."""
    store(redis, ["A", "B"])
    async with live.client() as client:
        await client.subscribe("A")
        assert (await client.price())["symbol"] == "A"
        feed = await current_feed()
        task = asyncio.create_task(feed.slices.run(endless()))
        publish(redis, "A", message("A", "2", MOMENT + 2))
        assert (await client.price())["price"] == 2
        assert (await client.ask(action="ping"))["type"] == "pong"
        assert (await client.subscribe("B"))["symbols"] == ["B"]
        assert (await client.price())["symbol"] == "B"
        assert (await client.ask(action="unsubscribe", symbol="B"))["symbols"] == ["B"]
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@BOTH
async def test_large_subscribe_is_done_in_steps(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With new names and with known ones, and so is leaving them: each turn does a part alone."""
    store(redis, NAMES)
    async with live.client() as client, live.client() as second:
        feed = await current_feed()
        monkeypatch.setattr(feed.slices, "_slice_s", 0.0)
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        for one in (client, second):
            before = turns
            answer = await one.subscribe(*NAMES)
            assert answer["symbols"] == NAMES and not answer["rejected"]
            assert await first_prices(one, len(NAMES)) == dict.fromkeys(NAMES, 1)
            assert turns - before > 60
        before = turns
        answer = await client.ask(action="unsubscribe", symbols=NAMES)
        assert answer["symbols"] == NAMES and answer["subscriptions"] == 0
        assert turns - before > 30
        [session] = [one for one in sessions(feed) if one.subscriptions.requested]
        task = asyncio.create_task(feed.slices.run(endless()))
        session.end()
        assert live.layer.local_groups()
        await eventually(lambda: not live.layer.local_groups() and not live.layer.state.joined)
        assert not task.done()
        task.cancel()
        counting.cancel()
        await asyncio.gather(task, counting, return_exceptions=True)


def sessions(feed: Feed) -> list[ClientSession]:
    return [one for one in feed.listeners if isinstance(one, ClientSession)]


@BOTH
async def test_clients_share_one_read_of_their_first_prices(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many subscribe at once, in either encoding, each name is read about once."""
    names = NAMES[:500]
    store(redis, names)
    read: list[int] = []
    original = LatestPrices.snapshot

    async def counted(
        latest: LatestPrices, wanted: Sequence[Wanted], until: float | None = None
    ) -> PriceSnapshot | None:
        read.append(len(wanted))
        return await original(latest, wanted, until)

    monkeypatch.setattr(LatestPrices, "snapshot", counted)
    async with (
        live.client() as one,
        live.client() as two,
        live.client(subprotocols=["live-price.msgpack"]) as three,
        live.client() as four,
    ):
        clients = (one, two, three, four)
        for client in clients:
            await client.send(action="subscribe", symbols=names)
        for client in clients:
            assert await first_prices(client, len(names)) == dict.fromkeys(names, 1)
    assert max(read) <= 200
    assert sum(read) < 2 * len(names)


@BOTH
async def test_every_tick_comes_once_while_many_subscribe(live: LiveServer, redis: Redis) -> None:
    """From its first price on a client that wants every tick has each; others have the newest."""
    names, rounds = NAMES[:100], 5  # less than what makes a client slow

    async def receive(client: Client, count: int) -> dict[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(list)
        async with asyncio.timeout(DEADLINE_S):
            while len(found) < count or any(seqs[-1] < rounds for seqs in found.values()):
                frame = json.loads(await client.connection.recv())
                if "type" not in frame:
                    found[frame["symbol"]].append(frame["seq"])
        return found

    publish_ticks([tick(name, "1", MOMENT) for name in names], client=redis)
    async with live.client() as before, live.client() as every, live.client() as newest:
        await before.subscribe(*names[:50], seq=True)
        await every.send(action="subscribe", symbols=names, seq=True, conflate=False)
        await newest.send(action="subscribe", symbols=names, seq=True)
        receiving = asyncio.gather(receive(every, 100), receive(newest, 100), receive(before, 50))
        for number in range(2, rounds + 1):
            ticks = [tick(name, str(number), MOMENT + number) for name in names]
            publish_ticks(ticks, client=redis)
            await asyncio.sleep(0)
        of_every, *of_others = await receiving
    assert all(seqs == list(range(seqs[0], rounds + 1)) for seqs in of_every.values())
    for found in of_others:
        assert all(seqs == sorted(set(seqs)) for seqs in found.values())


async def test_client_that_cannot_follow_the_master_yet_holds_up_no_other(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session whose request is under way follows when that is done."""
    followed: list[ClientSession] = []
    original = ClientSession.follow_master

    async def follow(session: ClientSession, resolve: Any) -> None:
        await original(session, resolve)
        followed.append(session)

    monkeypatch.setattr(ClientSession, "follow_master", follow)
    async with live.client() as one, live.client() as other:
        for client in (one, other):
            await client.subscribe("A")
        feed = await current_feed()
        first, second = sessions(feed)
        async with first.turn:
            feed.master_changed()
            await eventually(lambda: followed == [second])
        await eventually(lambda: followed == [second, first])
