"""What users of channel layers rely on, tried on Channels' own layers and on this project's.

Each test names the layers that keep its promise; this project's keeps all of them.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.exceptions import ChannelFull
from channels.layers import InMemoryChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from redis import Redis

from quotes.layer import QuotesChannelLayer
from tests.valkey import ValkeyProcess
from tests.waiting import eventually, wait_until

Make = Callable[..., Any]
CAPACITY = 5


@pytest.fixture
async def make(
    request: pytest.FixtureRequest, redis: Redis, redis_server: ValkeyProcess
) -> AsyncIterator[Make]:
    """Makes layers of a kind, each as another process would have it."""
    made = []

    def new(**options: Any) -> Any:
        match request.param:
            case "memory":
                layer: Any = InMemoryChannelLayer(capacity=CAPACITY, **options)
            case "pubsub":
                layer = RedisPubSubChannelLayer(hosts=[redis_server.url], **options)
            case _:
                layer = QuotesChannelLayer(capacity=CAPACITY, **options)
        made.append(layer)
        return layer

    yield new
    for layer in made:
        await layer.flush()


def kept_by(*kinds: str) -> Any:
    return pytest.mark.parametrize("make", kinds, indirect=True)


everywhere = kept_by("memory", "pubsub", "own")


async def receive(layer: Any, channel: str) -> dict[str, Any]:
    async with asyncio.timeout(5):
        message: dict[str, Any] = await layer.receive(channel)
    return message


def from_a_thread(call: Callable[..., Awaitable[Any]], *args: Any) -> "asyncio.Task[None]":
    """Make a call by async_to_sync in a thread of its own, as synchronous code does."""
    return asyncio.create_task(asyncio.to_thread(async_to_sync(call), *args))


def in_a_thread(work: Callable[[], Any]) -> Any:
    """Run synchronous code in a thread without an event loop, and return its result."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join(10)
    assert found, "the thread failed or hangs"
    return found[0]


# -- channels ------------------------------------------------------------------------------------


@everywhere
async def test_message_sent_before_anybody_receives_is_received(make: Make) -> None:
    """A channel holds messages from the moment that new_channel has returned, in order."""
    layer = make()
    channel = await layer.new_channel()
    for number in range(CAPACITY):
        await layer.send(channel, {"type": "n", "number": number})
    got = [(await receive(layer, channel))["number"] for _ in range(CAPACITY)]
    assert got == list(range(CAPACITY))


@everywhere
@pytest.mark.parametrize("receives_first", [False, True])
async def test_message_sent_from_another_loop_is_received(make: Make, receives_first: bool) -> None:
    """Synchronous code in a thread reaches a channel of the main loop, waiting or not."""
    layer = make()
    channel = await layer.new_channel()
    reading = asyncio.create_task(receive(layer, channel)) if receives_first else None
    await asyncio.sleep(0)
    await from_a_thread(layer.send, channel, {"type": "from afar"})
    message = await (reading or receive(layer, channel))
    assert message == {"type": "from afar"}


@kept_by("memory", "own")
async def test_channel_serves_synchronous_code_alone(make: Make) -> None:
    """new_channel, send and receive each in a loop of its own, as async_to_sync has it."""

    def work() -> Any:
        layer = make()
        channel = async_to_sync(layer.new_channel)()
        async_to_sync(layer.send)(channel, {"type": "alone"})
        return async_to_sync(layer.receive)(channel)

    assert in_a_thread(work) == {"type": "alone"}


@kept_by("pubsub", "own")
async def test_message_of_another_process_waits_for_the_receiver(make: Make) -> None:
    """A message from another process is held too before anybody receives."""
    layer, other = make(), make()
    channel = await layer.new_channel()
    await other.send(channel, {"type": "from outside"})
    assert await receive(layer, channel) == {"type": "from outside"}


@everywhere
async def test_each_message_goes_to_one_of_several_readers(make: Make) -> None:
    """Two that receive on one channel share its messages; none is lost or doubled."""
    layer = make()
    channel = await layer.new_channel()
    readers = [asyncio.create_task(receive(layer, channel)) for _ in range(2)]
    await asyncio.sleep(0)
    for number in range(2):
        await layer.send(channel, {"type": "n", "number": number})
    assert sorted(one["number"] for one in await asyncio.gather(*readers)) == [0, 1]


