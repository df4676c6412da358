"""Which requests of a client wait for others: those that change subscriptions or the user."""

import asyncio
from typing import Any

import pytest
from redis import Redis

from quotes.errors import ProtocolError
from quotes.websocket.feed.feed import current_feed
from quotes.websocket.protocol import ErrorCode, Ping, Request, Subscribe
from quotes.websocket.request_queue import RequestQueue
from quotes.websocket.session import ClientSession
from quotes.websocket.subscriptions.prices import PriceSubscriptions
from tests.access.people import access_token, asha
from tests.conftest import In
from tests.live import Client, Frame, LiveServer
from tests.ticks import MOMENT, message, publish
from tests.waiting import eventually


async def ask_everything(client: Client) -> list[Frame]:
    """Subscribe twice, then send what needs no wait; return the first answers to that."""
    await client.send(action="subscribe", symbols=["A", "B"], id="first")
    await client.send(action="subscribe", symbols=["C"], id="second")
    await client.send(action="unsubscribe", symbols=["B"], id="third")
    await client.send(action="ping", id=1)
    await client.send(action="list", id=2)
    await client.send(action="configure", batch=False, id=3)
    await client.send(action="market_status", segment="NSE_EQ", id=4)
    await client.send(action="fly", id=5)
    return [await client.receive() for _ in range(5)]


def in_order(frames: list[Frame]) -> list[tuple[Any, Any]]:
    return [(frame["type"], frame.get("id")) for frame in frames]


AT_ONCE = [
    *(("pong", 1), ("subscriptions", 2), ("configured", 3)),
    *(("market_status", 4), ("error", 5)),
]


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Subscribes wait until this is set."""
    released = asyncio.Event()
    original = PriceSubscriptions.add

    async def add(self: PriceSubscriptions, request: Subscribe) -> None:
        await released.wait()
        await original(self, request)

    monkeypatch.setattr(PriceSubscriptions, "add", add)
    return released


@pytest.mark.parametrize("live", ["wire", "asgi"], indirect=True)
async def test_what_needs_no_wait_is_answered_while_a_subscribe_waits(
    live: LiveServer, redis: Redis, stuck: asyncio.Event
) -> None:
    """Ping, list, configure and errors come at once; changes of subscriptions stay in order."""
    async with live.client() as client:
        assert in_order(await ask_everything(client)) == AT_ONCE
        stuck.set()
        later = in_order([await client.receive() for _ in range(3)])
        assert later == [
            ("subscribed", "first"),
            ("subscribed", "second"),
            ("unsubscribed", "third"),
        ]
        assert (await client.ask(action="list"))["symbols"] == ["A", "C"]
        publish(redis, "C", message("C", "5"))
        assert (await client.price())["symbol"] == "C"


@pytest.mark.django_db(transaction=True)
async def test_requests_behind_an_authentication_wait_for_it(
    live: LiveServer, required: None, database: In, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What needs a user is not refused because its token is still being checked; a ping is free."""
    token = await database(lambda: access_token(asha("NSE_EQ")))
    checked = asyncio.Event()
    original = ClientSession._authenticate

    async def authenticate(self: ClientSession, request: Any) -> None:
        await checked.wait()
        await original(self, request)

    monkeypatch.setattr(ClientSession, "_authenticate", authenticate)
    async with live.client() as client:
        assert (await client.ask(action="list"))["code"] == 401
        await client.send(action="authenticate", token=token, id=1)
        await client.send(action="configure", mode="ltp", id=2)
        await client.send(action="subscribe", symbols=["NSE_EQ:RELIANCE"], id=3)
        await client.send(action="ping", id=4)
        assert in_order([await client.receive()]) == [("pong", 4)]
        checked.set()
        later = in_order([await client.receive() for _ in range(3)])
        assert later == [("authenticated", 1), ("configured", 2), ("subscribed", 3)]


@pytest.mark.parametrize("live", ["wire", "asgi"], indirect=True)
async def test_what_waits_ends_with_the_connection(
    live: LiveServer, redis: Redis, stuck: asyncio.Event
) -> None:
    """The request under way is cancelled, those behind it never begin, and no task is left."""
    async with live.client() as client:
        for number in range(150):
            await client.send(action="subscribe", symbols=[f"S{number}"])
        await client.ask(action="ping")
        [session] = (await current_feed()).listeners
        assert isinstance(session, ClientSession)
        task = session.requests._task
        assert task is not None and not task.done()
        client.connection.transport.abort()
    await eventually(lambda: session.requests.is_idle and task.cancelled())
    assert not session.subscriptions.requested
    assert not live.layer.local_groups()


