"""Intervals: each client gets the newest price of each of its instruments, in order of change."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotes.layer.groups import Receiver
from quotes.websocket.delivery.flush_scheduler import FlushScheduler
from quotes.websocket.delivery.outbox import Outbox
from quotes.websocket.delivery.price_message import PriceMessage
from quotes.websocket.protocol import frame
from tests.websocket.test_delivery import MemoryTransport

KEYS = "ABCD"
CLIENTS = range(3)


class Groups:
    """The receivers of each instrument's prices, as a channel layer has them."""

    def __init__(self) -> None:
        self.receivers: dict[str, dict[int, Receiver]] = {key: {} for key in KEYS}

    def send(self, message: PriceMessage) -> None:
        for receive in dict.fromkeys(list(self.receivers[message.key].values())):
            receive(message)


class IntervalClient:
    """A client with an interval, and what it is to have been sent."""

    def __init__(self, number: int, groups: Groups, scheduler: FlushScheduler) -> None:
        self.number, self.groups = number, groups
        self.transport = MemoryTransport()
        self.errors: list[Exception] = []
        self.outbox = Outbox(
            self.transport,
            scheduler,
            on_overflow=lambda: None,
            on_gap=lambda: None,
            on_failure=self.errors.append,
        )
        self.direct: dict[str, str] = {}
        self.changed: dict[str, int] = {}  # instrument key -> number of its newest price
        self.expected: list[str] = []
        self.membership = self.outbox.interval_membership
        self.membership.keys, self.membership.route = self.direct.keys(), self.route
        self.outbox.configure(batch=number == 2, interval_ms=60_000)

    def route(self, receiver: Receiver) -> None:
        for key in self.direct:
            self.groups.receivers[key][self.number] = receiver

    def join(self, key: str) -> None:
        self.outbox.begin_change()
        self.direct[key] = key
        self.groups.receivers[key][self.number] = self.outbox.price
        self.outbox.end_change()

    def leave(self, key: str) -> None:
        if self.direct.pop(key, None):
            self.groups.receivers[key].pop(self.number)
            self.outbox.forget(key)
            self.changed.pop(key, None)

    def price(self, key: str, number: int) -> None:
        if key in self.direct:
            self.changed.pop(key, None)
            self.changed[key] = number

    def over(self) -> None:
        self.expected += [self.text(key, number) for key, number in self.changed.items()]
        self.changed.clear()

    def text(self, key: str, number: int) -> str:
        suffix = f',"epoch":7,"seq":{number}' if self.outbox.framing.numbered else ""
        return f'{{"symbol":"{key}","price":{number}{suffix}}}'

    @property
    def sent(self) -> list[str]:
        """The texts of the prices, out of their arrays."""
        return [
            text if text.endswith("}") else text + "}"
            for sent in self.transport.waiting
            for text in sent.strip("[]").split("},")
        ]


def tick(key: str, number: int) -> PriceMessage:
    text = b'{"symbol":"%b","price":%d}' % (key.encode(), number)
    return PriceMessage(key, 7, number, number, text)


@pytest.fixture(name="scheduler")
def a_scheduler() -> Iterator[FlushScheduler]:
    loop = asyncio.new_event_loop()
    yield FlushScheduler(loop)
    loop.close()


STEPS = st.one_of(
    st.tuples(st.just("price"), st.sampled_from(KEYS)),
    st.tuples(st.just("join"), st.sampled_from(CLIENTS), st.sampled_from(KEYS)),
    st.tuples(st.just("leave"), st.sampled_from(CLIENTS), st.sampled_from(KEYS)),
    st.tuples(st.just("number"), st.sampled_from(CLIENTS), st.booleans()),
    st.tuples(st.just("over"), st.booleans()),
)


@given(st.lists(STEPS, max_size=60))
def test_each_client_gets_the_newest_of_its_own_in_order(steps: list[tuple[Any, ...]]) -> None:
    """Whatever the clients join, leave and ask for meanwhile, and whoever shares the interval."""
    loop = asyncio.new_event_loop()
    scheduler = FlushScheduler(loop)
    groups = Groups()
    clients = [IntervalClient(number, groups, scheduler) for number in CLIENTS]
    interval = clients[0].membership.interval
    assert interval is not None
    for client in clients:
        for key in KEYS:
            client.join(key)
    for number, (action, *values) in enumerate(steps):
        match action:
            case "price":
                for client in clients:
                    client.price(values[0], number)
                groups.send(tick(values[0], number))
            case "join":
                clients[values[0]].join(values[1])
            case "leave":
                clients[values[0]].leave(values[1])
            case "number":
                clients[values[0]].outbox.set_framing(numbered=values[1])
            case "over":
                for client in clients:
                    client.over()
                    if values[0]:
                        client.membership.settled_at = float("-inf")
                interval.over()
    assert [client.sent for client in clients] == [client.expected for client in clients]
    assert not any(client.errors for client in clients)
    for client in clients:
        client.outbox.close()
    assert not interval.members and not interval._shapes
    loop.close()


def shared_clients(scheduler: FlushScheduler) -> list[IntervalClient]:
    groups = Groups()
    clients = [IntervalClient(number, groups, scheduler) for number in CLIENTS]
    for client in clients:
        client.join("A")
        client.join("B")
        client.membership.settled_at = float("-inf")
    interval = clients[0].membership.interval
    assert interval is not None
    interval.over()
    assert all(client.membership.is_shared for client in clients)
    return clients


def test_price_that_cannot_be_made_ends_those_that_read_it(scheduler: FlushScheduler) -> None:
    """A price that fails in one shape ends its readers of that shape; others get theirs."""
    first, second, third = shared_clients(scheduler)
    second.outbox.set_framing(numbered=True)
    second.membership.settled_at = float("-inf")
    interval = first.membership.interval
    assert interval is not None
    interval.over()
    broken: Any = tick("A", 1)
    broken.epoch = None
    first.groups.send(broken)
    first.groups.send(tick("B", 2))
    interval.over()
    assert [len(client.errors) for client in (first, second, third)] == [0, 1, 0]
    assert first.sent == third.sent == [first.text("A", 1), first.text("B", 2)]
    first.groups.send(tick("B", 3))
    interval.over()
    assert first.sent[-1] == first.text("B", 3)


def test_slow_client_takes_no_price_of_the_interval_twice(scheduler: FlushScheduler) -> None:
    """One that became slow within the interval gets its prices when it has caught up, once."""
    client, *_ = shared_clients(scheduler)
    interval = client.membership.interval
    assert interval is not None
    client.outbox.high_water = 10
    client.outbox.control(frame("pong"))
    client.outbox.flush()
    client.groups.send(tick("A", 1))
    interval.over()
    assert not client.membership.is_shared and not client.membership.products
    client.transport.drain()
    assert client.transport.waiting == [client.text("A", 1)]