@kept_by("memory", "own")
async def test_cancelled_reader_leaves_the_message_to_another(make: Make) -> None:
    """A reader that is cancelled as a message comes does not take it along."""
    layer = make()
    readers = [asyncio.create_task(receive(layer, "plain")) for _ in range(2)]
    await eventually(lambda: "plain" in getattr(layer, "channels", {"plain": 1}))
    await asyncio.sleep(0.05)
    await layer.send("plain", {"type": "x"})
    readers[0].cancel()
    done = await asyncio.gather(*readers, return_exceptions=True)
    assert {"type": "x"} in done


@everywhere
async def test_channel_names_are_new_each_time(make: Make) -> None:
    """new_channel never gives a name twice, and takes a prefix."""
    layer = make()
    names = {await layer.new_channel() for _ in range(20)}
    assert len(names) == 20 and all(len(name) < 100 for name in names)
    named = await layer.new_channel("mine")
    assert "mine" in named
    await layer.send(named, {"type": "x"})
    assert await receive(layer, named) == {"type": "x"}


@kept_by("memory", "own")
async def test_full_channel_refuses_a_message(make: Make) -> None:
    """send raises ChannelFull at capacity, from any loop; what was held stays."""
    layer = make()
    channel = await layer.new_channel()
    for _ in range(CAPACITY):
        await layer.send(channel, {"type": "x"})
    with pytest.raises(ChannelFull):
        await layer.send(channel, {"type": "x"})
    with pytest.raises(ChannelFull):
        await from_a_thread(layer.send, channel, {"type": "x"})
    assert [await receive(layer, channel) for _ in range(CAPACITY)] == CAPACITY * [{"type": "x"}]


@kept_by("memory", "own")
async def test_capacity_of_some_channels_may_differ(make: Make) -> None:
    """channel_capacity gives patterns of names a capacity of their own."""
    capacities = {"small*": 1}
    layer = make(channel_capacity=capacities)
    if isinstance(layer, InMemoryChannelLayer):
        layer.channel_capacity = layer.compile_capacities(capacities)  # it expects that
    channel = await layer.new_channel("small")
    await layer.send(channel, {"type": "x"})
    with pytest.raises(ChannelFull):
        await layer.send(channel, {"type": "x"})


@kept_by("memory", "own")
async def test_unread_messages_expire(make: Make) -> None:
    """What nobody has read within `expiry` seconds is dropped."""
    layer = make(expiry=0.05)
    channel = await layer.new_channel()
    await layer.send(channel, {"type": "old"})
    await asyncio.sleep(0.1)
    await layer.group_add("g", channel)
    await layer.send(channel, {"type": "new"})
    assert await receive(layer, channel) == {"type": "new"}


# -- messages --------------------------------------------------------------------------------------

MESSAGES = [
    {"type": "text", "text": "₹ 2,950.50 \U0001f4c8", "empty": ""},
    {"type": "numbers", "int": -(2**63), "big": 2**64 - 1, "float": 0.1, "zero": 0},
    {"type": "others", "none": None, "true": True, "bytes": b"\x00\xff" * 100},
    {"type": "nested", "list": [1, [2, {"three": 3}]], "dict": {"a": {"b": []}}},
    {"type": "websocket.send", "text": "x" * 200_000},
]


@everywhere
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message["type"])
async def test_message_arrives_as_it_was_sent(make: Make, message: dict[str, Any]) -> None:
    """Text, numbers, bytes, None, lists and dicts cross channels and groups unchanged."""
    layer = make()
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    await layer.send(channel, message)
    await layer.group_send("g", message)
    assert [await receive(layer, channel) for _ in range(2)] == [message, message]


