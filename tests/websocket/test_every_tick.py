"""With `"conflate":false` the next seq is the last plus one, or the connection ends with 4410."""

import asyncio
import json
from typing import Any

import pytest
from redis import Redis
from websockets.exceptions import ConnectionClosed

from instruments.keys import InstrumentKey
from quotes.publish.publishing import publish_ticks
from quotes.store.group_names import price_group
from quotes.store.latest import LatestPrice, PriceSnapshot, decode_latest
from quotes.websocket.delivery import intervals
from quotes.websocket.feed.feed import current_feed
from quotes.websocket.feed.latest_prices import LatestPrices, latest_message
from quotes.websocket.protocol import CloseCode
from quotes.websocket.session import ClientSession
from quotes.websocket.subscriptions import live_prices
from quotes.websocket.transports.uvicorn import UvicornTransport
from tests.live import Client, LiveServer
from tests.ticks import MOMENT, message, publish, tick
from tests.waiting import DEADLINE_S, eventually

A = InstrumentKey("", "A")
BOTH = pytest.mark.parametrize("live", ["wire", "asgi"], indirect=True)


async def numbers_until(client: Client, last: int) -> tuple[list[int], int]:
    """Return the numbers that come up to one, and the code of the close, 0 if it stays open."""
    found: list[int] = []
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not found or found[-1] < last:
                frame = json.loads(await client.connection.recv())
                items = frame if isinstance(frame, list) else [frame]
                found += [item["seq"] for item in items if "type" not in item]
    except ConnectionClosed as closed:
        assert closed.rcvd is not None
        return found, closed.rcvd.code
    return found, 0


def newest_number(redis: Redis) -> int:
    record = redis.hget("quotes:latest", "A")
    assert isinstance(record, bytes)
    return decode_latest(record).seq


def send(redis: Redis, *numbers: int) -> None:
    publish_ticks([tick("A", str(n), MOMENT + n) for n in numbers], client=redis)


@BOTH
@pytest.mark.parametrize("interval_ms", [0, 20])
async def test_ticks_missed_without_the_link_end_the_client(
    live: LiveServer, redis: Redis, interval_ms: int
) -> None:
    """A web process that was cut off from Redis sends no later tick as if none were missing."""
    async with live.client() as client, live.client() as other:
        await client.ask(action="configure", interval_ms=interval_ms)
        for one, conflate in ((client, False), (other, True)):
            await one.subscribe("A", conflate=conflate, seq=True)
        send(redis, 1, 2)
        assert await numbers_until(client, 2) == ([1, 2], 0)
        [host] = live.layer.state.links
        assert host.link is not None
        host.link.pause_reading()  # as in a process that is stopped
        send(redis, 3, 4, 5)
        await eventually(lambda: newest_number(redis) == 5)
        host.link.abort()
        assert await numbers_until(client, 5) == ([], CloseCode.TOO_SLOW_FOR_EVERY_TICK)
        numbers, code = await numbers_until(other, 5)
        assert numbers[-1] == 5 and code == 0


async def test_client_ahead_of_the_process_resumes(live: LiveServer, redis: Redis) -> None:
    """It had more from another process than this one has read of Redis: it missed nothing."""
    async with live.client() as member, live.client() as client:
        await member.subscribe("A", seq=True)
        send(redis, 1)
        epoch = (await member.price())["epoch"]
        [host] = live.layer.state.links
        assert host.link is not None
        host.link.pause_reading()
        send(redis, 2, 3)
        await eventually(lambda: newest_number(redis) == 3)
        await client.subscribe("A", conflate=False, seq=True, since={"epoch": epoch, "seq": 3})
        resumed = await client.receive()
        assert resumed["recovered"] and resumed["ticks"] == 0
        host.link.resume_reading()
        send(redis, 4)
        assert await numbers_until(client, 4) == ([4], 0)


