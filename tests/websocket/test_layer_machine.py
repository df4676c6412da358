"""A state machine over the layer and what hangs on it: sessions, snapshots, outboxes, the link.

Clients come, subscribe, change their minds, slow down and go while ticks are published and the link
is cut, in any order and without waiting for each other. The model knows what was published; what
each client was sent is compared with it.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from instruments.keys import InstrumentKey
from quotes.bridge.tick_order import Stream
from quotes.layer import QuotesChannelLayer
from quotes.layer.lanes import lane_channel, pack_entries
from quotes.store.latest import encode_latest
from quotes.store.names import own_key
from quotes.websocket.client_access import ClientAccess
from quotes.websocket.delivery import intervals
from quotes.websocket.feed.feed import Feed
from quotes.websocket.protocol import CloseCode
from quotes.websocket.session import ClientSession
from tests.ticks import MOMENT, tick
from tests.waiting import eventually

CLIENTS = st.integers(0, 2)
SYMBOLS = st.sampled_from("ABC")
LISTS = st.lists(SYMBOLS, min_size=1, max_size=3, unique=True)
TICKS = st.permutations("ABC").map(lambda symbols: 2 * symbols) | st.lists(SYMBOLS, max_size=2)
INTERVAL_MS = 10
PAUSES_S = st.sampled_from([0, 0.0005, 0.002, 1.2 * INTERVAL_MS / 1000])  # before the next step
HIGH_WATER_BYTES = 120
PATIENCE_S = 3.0


class Reader:
    """A transport whose client reads while `reads` is set."""

    form = "reader"

    def __init__(self) -> None:
        self.on_drain: Callable[[], None] = lambda: None
        self.on_flood: Callable[[], None] = lambda: None
        self.reads = True
        self.waiting: list[str] = []
        self.taken: list[str] = []

    def frame(self, payload: str | bytes) -> str:
        return str(payload)

    def write(self, frames: list[str]) -> None:
        (self.taken if self.reads else self.waiting).extend(frames)

    def unsent(self) -> int:
        return sum(map(len, self.waiting))

    def progress_at(self) -> float:
        return float("inf")

    def close(self, code: int, reason: str) -> None: ...

    def abort(self) -> None: ...

    def read_on(self) -> None:
        self.reads = True
        self.taken += self.waiting
        self.waiting.clear()
        self.on_drain()


@dataclass
class Client:
    """A client, and what it made of what it was sent."""

    session: ClientSession
    transport: Reader
    last: dict[str, int | None] = field(default_factory=dict)  # what it is subscribed to -> price
    paced: bool = False  # whether it gets prices at intervals, which leave some out
    slow: bool = False  # whether it stopped reading since it was last found up to date
    counts: bool = True  # whether missed prices can be told from those never due
    missed: int = 0
    skipped: int = 0
    under_way: list["asyncio.Task[None]"] = field(default_factory=list)


class Machine(RuleBasedStateMachine):
    redis: Redis

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clients: dict[int, Client] = {}
        self.streams = {name: Stream(InstrumentKey("", name), epoch=1) for name in "ABC"}
        self.redis.flushall()
        self.cuts = self.repaired = 0
        # What a cut may have lost: symbol -> numbers, from the last that all had.
        self.certain = dict.fromkeys("ABC", 0)
        self.lossy: dict[str, set[int]] = {name: set() for name in "ABC"}
        self.run(self.begin())
        for number, batch, interval_ms in ((0, False, 0), (1, True, INTERVAL_MS)):
            self.configure(number, batch, interval_ms, [], 0)
            self.subscribe(number, ["A", "B"], ["A", "B"], 0)

    def run(self, step: Awaitable[Any]) -> None:
        async def run() -> None:
            await step

        self.loop.run_until_complete(run())

    async def begin(self) -> None:
        self.feed = Feed()
        assert isinstance(self.feed.layer, QuotesChannelLayer)
        self.layer = self.feed.layer
        await self.feed.ready

        async def repaired() -> None:
            self.repaired += 1

        self.feed.layer.on_reconnect(repaired)  # runs behind the feed's own

    # -- what happens ---------------------------------------------------------------------------

    def client(self, number: int) -> Client:
        """Return a client, which connects now if it is not there."""
        if number not in self.clients:
            self.run(self.connect(number))
        return self.clients[number]

    async def connect(self, number: int) -> None:
        transport = Reader()
        channel = await self.feed.layer.new_channel()
        access = ClientAccess(self.feed.access_service, [])
        session = ClientSession(self.feed, channel=channel, transport=transport, access=access)
        session.outbox.high_water = HIGH_WATER_BYTES
        self.clients[number] = Client(session, transport)

    def ask(self, client: Client, **message: Any) -> None:
        """Let a client send a message; what it does goes on while other things happen."""
        text = json.dumps(message)
        client.under_way.append(self.loop.create_task(client.session.handle(text)))

    @rule(number=CLIENTS, symbols=LISTS, meanwhile=TICKS, pause_s=PAUSES_S)
    def subscribe(
        self, number: int, symbols: list[str], meanwhile: list[str], pause_s: float
    ) -> None:
        client = self.client(number)
        client.counts = client.counts and not client.slow  # its first price may be skipped
        self.ask(client, action="subscribe", symbols=symbols)
        self.publish(meanwhile, pause_s)

    @rule(number=CLIENTS, symbols=LISTS, meanwhile=TICKS, pause_s=PAUSES_S)
    def unsubscribe(
        self, number: int, symbols: list[str], meanwhile: list[str], pause_s: float
    ) -> None:
        client = self.client(number)
        client.counts = client.counts and not client.slow  # what was held for it is dropped
        self.ask(client, action="unsubscribe", symbols=symbols)
        self.publish(meanwhile, pause_s)

    @rule(
        number=CLIENTS,
        batch=st.booleans(),
        interval_ms=st.sampled_from([0, INTERVAL_MS]),
        meanwhile=TICKS,
        pause_s=PAUSES_S,
    )
    def configure(
        self, number: int, batch: bool, interval_ms: int, meanwhile: list[str], pause_s: float
    ) -> None:
        client = self.client(number)
        client.paced = client.paced or bool(interval_ms)
        client.counts = client.counts and not interval_ms
        self.ask(client, action="configure", batch=batch, interval_ms=interval_ms)
        self.publish(meanwhile, pause_s)

    @rule(symbols=TICKS, pause_s=PAUSES_S)
    def publish(self, symbols: list[str], pause_s: float) -> None:
        """Publish ticks as the bridge does: the latest price and the message in one transaction."""
        for name in symbols:
            stream = self.streams[name]
            number = stream.seq + 1
            at = MOMENT + number
            stream.take(at, stream.frame_of(tick(name, str(number), at)))
            with self.redis.pipeline() as pipeline:
                pipeline.hset(own_key("latest"), stream.field, encode_latest(stream.latest))
                pipeline.publish(
                    lane_channel("quotes:", stream.lane), pack_entries([stream.row(at)])
                )
                pipeline.execute()
            if self.cuts != self.repaired:
                self.lossy[name].add(number)
        if pause_s:
            self.run(asyncio.sleep(pause_s))

    @rule(number=CLIENTS, meanwhile=TICKS, pause_s=PAUSES_S)
    def slow_down(self, number: int, meanwhile: list[str], pause_s: float) -> None:
        client = self.client(number)
        client.slow, client.transport.reads = True, False
        client.counts = (
            client.counts
            and client.session.requests.is_idle
            and all(task.done() for task in client.under_way)
        )
        self.publish(meanwhile * 4, pause_s)

    @rule(number=CLIENTS, meanwhile=TICKS, pause_s=PAUSES_S)
    def read_on(self, number: int, meanwhile: list[str], pause_s: float) -> None:
        self.run(read_on(self.client(number)))
        self.publish(meanwhile, pause_s)

    @rule(number=CLIENTS, politely=st.booleans())
    def disconnect(self, number: int, politely: bool) -> None:
        client = self.clients.pop(number, None)
        if client is not None:
            self.run(leave(client, politely=politely))

    @rule(meanwhile=TICKS, pause_s=PAUSES_S)
    def cut_the_link(self, meanwhile: list[str], pause_s: float) -> None:
        self.run(self.cut())
        self.publish(meanwhile, pause_s)

    async def cut(self) -> None:
        [host] = self.layer.state.links
        if host.link is None or self.cuts != self.repaired:
            return  # no precondition: what steps there are must not hang on time
        self.cuts += 1
        for name, stream in self.streams.items():
            self.lossy[name].update(range(self.certain[name] + 1, stream.seq + 1))
        for client in self.clients.values():
            client.counts = False
        host.link.abort()

    @rule(next_ticks=TICKS)
    def settle(self, next_ticks: list[str]) -> None:
        """Wait until nothing is under way: a client that keeps up has the newest of its symbols."""
        self.run(self.settled())
        self.publish(next_ticks, 0)

    async def settled(self) -> None:
        for client in self.clients.values():
            await asyncio.gather(*client.under_way)
            await client.session.finished()
            client.under_way.clear()
        await eventually(lambda: self.repaired == self.cuts, timeout_s=PATIENCE_S)
        for client in self.clients.values():
            if client.transport.reads:
                await eventually(
                    lambda client=client: self.is_up_to_date(client),  # type: ignore[misc]
                    timeout_s=PATIENCE_S,
                )
                client.slow = False
                client.paced = client.session.outbox.interval_ms > 0
                if client.counts:
                    assert client.missed == client.skipped
        if all(client.transport.reads for client in self.clients.values()):
            self.certain = {name: stream.seq for name, stream in self.streams.items()}

    # -- what must hold -------------------------------------------------------------------------

    def is_up_to_date(self, client: Client) -> bool:
        self.look_at(client)
        return all((last or 0) == self.streams[name].seq for name, last in client.last.items())

    @invariant()
    def everything_sent_was_due(self) -> None:
        """Frames come in an order that makes sense, and slow clients cost bounded memory."""
        for client in self.clients.values():
            self.look_at(client)
            assert client.transport.unsent() < 20 * HIGH_WATER_BYTES
            assert len(client.session.outbox.newest) <= len(client.session.subscriptions.keys)

    def look_at(self, client: Client) -> None:
        """Compare what a client has read since the last look with what was published."""
        taken, client.transport.taken = client.transport.taken, []
        for text in taken:
            frame = json.loads(text)
            for item in frame if isinstance(frame, list) else [frame]:
                match item.get("type"):
                    case None:
                        self.look_at_price(client, item["symbol"], int(item["price"]))
                    case "subscribed":
                        client.last.update(dict.fromkeys(item["symbols"]))
                    case "unsubscribed":
                        for name in item["symbols"]:
                            del client.last[name]
                    case "conflated":
                        client.skipped += item["skipped"]
                    case "error":
                        raise AssertionError(item)

    def look_at_price(self, client: Client, name: str, number: int) -> None:
        assert name in client.last, f"{name} without a subscription"
        last = client.last[name]
        client.last[name] = number
        if last is None:
            return
        assert number > last, f"{name} {number} after {last}"
        missing = set(range(last + 1, number)) - self.lossy[name]
        client.missed += len(missing)
        assert not missing or client.slow or client.paced, f"{name} {number} after {last}"

    def teardown(self) -> None:
        try:
            for client in self.clients.values():
                self.run(read_on(client))
            self.run(self.settled())
            for number in list(self.clients):
                self.disconnect(number, politely=number == 0)
            self.run(self.nothing_is_left())
        finally:
            self.run(self.end())
            self.loop.close()

    async def nothing_is_left(self) -> None:
        state = self.layer.state
        assert not (state.groups or state.joined or state.receivers or any(state.lane_users))
        assert not self.feed.listeners
        assert not any(one.members for one in self.feed.scheduler.intervals.values())

    async def end(self) -> None:
        await self.feed.close()
        await self.layer.flush()


async def read_on(client: Client) -> None:
    client.transport.read_on()


async def leave(client: Client, *, politely: bool) -> None:
    """End a session as the consumer does: whatever was under way is over."""
    if politely:
        client.session.close(CloseCode.SLOW_READER, "enough")
    for task in client.under_way:
        task.cancel()
    await asyncio.gather(*client.under_way, return_exceptions=True)
    client.session.end()
    await client.session.finished()


def test_every_tick_comes_once_and_in_order_whatever_happens(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients that keep up get each tick, slow and paced ones the newest, none any tick twice."""
    monkeypatch.setattr(intervals, "SETTLED_S", 0.0)
    monkeypatch.setattr(Machine, "redis", redis, raising=False)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=20,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            print_blob=False,
            phases=[Phase.generate],  # what is being raced for does not shrink
        ),
    )