@everywhere
async def test_receivers_have_copies_of_their_own(make: Make) -> None:
    """Neither the sender nor another member sees what one does to its message."""
    layer = make()
    channels = [await layer.new_channel() for _ in range(2)]
    for channel in channels:
        await layer.group_add("g", channel)
    message: dict[str, Any] = {"type": "x", "items": [1]}
    await layer.send(channels[0], message)
    message["items"].append(2)
    assert (await receive(layer, channels[0]))["items"] == [1]
    await layer.group_send("g", {"type": "x", "items": [1]})
    first = await receive(layer, channels[0])
    first["items"].append(2)
    assert (await receive(layer, channels[1]))["items"] == [1]


@kept_by("pubsub", "own")
async def test_message_that_cannot_cross_redis_is_refused(make: Make) -> None:
    """The sender of an object that no other process could read gets a TypeError."""
    layer = make()
    channel = await layer.new_channel()
    for send, name in ((layer.send, channel), (layer.group_send, "g")):
        with pytest.raises(TypeError):
            await send(name, {"type": "x", "object": object()})


@kept_by("memory", "own")
@pytest.mark.parametrize("name", ["", "no spaces", "x" * 100, "é"])
async def test_illegal_names_are_refused(make: Make, name: str) -> None:
    """Names of channels and groups are checked on every call."""
    layer = make()
    channel = await layer.new_channel()
    calls = [
        layer.send(name, {"type": "x"}),
        layer.group_send(name, {"type": "x"}),
        layer.group_add(name, channel),
        layer.group_add("g", name),
        layer.group_discard(name, channel),
        layer.group_discard("g", name),
        layer.receive(name),
    ]
    for call in calls:
        with pytest.raises(TypeError):
            await call


# -- groups ----------------------------------------------------------------------------------------


@everywhere
async def test_members_get_each_message_of_their_groups_once(make: Make) -> None:
    """In order, however often they joined; not after leaving, not of other groups."""
    layer = make()
    stays, leaves = await layer.new_channel(), await layer.new_channel()
    for channel in (stays, leaves, stays):
        await layer.group_add("g", channel)
    await layer.group_add("other", leaves)
    await layer.group_discard("g", leaves)
    for number in range(3):
        await layer.group_send("g", {"type": "n", "number": number})
    await layer.group_send("other", {"type": "other"})
    assert [(await receive(layer, stays))["number"] for _ in range(3)] == [0, 1, 2]
    assert await receive(layer, leaves) == {"type": "other"}
    await layer.send(stays, {"type": "marker"})
    assert await receive(layer, stays) == {"type": "marker"}


@everywhere
async def test_groups_without_members_are_no_error(make: Make) -> None:
    """Sending to nobody is fine, and so is leaving a group without being in it."""
    layer = make()
    channel = await layer.new_channel()
    await layer.group_send("nobody", {"type": "x"})
    await layer.group_discard("nobody", channel)


@kept_by("memory", "own")
async def test_full_member_does_not_keep_others_from_the_message(make: Make) -> None:
    """group_send raises nothing: who has no room misses the message alone."""
    layer = make()
    full, free = await layer.new_channel(), await layer.new_channel()
    for channel in (full, free):
        await layer.group_add("g", channel)
    for _ in range(CAPACITY):
        await layer.send(full, {"type": "x"})
    await layer.group_send("g", {"type": "y"})
    assert await receive(layer, free) == {"type": "y"}
    assert [(await receive(layer, full))["type"] for _ in range(CAPACITY)] == CAPACITY * ["x"]


@everywhere
async def test_synchronous_code_sends_to_groups(make: Make) -> None:
    """async_to_sync(layer.group_send) in a thread reaches members of the main loop."""
    layer = make()
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    if isinstance(layer, InMemoryChannelLayer):
        await asyncio.sleep(0)  # its members are served by the sender's loop
    for number in range(3):
        await from_a_thread(layer.group_send, "g", {"type": "n", "number": number})
    assert [(await receive(layer, channel))["number"] for _ in range(3)] == [0, 1, 2]


