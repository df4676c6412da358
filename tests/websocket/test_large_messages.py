"""Large messages of many clients at once are read one by one, between other work."""

import asyncio
import contextlib
import json
import time
from functools import partial

import pytest

from quotes.websocket import dialect, protocol
from quotes.websocket.feed import feed as feed_module
from quotes.websocket.feed.feed import Feed, current_feed
from tests.live import LiveServer
from tests.waiting import eventually

BOTH = pytest.mark.parametrize("live", ["wire", "asgi"], indirect=True)
CLIENTS = 12
LARGE = {"action": "subscribe", "symbols": [f"S{number}" for number in range(1500)]}


@BOTH
async def test_large_messages_are_read_in_many_turns(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse = protocol.parse_request
    turn = 0
    read: list[tuple[int, str]] = []

    def slow_parse(text: str) -> object:
        began = time.thread_time()
        while time.thread_time() - began < 0.006:  # longer than a time slice
            pass
        request = parse(text)
        read.append((turn, type(request).__name__))
        return request

    async def count() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(dialect, "parse_request", slow_parse)
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(live.client()) for _ in range(CLIENTS)]
        counting = asyncio.create_task(count())
        text = json.dumps(LARGE)
        await asyncio.gather(*(client.connection.send(text) for client in clients))
        await eventually(lambda: len(read) == CLIENTS)
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)
    assert len({number for number, _ in read}) == CLIENTS


@BOTH
async def test_a_clients_messages_stay_in_order(live: LiveServer) -> None:
    async with live.client() as client:
        for number in range(3):
            await client.connection.send(json.dumps({**LARGE, "id": number}))
            await client.connection.send(json.dumps({"action": "ping", "id": f"p{number}"}))
        answers: list[int | str] = []
        while len(answers) < 6:
            answer = json.loads(await client.connection.recv())
            if answer.get("type") in ("subscribed", "pong"):
                answers.append(answer["id"])
        assert [one for one in answers if isinstance(one, int)] == [0, 1, 2]
        assert [one for one in answers if isinstance(one, str)] == ["p0", "p1", "p2"]


def has_ended(feed: Feed, clients: int) -> bool:
    return feed.ended_clients == clients


@BOTH
async def test_garbage_of_ended_clients_is_collected(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once as many have ended as are connected, and not before."""
    calls = 0

    def counted() -> int:
        nonlocal calls
        calls += 1
        return 0

    monkeypatch.setattr(feed_module, "collect_all", counted)
    monkeypatch.setattr(feed_module, "_MANY_ENDED", 3)
    monkeypatch.setattr(feed_module, "_COLLECT_INTERVAL_S", 0.01)
    async with live.client() as staying:
        feed: Feed = await current_feed()
        for number in range(1, 4):
            async with live.client() as client:
                await client.ask(action="ping")
            await eventually(partial(has_ended, feed, number))
        await eventually(lambda: calls == 1)
        await staying.ask(action="ping")
        assert calls == 1
