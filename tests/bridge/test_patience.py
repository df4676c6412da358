"""A bridge gathers for longer while nobody needs prices at once."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from quotes.bridge.patience import all_are_patient
from quotes.bridge.writer import PATIENT_GATHER_S
from quotes.layer import QuotesChannelLayer
from quotes.layer.any_layer import AnyLayer
from quotes.layer.lane_link import LaneLink
from quotes.layer.lanes import LANES
from quotes.runtime.redis_link import RedisLink
from tests.live import LiveServer
from tests.ticks import message, publish
from tests.waiting import eventually


@pytest.fixture
async def link(redis: Redis) -> AsyncIterator[RedisLink]:
    link = await RedisLink.connect(settings.REDIS_URL)
    yield link
    link.close()


@pytest.fixture
async def layers(redis: Redis) -> AsyncIterator[list[QuotesChannelLayer]]:
    """The layers of two web processes, each in groups of its own."""
    layers = [QuotesChannelLayer() for _ in range(2)]
    for number, layer in enumerate(layers):
        channel = layer.local_channel()
        layer.attach(channel, lambda message: None)
        await layer.group_add_many([f"g{number}.{at}" for at in range(8)], channel)
    yield layers
    for layer in layers:
        await layer.flush()


async def test_all_are_patient_when_each_listener_is(
    link: RedisLink, layers: list[QuotesChannelLayer], redis: Redis
) -> None:
    """One that is not, or does not know of patience, is enough; so is one that becomes so."""
    first, second = layers
    assert not await all_are_patient(link, first)
    first.set_patient(True)
    assert not await all_are_patient(link, first)
    second.set_patient(True)
    await first.state.links[0].link.ping()  # type: ignore[union-attr]
    await second.state.links[0].link.ping()  # type: ignore[union-attr]
    assert await all_are_patient(link, first)
    # A web process of a release that knows no patience.
    with redis.pubsub() as earlier:  # type: ignore[no-untyped-call]
        earlier.subscribe(first.lane_channels()[next(iter(first.state.links[0].lanes))])
        assert earlier.get_message(timeout=5)
        assert not await all_are_patient(link, first)
    await eventually_patient(link, first)
    second.set_patient(False)
    await second.state.links[0].link.ping()  # type: ignore[union-attr]
    assert not await all_are_patient(link, first)
    await second.flush()
    await eventually_patient(link, first)
    await first.flush()
    assert await all_are_patient(link, first)


async def eventually_patient(link: RedisLink, layer: QuotesChannelLayer) -> None:
    async with asyncio.timeout(5):
        while not await all_are_patient(link, layer):
            pass


async def test_patience_holds_for_lanes_joined_later_and_after_a_reconnect(
    link: RedisLink, layers: list[QuotesChannelLayer], redis: Redis
) -> None:
    """New lanes are patient from their subscription on, and all of them when Redis is back."""
    first, second = layers
    await second.flush()
    first.set_patient(True)
    channel = first.local_channel()
    first.attach(channel, lambda message: None)
    await first.group_add_many([f"later.{at}" for at in range(100)], channel)
    assert len(first.state.links[0].lanes) == LANES
    assert await all_are_patient(link, first)
    before = first.state.links[0].link
    redis.client_kill_filter(_type="pubsub")
    await eventually(lambda: first.state.links[0].link not in (None, before))
    await eventually_patient(link, first)
    first.set_patient(False)
    await first.state.links[0].link.ping()  # type: ignore[union-attr]
    assert not await all_are_patient(link, first)


async def test_nobody_is_patient_where_listeners_are_not_known(link: RedisLink) -> None:
    """With several hosts, or another layer, a bridge gathers no longer than it must."""
    assert not await all_are_patient(link, AnyLayer(object()))
    hosts = [settings.REDIS_URL, settings.REDIS_URL + "?x=1"]
    assert not await all_are_patient(link, QuotesChannelLayer(hosts=hosts))


async def test_bridge_that_may_not_ask_gathers_no_longer(redis: Redis) -> None:
    """An account without the right to count subscribers goes on, as without any patience."""
    redis.acl_setuser("narrow", enabled=True, nopass=True, commands=["+@all", "-pubsub"])
    narrow = await RedisLink.connect(settings.REDIS_URL.replace("://", "://narrow:x@"))
    assert not await all_are_patient(narrow, QuotesChannelLayer())
    await narrow.ping()
    narrow.close()
    redis.acl_deluser("narrow")


class RecordedLink:
    """What a link is subscribed to."""

    def __init__(self) -> None:
        self.channels: set[str] = set()
        self.fails = False

    def begin_subscribe(self, *channels: str) -> None:
        self.channels.update(channels)

    async def subscribe(self, *channels: str) -> None:
        self.channels.update(channels)
        await asyncio.sleep(0)

    def unsubscribe(self, *channels: str) -> None:
        self.channels.difference_update(channels)

    async def ping(self) -> None:
        await asyncio.sleep(0)


STEPS = st.lists(
    st.tuples(st.sampled_from(["join", "leave"]), st.integers(0, 3))
    | st.tuples(st.just("patient"), st.booleans())
    | st.tuples(st.just("turn"), st.just(0)),
    max_size=30,
)


@given(STEPS)
def test_patience_is_that_of_the_lanes_whatever_the_order(steps: list[tuple[str, int]]) -> None:
    """However joining, leaving and patience mix, the link listens to what it should."""

    async def carry_out() -> None:
        lanes = LaneLink("redis://x", "p:", on_payload=print, on_reconnect=print)
        recorded = RecordedLink()
        lanes.link = recorded  # type: ignore[assignment]
        tasks = []
        for action, value in steps:
            if action == "join":
                tasks.append(asyncio.create_task(lanes.listen([value])))
                await asyncio.sleep(0)
            elif action == "leave":
                if value in lanes.lanes:
                    lanes.stop_listening(value)
            elif action == "patient":
                lanes.set_patient(bool(value))
            else:
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        expected = {f"p:lane:{lane}" for lane in lanes.lanes}
        if lanes.is_patient:
            expected |= {f"p:lane:{lane}:patient" for lane in lanes.lanes}
        assert recorded.channels == expected

    asyncio.run(carry_out())


async def test_bridge_gathers_longer_while_all_clients_have_intervals(
    live: LiveServer, redis: Redis
) -> None:
    """A client that gets each price at once ends that, and so does its last interval."""
    [(bridge, _)] = live.bridges
    async with live.client() as slow:
        await slow.ask(action="configure", interval_ms=100)
        await slow.subscribe("A")
        await eventually(lambda: bridge.writer.least_gather_s == PATIENT_GATHER_S)
        publish(redis, "A", message("A", "1"))
        assert (await slow.price())["price"] == 1
        async with live.client() as quick:
            await quick.subscribe("A")
            await eventually(lambda: bridge.writer.least_gather_s == 0)
        await eventually(lambda: bridge.writer.least_gather_s == PATIENT_GATHER_S)
        await slow.ask(action="configure", interval_ms=0)
        await eventually(lambda: bridge.writer.least_gather_s == 0)
