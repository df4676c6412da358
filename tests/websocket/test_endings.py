"""However a connection ends, nothing of it is left."""

import asyncio
import contextlib

import pytest
from redis import Redis

from quotes.websocket.feed.feed import current_feed
from quotes.websocket.session import ClientSession
from tests.live import LiveServer
from tests.ticks import message, publish
from tests.waiting import eventually

ENDINGS = ("close", "abort", "raise", "cut off", "flood")
AT_ONCE = 50


@pytest.mark.slow
@pytest.mark.parametrize(
    ("live", "connections"), [("wire", 1000), ("asgi", 200)], indirect=["live"]
)
async def test_connections_that_end_in_every_way_leave_nothing(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch, connections: int
) -> None:
    """Closed, aborted, broken by an exception, cut off, thrown out: all groups are empty."""
    original = ClientSession.handle

    async def handle(session: ClientSession, text: str | None) -> None:
        match text:
            case "raise":
                raise RuntimeError("as a mistake in a consumer would")
            case "cut off":
                session.too_slow()
            case "flood":
                session.refused = 10_000
                session.bucket.tokens = 0
                await original(session, text)
            case _:
                await original(session, text)

    monkeypatch.setattr(ClientSession, "handle", handle)
    limit = asyncio.Semaphore(AT_ONCE)

    async def connect(number: int) -> None:
        ending = ENDINGS[number % len(ENDINGS)]
        async with limit:
            with contextlib.suppress(Exception):
                async with live.client(close_timeout=1, open_timeout=15) as client:
                    await client.subscribe("SHARED", f"OWN{number}")
                    if ending == "abort":
                        client.connection.transport.abort()
                    elif ending != "close":
                        await client.connection.send(ending)
                        async with asyncio.timeout(5):
                            while True:
                                await client.receive()

    feed_of_loop = None
    async with live.client() as witness:
        await witness.subscribe("SHARED")
        feed_of_loop = await current_feed()
        await asyncio.gather(*map(connect, range(connections)))
        await eventually(lambda: len(feed_of_loop.listeners) == 1)
        assert len(live.layer.local_groups()) == 1
        publish(redis, "SHARED", message("SHARED", "1"))
        assert (await witness.price())["symbol"] == "SHARED"
    await eventually(lambda: not live.layer.local_groups())
    state = live.layer.state
    assert not (state.receivers or state.joined or state.reading or any(state.lane_users))
    assert not feed_of_loop.listeners


@pytest.mark.parametrize("live", ["wire", "asgi"], indirect=True)
async def test_what_is_sent_behind_the_close_joins_nothing(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subscribe that was on its way when the session was ended leaves no member behind."""
    sessions: list[ClientSession] = []
    original = ClientSession.handle

    async def handle(session: ClientSession, text: str | None) -> None:
        sessions.append(session)
        await original(session, text)

    monkeypatch.setattr(ClientSession, "handle", handle)
    async with live.client() as client:
        await client.subscribe("A")
        sessions[0].end()
        await client.send(action="subscribe", symbol="B")
        await eventually(lambda: len(sessions) == 2)
    await eventually(lambda: sessions[0].transport.unsent() == 0)
    assert live.layer.local_groups() == [] and not live.layer.state.joined
