"""Each background task of a web process, made to fail from inside: it goes on, or /readyz says so.

What fails is what a task calls, or an odd value in Redis.
"""

from typing import Any

import msgspec
import pytest
from asgiref.sync import sync_to_async
from django.test import Client as HttpClient
from redis import Redis

from quotes.rest import readiness
from quotes.runtime.background import background_failures
from quotes.store.names import own_key
from quotes.websocket.delivery.day_fields import day_fields
from quotes.websocket.feed.bridge_watch import BridgeWatch
from quotes.websocket.feed.day_reader import DayReader
from quotes.websocket.feed.delayed import DelayedReader
from quotes.websocket.feed.feed import Feed, current_feed, master_changed
from quotes.websocket.feed.latest_prices import LatestPrices
from quotes.websocket.feed.market_status import MarketStatusWatch
from tests.live import LiveServer
from tests.ticks import MOMENT, message, publish
from tests.waiting import eventually


@pytest.fixture
def _database_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_database_state", lambda: "ok")
    monkeypatch.setattr(readiness, "_calendar_warnings", list)


class Failing:
    """Replaces a method, which raises until `works` is set, and counts its calls."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, error: BaseException
    ) -> None:
        self.works = False
        self.calls = 0
        self.error = error
        original = getattr(owner, name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            self.calls += 1
            if not self.works:
                raise self.error
            return original(*arguments, **keywords)

        monkeypatch.setattr(owner, name, call)


TASKS: list[tuple[str, type, str]] = [
    ("watching the bridges", BridgeWatch, "_statuses"),
    ("checking clients' deadlines", Feed, "_tell"),
    ("reading the days of instruments", DayReader, "read_if_due"),
    ("watching market hours", MarketStatusWatch, "changes"),
    ("moving clients to renamed instruments", Feed, "follow_master"),
    ("reading missed prices", LatestPrices, "read_missed"),
    ("reading delayed prices", DelayedReader, "_read"),
]


async def begin(name: str) -> None:
    """Give the task something to do, if it has nothing yet."""
    feed = await current_feed()
    if name == "moving clients to renamed instruments":
        master_changed()
    elif name == "reading missed prices":
        await feed.refresh()
    elif name == "reading delayed prices":
        feed.delayed.reader(15).join("A", lambda message: None)


@pytest.mark.usefixtures("_database_is_well")
@pytest.mark.parametrize(("name", "owner", "method"), TASKS, ids=[one[0] for one in TASKS])
async def test_task_that_fails_goes_on_and_is_named(
    live: LiveServer,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    owner: type,
    method: str,
) -> None:
    """Whatever ends it, prices flow on, /readyz names it, and it is started again."""
    async with live.client() as client:
        await client.subscribe("A")
        await begin(name)
        failing = Failing(monkeypatch, owner, method, KeyError("token=secret"))
        await begin(name)
        await eventually(lambda: failing.calls > 1)
        publish(redis, "A", message("A", "1"))
        assert (await client.price())["price"] == 1
        (failure,) = background_failures()
        assert failure.name == name and failure.error == "KeyError"
        answer = (await sync_to_async(HttpClient().get)("/readyz")).json()
        assert f"{name} failed" in answer["tasks"] and "secret" not in str(answer)
        failing.works = True
        calls = failing.calls
        await eventually(lambda: failing.calls > calls)
        publish(redis, "A", message("A", "2", MOMENT + 1))
        assert (await client.price())["price"] == 2


@pytest.mark.usefixtures("_database_is_well")
async def test_process_that_cannot_watch_the_bridges_is_not_ready(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 when it cannot be started again; clients are told that the feed is down."""
    async with live.client() as client:
        await client.ask(action="ping")
        failing = Failing(monkeypatch, BridgeWatch, "_statuses", KeyError("x"))
        await client.heartbeat("down")
        await eventually(lambda: any(one.stops_prices for one in background_failures()))
        response = await sync_to_async(HttpClient().get)("/readyz")
        assert response.status_code == 503 and response.json()["bridge"] == "ok"
        failing.works = True
        await client.heartbeat("quiet")


@pytest.mark.usefixtures("_database_is_well")
async def test_clients_that_failed_are_counted(live: LiveServer) -> None:
    """/readyz has how many clients of this process were ended since they could not be served."""
    async with live.client() as client:
        await client.subscribe("A")
        (session,) = (await current_feed()).listeners
        session.fail(RuntimeError("as a mistake would"))
        response = await sync_to_async(HttpClient().get)("/readyz")
        assert response.json()["failed_clients"] == 1


@pytest.mark.parametrize(
    ("key", "text"),
    [("status:1", "no json"), ("status:1", '{"last_tick":"x"}'), ("shards", "many")],
)
async def test_odd_status_holds_up_no_client(redis: Redis, key: str, text: str) -> None:
    """Whatever is in Redis when the process starts, clients connect, and learn that it is down."""
    redis.set(own_key(key), text)
    async with LiveServer() as live, live.client() as client:
        assert (await client.ask(action="ping"))["feed"] == "down"
        redis.delete(own_key(key))
        await live.start_bridge()
        await client.heartbeat("quiet")


async def test_odd_day_holds_up_no_other(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The days of other instruments are read all the same."""
    day = {"date": "2024-04-05", "volume": 5}
    day |= dict.fromkeys(("open", "high", "low", "prev_close"), 1)
    fields = {"A": "no json", "B": msgspec.json.encode(day)}
    redis.hset(own_key("day"), mapping=fields)  # type: ignore[arg-type]
    monkeypatch.setattr(day_fields, "wanted", set())
    monkeypatch.setattr(day_fields, "days", {})
    async with live.client() as client:
        await client.ask(action="configure", mode="quote")
        await client.subscribe("A", "B")
        for name in fields:
            publish(redis, name, message(name))
            await client.price()
        await eventually(lambda: "B" in day_fields.days)
    assert not background_failures()


@pytest.mark.parametrize(
    "fields", [{"x": "y"}, {"n": "1", "7": "no msgpack"}, {"n": "x", "7": b"\x91\x01"}], ids=str
)
async def test_odd_entry_of_the_log_is_passed_over(
    live: LiveServer, redis: Redis, fields: dict[Any, Any]
) -> None:
    """Delayed clients get what follows it; clients that resume get the ticks around it."""
    got: list[bytes] = []
    async with live.client() as client:
        await client.subscribe("A")
        publish(redis, "A", message("A", "1"))
        await client.price()
        redis.xadd(own_key("log:1"), fields)
        publish(redis, "A", message("A", "2", MOMENT + 1))
        assert (await client.price())["price"] == 2
        feed = await current_feed()
        reader = feed.delayed.reader(0)
        reader.join("A", lambda message: got.append(message.frame))
        await eventually(lambda: got)
        publish(redis, "A", message("A", "3", MOMENT + 2))
        await eventually(lambda: len(got) == 2)
        await client.price()
        await client.ask(action="unsubscribe", symbol="A")
        await client.subscribe("A", history={"ticks": 3})
        frame = await client.receive()
        assert [one["price"] for one in frame["ticks"]] == [1, 2, 3]
    assert not background_failures()
