"""Entries of the inbox that are none, and failures of its reader."""

from typing import Any

import pytest
from redis import Redis

from quotes.bridge.inbox_reader import InboxReader
from quotes.publish.publishing import publish_ticks
from quotes.store.names import own_key
from tests.live import LiveServer
from tests.ticks import MOMENT, tick
from tests.waiting import eventually

ODD: list[dict[Any, Any]] = [
    {"f": "x"},
    {"f": "0", "forget": "no json"},
    {"f": "0", "forget": b"\xff"},
    {"x": "y", "z": "1"},
    {"n": "many", "A": "{}"},
    {"n": "1", "A": "{}"},
    {"n": "1"},
]


@pytest.mark.parametrize("entry", ODD, ids=str)
async def test_odd_entry_is_passed_over(
    live: LiveServer, redis: Redis, entry: dict[Any, Any]
) -> None:
    """What is no entry stops nothing: acknowledged ticks behind it are shown, in time."""
    async with live.client() as client:
        await client.subscribe("A")
        redis.xadd(own_key("inbox"), entry)
        for number in range(3):
            publish_ticks([tick("A", str(number), MOMENT + number)], client=redis)
        assert [(await client.price())["price"] for _ in range(3)] == [0, 1, 2]
    await eventually(lambda: redis.xlen(own_key("inbox")) <= 1)


async def test_reader_that_fails_is_started_again(
    live: LiveServer,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever ends the reading of the inbox, the bridge says so and reads on."""
    read = InboxReader._read
    failures = [RuntimeError("as a mistake would")]

    async def fails_once(self: InboxReader, *, wait: bool) -> bool:
        if wait and failures:
            raise failures.pop()
        return await read(self, wait=wait)

    async with live.client() as client:
        await client.subscribe("A")
        monkeypatch.setattr(InboxReader, "_read", fails_once)
        publish_ticks([tick("A", "1", MOMENT)], client=redis)
        publish_ticks([tick("A", "2", MOMENT + 1)], client=redis)
        prices = [(await client.price())["price"]]
        while prices[-1] != 2:
            prices.append((await client.price())["price"])
    assert not failures
    assert any("reading the inbox failed" in record.message for record in caplog.records)