async def test_failure_of_one_request_stops_no_other(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that raises is answered with its id or an incident, and the next is carried out."""
    original = PriceSubscriptions.add

    async def add(self: PriceSubscriptions, request: Subscribe) -> None:
        await asyncio.sleep(0)
        match request.id:
            case 1:
                raise ProtocolError(ErrorCode.BAD_REQUEST, "as a bad request would")
            case 2:
                raise RuntimeError("as a mistake would")
        await original(self, request)

    monkeypatch.setattr(PriceSubscriptions, "add", add)
    async with live.client() as client:
        for number in (1, 2, 3):
            await client.send(action="subscribe", symbol="A", id=number)
        first, second, third = [await client.receive() for _ in range(3)]
        assert (first["code"], first["id"]) == (400, 1)
        assert second["code"] == 500 and "incident" in second
        assert (third["type"], third["id"]) == ("subscribed", 3)


async def test_interval_is_not_shared_while_a_subscribe_is_under_way(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configure that overtakes a subscribe lets no tick pass it by."""
    monkeypatch.setattr("quotes.websocket.delivery.intervals.SETTLED_S", 0.0)
    async with live.client() as client:
        await client.subscribe("A")
        feed = await current_feed()
        [session] = feed.listeners
        assert isinstance(session, ClientSession)
        released = asyncio.Event()
        snapshot = feed.latest.snapshot

        async def waits(*arguments: Any) -> Any:
            await released.wait()
            return await snapshot(*arguments)

        monkeypatch.setattr(feed.latest, "snapshot", waits)
        await client.send(action="subscribe", symbol="B", id=1)
        await client.send(action="configure", interval_ms=10, id=2)
        assert in_order([await client.receive()]) == [("configured", 2)]
        publish(redis, "A", message("A", "1"))
        assert (await client.price())["symbol"] == "A"
        publish(redis, "A", message("A", "2", MOMENT + 1))
        assert (await client.price())["price"] == 2
        assert not session.outbox.interval_membership.is_shared
        released.set()
        assert in_order([await client.receive()]) == [("subscribed", 1)]
        await eventually(lambda: session.outbox.interval_membership.is_shared)
        publish(redis, "B", message("B", "3"))
        assert (await client.price())["symbol"] == "B"


class Recorder:
    """Carries requests out when it is let, and remembers their order."""

    def __init__(self) -> None:
        self.begun: list[Request] = []
        self.let = asyncio.Semaphore(0)
        self.failures: list[Exception] = []

    async def __call__(self, request: Request) -> None:
        self.begun.append(request)
        if request.id == "raise":
            raise RuntimeError("as a mistake would")
        await self.let.acquire()


@pytest.mark.parametrize(("max_requests", "max_bytes"), [(3, 1000), (1000, 30)])
async def test_full_queue_lets_its_client_wait(max_requests: int, max_bytes: int) -> None:
    """Neither more requests nor more bytes than the bounds wait; nobody is lost or overtaken."""
    recorder = Recorder()
    queue = RequestQueue(
        recorder,
        on_failure=recorder.failures.append,
        max_requests=max_requests,
        max_bytes=max_bytes,
    )
    requests = [Ping(id=number) for number in range(10)]

    async def put_all() -> None:
        for request in requests:
            await queue.put(request, 10)

    putting = asyncio.create_task(put_all())
    for number in range(10):
        await eventually(lambda number=number: len(recorder.begun) == number + 1)  # type: ignore[misc]
        assert len(queue._requests) <= 3 and queue._bytes <= 30
        assert putting.done() == (number >= 7)
        recorder.let.release()
    await queue.finished()
    assert recorder.begun == requests and queue.is_idle and not queue._bytes


async def test_end_frees_a_client_that_waits_for_room() -> None:
    """What waits is dropped, what is under way is cancelled, and later requests are not taken."""
    recorder = Recorder()
    queue = RequestQueue(
        recorder, on_failure=recorder.failures.append, max_requests=1, max_bytes=1000
    )
    await queue.put(Ping(), 10)
    putting = asyncio.create_task(queue.put(Ping(), 10))
    await asyncio.sleep(0)
    queue.end()
    await queue.finished()
    await putting
    await queue.put(Ping(), 10)
    assert len(recorder.begun) == 1 and queue.is_idle


async def test_message_larger_than_the_queue_is_taken_alone() -> None:
    """The bound of the waiting bytes refuses no message that is within its own limit."""
    recorder = Recorder()
    queue = RequestQueue(
        recorder, on_failure=recorder.failures.append, max_requests=5, max_bytes=10
    )
    await queue.put(Ping(), 1000)
    recorder.let.release()
    await queue.finished()
    assert len(recorder.begun) == 1


async def test_request_that_cannot_be_answered_holds_up_no_other() -> None:
    """Its error is handed on, and the next request is carried out."""
    recorder = Recorder()
    queue = RequestQueue(
        recorder, on_failure=recorder.failures.append, max_requests=5, max_bytes=1000
    )
    await queue.put(Ping(id="raise"), 10)
    await queue.put(Ping(id="next"), 10)
    recorder.let.release()
    await queue.finished()
    assert [request.id for request in recorder.begun] == ["raise", "next"]
    assert len(recorder.failures) == 1