@kept_by("memory", "own")
async def test_synchronous_code_adds_to_groups_and_takes_out(make: Make) -> None:
    """group_add and group_discard of a running consumer's channel work from a thread."""
    layer = make()
    channel = await layer.new_channel()
    await from_a_thread(layer.group_add, "g", channel)
    await layer.group_send("g", {"type": "in"})
    assert await receive(layer, channel) == {"type": "in"}
    await from_a_thread(layer.group_discard, "g", channel)
    await layer.group_send("g", {"type": "out"})
    await layer.send(channel, {"type": "marker"})
    assert await receive(layer, channel) == {"type": "marker"}


@kept_by("pubsub", "own")
async def test_channel_of_another_process_cannot_be_added(make: Make) -> None:
    """group_add of it is an error that says so, not a membership that hears nothing."""
    layer, other = make(), make()
    channel = await other.new_channel()
    with pytest.raises(RuntimeError):
        await layer.group_add("g", channel)


@kept_by("pubsub", "own")
async def test_groups_span_processes(make: Make) -> None:
    """A message reaches the members in every process."""
    layers = [make(), make()]
    channels = [await layer.new_channel() for layer in layers]
    for layer, channel in zip(layers, channels, strict=True):
        await layer.group_add("g", channel)
    await layers[0].group_send("g", {"type": "x"})
    for layer, channel in zip(layers, channels, strict=True):
        assert await receive(layer, channel) == {"type": "x"}


@everywhere
async def test_flush_makes_the_layer_like_new(make: Make) -> None:
    """Members and messages are forgotten; the layer goes on to work."""
    layer = make()
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    await layer.send(channel, {"type": "before"})
    await layer.flush()
    await layer.group_send("g", {"type": "nobody"})
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    await layer.group_send("g", {"type": "after"})
    assert await receive(layer, channel) == {"type": "after"}


# -- event loops -----------------------------------------------------------------------------------


@kept_by("pubsub", "own")
async def test_loops_that_end_leave_no_connection(make: Make, redis: Redis) -> None:
    """Synchronous code that sends a hundred times holds no hundred connections."""
    layer = make()

    def work() -> bool:
        for _ in range(100):
            async_to_sync(layer.group_send)("g", {"type": "x"})
        return True

    before = len(redis.client_list())
    assert await asyncio.to_thread(in_a_thread, work)
    await asyncio.to_thread(wait_until, lambda: len(redis.client_list()) <= before + 1)


@kept_by("own")
async def test_receiver_in_another_loop_is_called_there(make: Make) -> None:
    """An attached receiver runs in the loop that attached it, whoever sends."""
    layer = make()
    channel = layer.local_channel()
    got: list[tuple[str, int]] = []
    layer.attach(channel, lambda message: got.append((message["type"], threading.get_ident())))
    await from_a_thread(layer.send, channel, {"type": "x"})
    await eventually(lambda: got == [("x", threading.get_ident())])


@kept_by("own")
@pytest.mark.parametrize("rubbish", [b"\x91\x97\x90\x01\x02\x03\x04\x05\x06", b"\x91\x92\x90\x90"])
async def test_entry_that_makes_no_sense_stops_no_other(
    make: Make, redis: Redis, rubbish: bytes
) -> None:
    """What cannot be a row or a message is dropped alone."""

    class NumberedRow(dict[str, Any]):
        def __init__(self, key: Any, number: Any) -> None:
            super().__init__(type="row", number=number)
            self.key = key

    class Decoder:
        def topic(self, group: str) -> str | None:
            return group

        def rows(self, payload: bytes) -> list[NumberedRow] | None:
            return None

        def row(self, entry: list[Any]) -> NumberedRow | None:
            return NumberedRow(entry[0], entry[1])

        def is_news(self, row: NumberedRow, delivered: Any) -> bool:
            return True

        def message(self, message: dict[str, Any]) -> dict[str, Any]:
            return message

        def is_marker(self, message: dict[str, Any]) -> bool:
            return False

    layer = make(decoder=Decoder())
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    for lane in range(32):
        redis.publish(f"quotes:lane:{lane}", rubbish)
    await layer.publish([["g", 1, 2]], 0)
    await layer.group_send("g", {"type": "x"})
    got = [(await receive(layer, channel))["type"]]
    if got == ["row"]:
        got.append((await receive(layer, channel))["type"])
    assert got[-1] == "x"
