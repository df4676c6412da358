"""Each task and callback of a bridge, made to fail from inside: it goes on, and says so."""

from typing import Any

import msgspec
import pytest
from redis import Redis

from quotes import ticks
from quotes.bridge.bridge import Bridge
from quotes.bridge.counters import BridgeCounters
from quotes.bridge.flush import Flush
from quotes.bridge.inbox_reader import InboxReader
from quotes.bridge.log_trimmer import LogTrimmer
from quotes.bridge.market import Market
from quotes.publish.publishing import publish_ticks
from quotes.store.names import own_key
from tests.live import LiveServer
from tests.ticks import MOMENT, message, publish, tick
from tests.waiting import eventually


def failing_tasks(redis: Redis) -> dict[str, str]:
    """Return what a bridge that works says of its tasks: name -> error."""
    text: Any = redis.get(own_key("status:1"))
    if text is None:
        return {}
    return {one["name"]: one["error"] for one in msgspec.json.decode(text)["failed_tasks"]}


class FailsOnce:
    """Replaces a method, which raises at its first call from now on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        self.calls = 0
        original = getattr(owner, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            self.calls += 1
            if self.calls == 1:
                raise KeyError("token=secret")
            return original(*arguments, **keywords)

        monkeypatch.setattr(owner, name, call)


@pytest.mark.parametrize(
    ("name", "owner", "method"),
    [
        ("reading the inbox", InboxReader, "_read"),
        ("trimming the tick log", LogTrimmer, "_read_memory"),
        ("writing ticks", Flush, "start"),
        ("taking messages", Market, "take"),
    ],
)
async def test_task_that_fails_goes_on_and_is_named(
    live: LiveServer,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    owner: type,
    method: str,
) -> None:
    """The session ends, the next one shows what was published meanwhile, and the status says it."""
    async with live.client() as client:
        await client.subscribe("A", "B")
        publish(redis, "A", message("A", "0"))
        assert (await client.price())["price"] == 0
        failing = FailsOnce(monkeypatch, owner, method)
        publish(redis, "A", message("A", "1", MOMENT + 1))
        assert (await client.price())["price"] == 1
        if name != "taking messages":  # those of the inbox are taken by its reader
            publish_ticks([tick("B", "2", MOMENT + 1)], client=redis)
            assert (await client.price())["price"] == 2
        await eventually(lambda: failing.calls > 0)
        await eventually(lambda: failing_tasks(redis).get(name) == "KeyError")
        publish(redis, "A", message("A", "3", MOMENT + 2))
        assert (await client.price())["price"] == 3
    assert f"{name} failed" in caplog.text and "Traceback" in caplog.text


async def test_report_that_fails_goes_on(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """What a line is made of ends neither the bridge nor its later lines."""
    settings.QUOTES_REPORT_INTERVAL_S = 0.1
    FailsOnce(monkeypatch, BridgeCounters, "line")
    async with LiveServer() as live:
        await live.start_bridge()
        await eventually(lambda: live.lines)
        await eventually(lambda: failing_tasks(redis) == {"reporting counters": "KeyError"})


async def test_request_that_fails_harms_nothing(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys that could not be read are named; prices flow."""
    FailsOnce(monkeypatch, Bridge, "_read_keys")
    redis.publish(own_key("control"), '{"adopt":["A"]}')
    await eventually(lambda: "reading publishers' keys" in failing_tasks(redis))
    async with live.client() as client:
        await client.subscribe("A")
        publish(redis, "A", message("A", "1"))
        assert (await client.price())["price"] == 1


async def test_message_that_fails_takes_no_other_away(
    live: LiveServer,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A message whose reading raises is refused; those around it are shown, the session goes on."""
    parse = ticks.parse_tick

    def fails(payload: bytes, **options: Any) -> Any:
        if b"odd" in payload:
            raise RecursionError
        return parse(payload, **options)

    monkeypatch.setattr("quotes.bridge.market.parse_tick", fails)
    async with live.client() as client:
        await client.subscribe("A", "B")
        pipeline = redis.pipeline(transaction=True)
        for name, text in (("A", "{}"), ("ODD", '{"odd":1}'), ("B", "{}")):
            pipeline.publish(f"stock:{name}", message(name) if text == "{}" else text)
        pipeline.execute()
        assert {(await client.price())["symbol"] for _ in range(2)} == {"A", "B"}
    counters = live.bridges[0][0].market.counters
    await eventually(lambda: counters.bad == 1)
    assert "stock:ODD' failed" in caplog.text and not failing_tasks(redis)
    # Also one that stays in its key.
    await live.stop_bridges()
    redis.set("stock:ODD", '{"odd":1}')
    publish(redis, "A", message("A", "2", MOMENT + 1))
    bridge = await live.start_bridge()
    await eventually(lambda: bridge.counters.sent == 1)