async def test_client_that_cannot_be_closed_is_cut_off(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not stay, connected and silent, behind the tick that it missed."""

    def failing(transport: UvicornTransport, code: int, reason: str) -> None:
        raise RuntimeError("as a mistake in a transport would")

    monkeypatch.setattr(UvicornTransport, "close", failing)
    async with live.client() as client:
        await client.subscribe("A", conflate=False, seq=True)
        send(redis, 1)
        assert await numbers_until(client, 1) == ([1], 0)
        later = LatestPrice(1, 3, MOMENT + 3, b"{}")
        live.layer.deliver_local([(price_group(A), latest_message("A", later))])
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(DEADLINE_S):
                await client.connection.recv()


@BOTH
@pytest.mark.parametrize("batch", [False, True])
async def test_interval_leaves_none_out(live: LiveServer, redis: Redis, batch: bool) -> None:
    """All ticks of an interval come when it is over; those of other symbols are conflated."""
    async with live.client() as client:
        await client.ask(action="configure", interval_ms=50, batch=batch, seq=True)
        await client.subscribe("A", conflate=False)
        send(redis, *range(1, 101))
        assert await numbers_until(client, 100) == (list(range(1, 101)), 0)


async def test_interval_sends_before_it_is_over_rather_than_too_much_at_once(
    live: LiveServer, redis: Redis
) -> None:
    """What waits for the end of an interval is bounded, and none of it is lost."""
    async with live.client() as client:
        await client.ask(action="configure", interval_ms=60_000, seq=True)
        await client.subscribe("A", conflate=False)
        pad = "x" * 4000
        for number in range(1, 41):
            publish(redis, "A", message("A", str(number), MOMENT + number, pad=pad))
        numbers, code = await numbers_until(client, 30)
        assert numbers == list(range(1, len(numbers) + 1)) and code == 0


@BOTH
async def test_ticks_dropped_while_subscribing_leave_no_hole(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subscription that takes longer than ticks can be held begins behind those dropped."""
    monkeypatch.setattr(live_prices, "_MAX_HELD_TICKS", 5)
    send(redis, 1)
    await eventually(lambda: redis.hexists("quotes:latest", "A"))
    original = LatestPrices.snapshot

    async def slow(latest: LatestPrices, *arguments: Any) -> PriceSnapshot | None:
        snapshot = await original(latest, *arguments)
        send(redis, *range(2, 20))
        await eventually(lambda: seq_here(live) == 19)
        return snapshot

    monkeypatch.setattr(LatestPrices, "snapshot", slow)
    async with live.client() as client:
        await client.send(action="subscribe", symbol="A", conflate=False, seq=True)
        numbers, code = await numbers_until(client, 19)
        assert numbers == list(range(numbers[0], 20)) and code == 0


@BOTH
@pytest.mark.parametrize("conflate", [False, True])
async def test_first_price_overtakes_no_tick(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch, conflate: bool
) -> None:
    """Ticks come while the first price is read, later ones are still on their way."""
    original = LatestPrices.snapshot

    async def late(latest: LatestPrices, *arguments: Any) -> PriceSnapshot | None:
        send(redis, 1)
        await eventually(lambda: seq_here(live) == 1)
        [host] = live.layer.state.links
        assert host.link is not None
        host.link.pause_reading()
        send(redis, 2, 3)
        await eventually(lambda: newest_number(redis) == 3)
        asyncio.get_running_loop().call_later(0.05, host.link.resume_reading)
        return await original(latest, *arguments)

    monkeypatch.setattr(LatestPrices, "snapshot", late)
    async with live.client() as client:
        await client.send(action="subscribe", symbol="A", conflate=conflate, seq=True)
        assert await numbers_until(client, 3) == ([1, 2, 3], 0)


@BOTH
@pytest.mark.parametrize("conflate", [False, True])
async def test_shared_interval_gives_a_new_instrument_once(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch, conflate: bool
) -> None:
    """What the interval has gathered for other clients comes behind the acknowledgement, once."""
    monkeypatch.setattr(intervals, "SETTLED_S", 0.0)
    async with live.client() as client, live.client() as other:
        for one, names in ((client, ["B"]), (other, ["A", "B"])):
            await one.ask(action="configure", interval_ms=200)
            await one.subscribe(*names)
        feed = await current_feed()
        members = [one.outbox for one in feed.listeners if isinstance(one, ClientSession)]
        await eventually(lambda: all(one.interval_membership.is_shared for one in members))
        send(redis, 1)
        await eventually(lambda: live.layer.newest_message(price_group(A)) is not None)
        await client.send(action="subscribe", symbol="A", conflate=conflate, seq=True)
        frames: list[dict[str, Any]] = []
        while not frames or frames[-1].get("seq") != 2:
            frames.append(await client.receive())
            if "seq" in frames[-1]:
                send(redis, 2)
        kinds = [one.get("type", one.get("seq")) for one in frames]
        assert kinds == ["subscribed", 1, 2]


def seq_here(live: LiveServer) -> int:
    groups = live.layer.local_groups()
    newest = live.layer.newest_message(groups[0]) if groups else None
    return int(newest.seq) if newest else 0


async def test_price_without_a_number_waits_for_it(live: LiveServer, redis: Redis) -> None:
    """A price that is shown while no bridge works comes to this client under its number."""
    send(redis, 1)
    await eventually(lambda: redis.hexists("quotes:latest", "A"))
    await live.stop_bridges()
    publish(redis, "A", message("A", "2", MOMENT + 2))
    async with live.client() as client, live.client() as other:
        await client.subscribe("A", conflate=False, seq=True)
        assert (await client.price())["seq"] == 1
        await other.subscribe("A")
        assert (await other.price())["price"] == 2
        await live.start_bridge()
        send(redis, 3)
        assert await numbers_until(client, 3) == ([2, 3], 0)
        assert (await other.price())["price"] == 3
