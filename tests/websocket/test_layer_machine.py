"""A state machine over the layer and what hangs on it: sessions, snapshots, outboxes, the link.

Clients come, subscribe, change their minds, slow down, fail and go while ticks are published, the
link is cut or stands still, and Redis comes back with older data, in any order and without waiting
for each other. The model knows what was published and under which number; what each client was
sent is compared with it.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from channels.layers import get_channel_layer
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from quotes.layer import QuotesChannelLayer
from quotes.runtime.redis_link import RedisLink
from quotes.websocket.client_access import ClientAccess
from quotes.websocket.delivery import intervals
from quotes.websocket.feed import bridge_watch, stream_history
from quotes.websocket.feed.feed import Feed
from quotes.websocket.session import ClientSession
from quotes.websocket.subscriptions import live_prices
from tests.waiting import eventually
from tests.websocket.machine_bridge import Data, MachineBridge
from tests.websocket.machine_client import MachineClient, Reader

CLIENTS = st.integers(0, 2)
SYMBOLS = st.sampled_from("ABC")
LISTS = st.lists(SYMBOLS, min_size=1, max_size=3, unique=True)
TICKS = st.permutations("ABC").map(lambda symbols: 2 * symbols) | st.lists(SYMBOLS, max_size=2)
INTERVAL_MS = 10
PAUSES_S = st.sampled_from([0, 0.0005, 0.002, 1.2 * INTERVAL_MS / 1000])  # before the next step
HIGH_WATER_BYTES = 120
PATIENCE_S = 10.0


class Machine(RuleBasedStateMachine):
    redis: Redis
    monkeypatch: pytest.MonkeyPatch

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clients: dict[int, MachineClient] = {}
        self.redis.flushall()
        self.hold_ticks(1000)
        self.cuts = self.repaired = 0
        self.frozen: RedisLink | None = None
        self.returning: asyncio.Task[None] | None = None  # the bridge, after a restart of Redis
        # What a cut may have lost: symbol -> ordinals, from the last that all had.
        self.certain = dict.fromkeys("ABC", 0)
        self.lossy: dict[str, set[int]] = {name: set() for name in "ABC"}
        self.run(self.begin())
        for number, batch, interval_ms in ((0, False, 0), (1, True, INTERVAL_MS)):
            self.configure(number, batch, interval_ms, [], 0)
            self.subscribe(number, ["A", "B"], number == 0, ["A", "B"], 0)

    def run(self, step: Awaitable[Any]) -> None:
        async def run() -> None:
            await step

        self.loop.run_until_complete(run())

    async def begin(self) -> None:
        layer = get_channel_layer()
        assert isinstance(layer, QuotesChannelLayer)
        self.layer = layer
        self.bridge = MachineBridge(self.redis, self.layer, "ABC")
        await self.bridge.work()
        self.feed = Feed()
        [self.host] = self.layer.state.links
        await self.feed.ready()

        async def repaired() -> None:
            self.repaired += 1

        self.feed.layer.on_reconnect(repaired)  # runs behind the feed's own

    @initialize(ticks=st.sampled_from([3, 1000]))
    def hold_ticks(self, ticks: int) -> None:
        """Choose how many ticks are held for a client that is subscribing."""
        self.monkeypatch.setattr(live_prices, "_MAX_HELD_TICKS", ticks)
        self.holds_few = ticks < 1000
        for client in self.clients.values():
            self.count_on_held_ticks(client)

    # -- clients ----------------------------------------------------------------------------------

    def client(self, number: int) -> MachineClient:
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
        session.outbox.set_framing(numbered=number < 2)
        client = MachineClient(session, transport, self.bridge, self.lossy)
        # Until the last cut is repaired, what it joins may not be heard.
        client.counts = self.is_whole
        client.excused = not client.counts or not self.bridge.continues
        self.clients[number] = client

    @rule(number=CLIENTS, symbols=LISTS, conflate=st.booleans(), meanwhile=TICKS, pause_s=PAUSES_S)
    def subscribe(
        self, number: int, symbols: list[str], conflate: bool, meanwhile: list[str], pause_s: float
    ) -> None:
        client = self.client(number)
        client.counts = client.counts and not client.slow  # its first price may be skipped
        self.count_on_held_ticks(client)
        client.ask(self.loop, action="subscribe", symbols=symbols, conflate=conflate)
        self.publish(meanwhile, pause_s)

    def count_on_held_ticks(self, client: MachineClient) -> None:
        """Note that some ticks are left out while a client subscribes, where few are held."""
        if self.holds_few:
            client.counts, client.excused, client.slow = False, True, True

    @rule(number=CLIENTS, symbols=LISTS, meanwhile=TICKS, pause_s=PAUSES_S)
    def unsubscribe(
        self, number: int, symbols: list[str], meanwhile: list[str], pause_s: float
    ) -> None:
        client = self.client(number)
        client.counts = client.counts and not client.slow  # what was held for it is dropped
        client.ask(self.loop, action="unsubscribe", symbols=symbols)
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
        client.ask(self.loop, action="configure", batch=batch, interval_ms=interval_ms)
        self.publish(meanwhile, pause_s)

    @rule(number=CLIENTS, meanwhile=TICKS, pause_s=PAUSES_S)
    def slow_down(self, number: int, meanwhile: list[str], pause_s: float) -> None:
        client = self.client(number)
        client.slow, client.excused, client.transport.reads = True, True, False
        client.counts = client.counts and client.is_idle
        self.publish(meanwhile * 4, pause_s)

    @rule(number=CLIENTS, meanwhile=TICKS, pause_s=PAUSES_S)
    def read_on(self, number: int, meanwhile: list[str], pause_s: float) -> None:
        self.run(read_on(self.client(number)))
        self.publish(meanwhile, pause_s)

    @rule(
        number=CLIENTS,
        fails=st.sampled_from([{"frame"}, {"write"}, {"write", "close"}]),
        meanwhile=TICKS,
        pause_s=PAUSES_S,
    )
    def fail(self, number: int, fails: set[str], meanwhile: list[str], pause_s: float) -> None:
        """Let one client's outbox raise from now on."""
        client = self.client(number)
        client.transport.fails |= fails
        self.publish(meanwhile, pause_s)

    @rule(number=CLIENTS, politely=st.booleans())
    def disconnect(self, number: int, politely: bool) -> None:
        client = self.clients.pop(number, None)
        if client is not None:
            client.look()
            client.look_at_end()
            self.run(client.leave(politely=politely))

    @rule(number=CLIENTS, meanwhile=TICKS, pause_s=PAUSES_S)
    def resume(self, number: int, meanwhile: list[str], pause_s: float) -> None:
        """Connect again, and ask for every tick since the last ones."""
        before = self.client(number)
        before.look()
        since = {
            name: dict(zip(("epoch", "seq"), one.position, strict=True))
            for name, one in before.subscriptions.items()
            if one.position is not None
        }
        self.disconnect(number, False)
        client = self.client(number)
        self.count_on_held_ticks(client)
        if since:
            names = list(since)
            client.ask(self.loop, action="subscribe", symbols=names, since=since, conflate=False)
        self.publish(meanwhile, pause_s)

    # -- ticks, and the way that they take --------------------------------------------------------

    @rule(symbols=TICKS, pause_s=PAUSES_S)
    def publish(self, symbols: list[str], pause_s: float) -> None:
        if symbols:
            self.run(self.returned())
        for name in symbols:
            ordinal = self.bridge.publish(name)
            if not self.is_whole:
                self.lossy[name].add(ordinal)
        if pause_s:
            self.run(asyncio.sleep(pause_s))

    @rule(meanwhile=TICKS, pause_s=PAUSES_S)
    def cut_the_link(self, meanwhile: list[str], pause_s: float) -> None:
        self.run(self.cut())
        self.publish(meanwhile, pause_s)

    @property
    def is_whole(self) -> bool:
        """Whether every tick comes by the lanes alone, one by one.

        After a cut, and when the feed sees that a bridge has begun to work, the latest prices are
        read: they overtake ticks that are on their way.
        """
        sessions = {1: str(self.bridge.sessions)}
        return self.cuts == self.repaired and self.feed.bridges.sessions == sessions

    @property
    def link(self) -> RedisLink | None:
        """The link, unless it was cut and is not repaired."""
        return self.host.link if self.cuts == self.repaired else None

    async def cut(self) -> None:
        if self.link is not None:  # no precondition: what steps there are must not hang on time
            self.link.abort()
            self.lose()

    def lose(self) -> None:
        """Note that ticks may be lost from now on until the link is repaired."""
        self.cuts += 1
        for name, published in self.bridge.published.items():
            self.lossy[name].update(range(self.certain[name] + 1, published + 1))
        for client in self.clients.values():
            client.counts, client.excused = False, True

    @rule(before=TICKS, missed=TICKS, is_cut=st.booleans(), pause_s=PAUSES_S)
    def freeze(self, before: list[str], missed: list[str], is_cut: bool, pause_s: float) -> None:
        """Let the process read nothing of Redis, which may give it up."""
        if self.link is None or self.frozen is not None:
            return
        self.frozen = self.link
        self.frozen.pause_reading()
        self.publish(before, 0)
        if is_cut:
            self.run(self.bridge.written())
            self.redis.client_kill_filter(_type="pubsub")
            self.lose()
        self.publish(missed, pause_s)

    @rule(meanwhile=TICKS, pause_s=PAUSES_S)
    def thaw(self, meanwhile: list[str], pause_s: float) -> None:
        self.run(self.thawed())
        self.publish(meanwhile, pause_s)

    async def thawed(self) -> None:
        if self.frozen is not None:
            self.frozen.resume_reading()
            self.frozen = None

    @rule()
    def save(self) -> None:
        self.run(self.bridge.written())
        self.bridge.save()

    @rule(
        data=st.sampled_from(["complete", "saved", "saved", "empty"]),
        same_bridge=st.booleans(),
        pause_s=PAUSES_S,
    )
    def restart_redis(self, data: Data, same_bridge: bool, pause_s: float) -> None:
        """Let Redis come back with what it has, and then the bridge, while clients go on."""
        self.run(self.restarted(data, same_bridge))
        if pause_s:
            self.run(asyncio.sleep(pause_s))
        self.returning = self.loop.create_task(self.bridge.work())

    async def restarted(self, data: Data, same_bridge: bool) -> None:
        await self.returned()
        await self.thawed()
        await eventually(lambda: self.link is not None, timeout_s=PATIENCE_S)
        await self.bridge.restart_redis(data, same_bridge=same_bridge)
        await self.cut()

    async def returned(self) -> None:
        """Return when the bridge works."""
        if self.returning is None and self.bridge.link.closed:
            return
        if self.returning is not None:
            await self.returning
            self.returning = None

    @rule(next_ticks=TICKS)
    def settle(self, next_ticks: list[str]) -> None:
        """Wait until nothing is under way: a client that reads has the newest of its symbols."""
        self.run(self.settled())
        self.publish(next_ticks, 0)

    async def settled(self) -> None:
        await self.returned()
        await self.thawed()
        await eventually(lambda: self.is_whole, timeout_s=PATIENCE_S)
        for name in self.bridge.forgotten:
            self.bridge.publish(name)
        await self.bridge.written()
        for client in self.clients.values():
            if client.transport.reads and not client.transport.has_ended:
                await self.settle_client(client)
        if all(client.transport.reads for client in self.clients.values()):
            self.certain = dict(self.bridge.published)

    async def settle_client(self, client: MachineClient) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*client.under_way)
            await client.session.finished()
        client.under_way.clear()
        await eventually(
            lambda: client.transport.has_ended or client.is_up_to_date(), timeout_s=PATIENCE_S
        )
        if client.transport.has_ended:
            return
        client.slow = False
        # Numbers that started over end it, at the latest with the next tick.
        client.excused = not self.bridge.continues
        client.paced = client.session.outbox.interval_ms > 0
        if client.counts:
            assert client.missed == client.skipped

    # -- what must hold -------------------------------------------------------------------------

    @invariant()
    def everything_sent_was_due(self) -> None:
        """Frames come in an order that makes sense, and slow clients cost bounded memory."""
        for client in self.clients.values():
            client.look()
            outbox = client.session.outbox
            assert client.transport.unsent() < 20 * HIGH_WATER_BYTES
            assert len(outbox.newest) <= len(client.session.subscriptions.requested)

    def teardown(self) -> None:
        try:
            for client in self.clients.values():
                self.run(read_on(client))
            self.run(self.settled())
            self.run(self.failed_are_ended())
            for number in list(self.clients):
                self.disconnect(number, politely=number == 0)
            self.run(self.nothing_is_left())
        finally:
            self.run(self.end())
            self.loop.close()

    async def failed_are_ended(self) -> None:
        """Every client that fails is ended, at the latest by its next frame."""
        for client in self.clients.values():
            if client.transport.fails:
                client.ask(self.loop, action="ping")
        for client in self.clients.values():
            if client.transport.fails:
                await eventually(lambda: client.transport.has_ended, timeout_s=PATIENCE_S)  # noqa: B023

    async def nothing_is_left(self) -> None:
        state = self.layer.state
        assert not (state.groups or state.joined or state.receivers or any(state.lane_users))
        assert not self.feed.listeners
        assert not any(one.members for one in self.feed.scheduler.intervals.values())

    async def end(self) -> None:
        self.bridge.close()
        await self.feed.close()
        await self.layer.flush()


async def read_on(client: MachineClient) -> None:
    client.transport.read_on()


def test_every_tick_comes_once_and_in_order_whatever_happens(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients that keep up get each tick, slow and paced ones the newest, none any tick twice.

    Those that want every tick get it or are closed with 4410; one that fails is ended alone.
    """
    monkeypatch.setattr(intervals, "SETTLED_S", 0.0)
    monkeypatch.setattr(bridge_watch, "_WATCH_INTERVAL_S", 0.01)
    monkeypatch.setattr(stream_history, "ticks_after", lambda **place: ([], False))
    monkeypatch.setattr(Machine, "redis", redis, raising=False)
    monkeypatch.setattr(Machine, "monkeypatch", monkeypatch, raising=False)
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
