"""The channel layer's API, as the specification of channel layers asks, on a real server."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.exceptions import ChannelFull
from redis import Redis

from quotes.layer import QuotesChannelLayer
from quotes.layer.lanes import lane_channel, lane_of, pack_entries
from quotes.runtime.redis_link import RedisLink
from tests.valkey import ValkeyProcess
from tests.waiting import eventually


@pytest.fixture
async def layer(redis: Redis) -> AsyncIterator[QuotesChannelLayer]:
    layer = QuotesChannelLayer(capacity=5)
    yield layer
    await layer.flush()


@pytest.fixture
async def other(redis: Redis) -> AsyncIterator[QuotesChannelLayer]:
    """The layer of another process."""
    layer = QuotesChannelLayer(capacity=5)
    yield layer
    await layer.flush()


async def receive(layer: QuotesChannelLayer, channel: str) -> dict[str, Any]:
    async with asyncio.timeout(5):
        return await layer.receive(channel)


async def is_silent(layer: QuotesChannelLayer, channel: str, marker: QuotesChannelLayer) -> bool:
    """Say whether nothing came to a channel before a message sent now."""
    await marker.send(channel, {"type": "marker"})
    return bool((await receive(layer, channel))["type"] == "marker")


async def listening(layer: QuotesChannelLayer) -> tuple[str, "asyncio.Queue[dict[str, Any]]"]:
    """Return a channel that a task reads, and what it read."""
    channel = await layer.new_channel()
    read: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def run() -> None:
        while True:
            read.put_nowait(await layer.receive(channel))

    tasks.add(asyncio.create_task(run()))
    await eventually(lambda: channel in layer.state.reading)
    await layer.group_add("ready", channel)
    return channel, read


tasks: set[asyncio.Task[None]] = set()


async def test_message_reaches_a_channel_of_this_process(layer: QuotesChannelLayer) -> None:
    """send then receive gives the message."""
    channel = await layer.new_channel()
    await layer.send(channel, {"type": "greet", "text": "hello", "raw": b"\x00\xff"})
    assert await receive(layer, channel) == {"type": "greet", "text": "hello", "raw": b"\x00\xff"}


async def test_message_reaches_a_channel_of_another_process(
    layer: QuotesChannelLayer, other: QuotesChannelLayer
) -> None:
    """A specific channel is reached from any process, and so is one with a plain name."""
    channel, read = await listening(layer)
    await other.send(channel, {"type": "greet"})
    assert (await asyncio.wait_for(read.get(), 5))["type"] == "greet"
    waiting = asyncio.create_task(layer.receive("plain"))
    await eventually(lambda: "plain" in layer.state.reading)
    await layer.state.listen(["plain"])
    await other.send("plain", {"type": "greet"})
    assert (await asyncio.wait_for(waiting, 5))["type"] == "greet"


async def test_group_message_reaches_members_in_every_process(
    layer: QuotesChannelLayer, other: QuotesChannelLayer
) -> None:
    """All members get it, in order; who left does not."""
    mine, theirs, gone = [await one.new_channel() for one in (layer, other, layer)]
    for one, channel in ((layer, mine), (other, theirs), (layer, gone)):
        await one.group_add("g", channel)
    await layer.group_discard("g", gone)
    for number in range(3):
        await other.group_send("g", {"type": "n", "number": number})
    for one, channel in ((layer, mine), (other, theirs)):
        assert [(await receive(one, channel))["number"] for _ in range(3)] == [0, 1, 2]
    assert await is_silent(layer, gone, layer)


async def test_group_send_to_nobody_is_fine(layer: QuotesChannelLayer) -> None:
    """A group without members takes messages; discarding who is no member is fine."""
    await layer.group_send("nobody", {"type": "x"})
    await layer.group_discard("nobody", "no.one!here")
    await layer.send("specific.gone!123", {"type": "x"})


async def test_adding_twice_is_adding_once(layer: QuotesChannelLayer) -> None:
    """A member that joins again gets each message once."""
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    await layer.group_add("g", channel)
    await layer.group_send("g", {"type": "x"})
    assert (await receive(layer, channel))["type"] == "x"
    assert await is_silent(layer, channel, layer)


async def test_channel_that_joins_no_group_leaves_nothing_behind(layer: QuotesChannelLayer) -> None:
    """As one whose client was rejected every symbol: nothing is kept of it once it is detached."""
    channel = layer.local_channel()
    layer.attach(channel, lambda message: None)
    await layer.group_add_many([], channel)
    layer.detach(channel)
    assert not (layer.state.joined or layer.state.receivers)


async def test_message_from_before_a_group_was_left_reaches_no_later_member(
    layer: QuotesChannelLayer, other: QuotesChannelLayer, redis: Redis
) -> None:
    """What came in between is missed, so it would be taken for the newest."""
    [lane] = {lane_of("g")}
    name = lane_channel(layer.prefix, lane)

    def subscribers() -> int:
        found: Any = redis.pubsub_numsub(name)
        return int(found[0][1])

    taken: list[str] = []
    channels = [layer.local_channel() for _ in range(2)]
    for channel in channels:
        layer.attach(channel, lambda message: taken.append(message["text"]))
    await layer.group_add("g", channels[0])
    [host] = layer.state.links
    assert host.link is not None
    host.link.pause_reading()
    await other.group_send("g", {"type": "x", "text": "before"})
    layer.detach(channels[0])
    await eventually(lambda: subscribers() == 0)
    await other.group_send("g", {"type": "x", "text": "missed"})
    joining = asyncio.create_task(layer.group_add("g", channels[1]))
    await eventually(lambda: subscribers() == 1)
    host.link.resume_reading()
    await joining
    assert layer.newest_message("g") is None
    await other.group_send("g", {"type": "x", "text": "after"})
    await eventually(lambda: taken)
    assert taken == ["after"]


async def test_full_channel_refuses_or_drops(layer: QuotesChannelLayer) -> None:
    """send raises ChannelFull at capacity; a group send drops the message for that channel."""
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    for _ in range(5):
        await layer.send(channel, {"type": "x"})
    with pytest.raises(ChannelFull):
        await layer.send(channel, {"type": "x"})
    await layer.group_send("g", {"type": "dropped"})
    for _ in range(5):
        assert (await receive(layer, channel))["type"] == "x"
    assert await is_silent(layer, channel, layer)


@pytest.mark.parametrize("name", ["", "no spaces", "x" * 100, "é", "a!b!c"])
async def test_illegal_names_are_refused(layer: QuotesChannelLayer, name: str) -> None:
    """Names of groups and channels are checked, and messages are dicts."""
    with pytest.raises(TypeError):
        await layer.group_add(name, "fine")
    with pytest.raises(TypeError):
        await layer.group_send(name, {"type": "x"})
    if name != "a!b!c":
        with pytest.raises(TypeError):
            await layer.send(name, {"type": "x"})
    with pytest.raises(TypeError):
        await layer.send("fine", "text")  # type: ignore[arg-type]


async def test_flush_forgets_everything(layer: QuotesChannelLayer) -> None:
    """After flush there are no members and no messages."""
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    await layer.flush()
    assert layer.local_groups() == []
    await layer.group_send("g", {"type": "x"})


async def test_receivers_get_messages_at_once_and_leave_as_one(
    layer: QuotesChannelLayer, other: QuotesChannelLayer
) -> None:
    """An attached receiver takes messages of its groups until it is detached from all."""
    got: list[int] = []
    channel = await layer.new_channel()
    layer.attach(channel, lambda message: got.append(message["number"]))
    await layer.group_add_many([f"g{n}" for n in range(100)], channel)
    entries = [(f"g{n}", {"type": "x", "number": n}) for n in range(100)]
    await other.group_send_many(entries)
    await eventually(lambda: len(got) == 100)
    assert sorted(got) == list(range(100))
    assert layer.newest_message("g7") == {"type": "x", "number": 7}
    layer.detach(channel)
    assert layer.local_groups() == [] and not any(layer.state.lane_users)


async def test_member_that_fails_harms_nobody(layer: QuotesChannelLayer) -> None:
    """A receiver that raises, or leaves while it receives, does not keep others from theirs."""
    got: list[str] = []
    channels = [await layer.new_channel() for _ in range(3)]

    def fail(message: dict[str, Any]) -> None:
        raise RuntimeError("broken")

    layer.attach(channels[0], fail)
    layer.attach(channels[1], lambda message: layer.detach(channels[1]))
    layer.attach(channels[2], lambda message: got.append(message["type"]))
    for channel in channels:
        await layer.group_add("g", channel)
    await layer.group_send("g", {"type": "one"})
    await layer.group_send("g", {"type": "two"})
    await eventually(lambda: got == ["one", "two"])


async def test_consumer_that_dies_leaves_no_member(layer: QuotesChannelLayer) -> None:
    """A task that is cancelled while it receives takes its channel out of all groups."""
    channel = await layer.new_channel()
    task = asyncio.create_task(layer.receive(channel))
    await eventually(lambda: channel in layer.state.reading)
    await layer.group_add("g", channel)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert layer.local_groups() == [] and not any(layer.state.lane_users)


async def test_rubbish_on_a_lane_is_dropped(layer: QuotesChannelLayer, redis: Redis) -> None:
    """Something else that is published on the lanes' channels stops nothing."""
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    for lane in range(32):
        redis.publish(f"quotes:lane:{lane}", b"rubbish")
        redis.publish(f"quotes:lane:{lane}", b"\x93\x01\x02\x03")
    await layer.group_send("g", {"type": "x"})
    assert (await receive(layer, channel))["type"] == "x"


async def test_redis_restart_brings_members_back_and_runs_the_hook(
    layer: QuotesChannelLayer, redis_server: ValkeyProcess
) -> None:
    """After a restart groups work as before, and the reconnect hook has run once."""
    hooks: list[str] = []

    async def hook() -> None:
        hooks.append("back")

    layer.on_reconnect(hook)
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    redis_server.kill()
    await eventually(lambda: layer.state.links[0].link is None)
    await layer.group_add("while-away", channel)  # holds from when Redis is back
    redis_server.start()
    await eventually(lambda: hooks == ["back"])
    await layer.group_send("g", {"type": "one"})
    await layer.group_send("while-away", {"type": "two"})
    assert {(await receive(layer, channel))["type"] for _ in range(2)} == {"one", "two"}


async def test_lane_that_was_left_while_the_link_came_back_is_listened_to_again(
    layer: QuotesChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who leaves a group at that moment and joins it again has it after the next loss too."""
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    host = layer.state.links[0]
    subscribe = RedisLink.subscribe

    async def leave_meanwhile(link: RedisLink, *channels: str) -> None:
        await subscribe(link, *channels)
        layer.leave("g", channel)

    monkeypatch.setattr(RedisLink, "subscribe", leave_meanwhile)
    for joins in (False, True):
        link = host.link
        assert link is not None
        link.abort()
        await eventually(lambda: host.link not in (None, link))  # noqa: B023
        monkeypatch.setattr(RedisLink, "subscribe", subscribe)
        if not joins:
            await layer.group_add("g", channel)
    await layer.group_send("g", {"type": "x"})
    assert (await receive(layer, channel))["type"] == "x"


async def test_several_hosts_share_the_lanes(redis: Redis, redis_server: ValkeyProcess) -> None:
    """Lanes are spread over the hosts, each group on one, and every message arrives."""
    from tests.ports import free_port

    with ValkeyProcess(free_port()) as second:
        layer = QuotesChannelLayer(hosts=[redis_server.url, second.url])
        got: list[int] = []
        channel = await layer.new_channel()
        layer.attach(channel, lambda message: got.append(message["number"]))
        names = [f"g{n}" for n in range(200)]
        await layer.group_add_many(names, channel)
        assert all(host.confirmed for host in layer.state.links)
        await layer.group_send_many([(name, {"number": n}) for n, name in enumerate(names)])
        await eventually(lambda: len(got) == 200)
        await layer.flush()


@pytest.mark.parametrize("seed", range(5))
async def test_no_message_is_lost_doubled_or_out_of_order_while_members_come_and_go(
    layer: QuotesChannelLayer, other: QuotesChannelLayer, seed: int
) -> None:
    """A member gets each message sent between its joining and its leaving, once and in order."""
    dice = random.Random(seed)
    sent = 0
    members: dict[str, list[int]] = {}
    began: dict[str, int] = {}

    async def check(channel: str) -> None:
        # What was under way when the member joined may reach it too.
        got, first, end = members[channel], began.pop(channel), sent
        if end > first:
            await eventually(lambda: bool(got) and got[-1] == end - 1)
            assert got[0] <= first
        assert got == list(range(end - len(got), end))

    for _ in range(300):
        step = dice.random()
        if step < 0.1:
            channel = await layer.new_channel()
            got = members[channel] = []
            layer.attach(channel, lambda message, got=got: got.append(message["number"]))  # type: ignore[misc]
            await layer.group_add("g", channel)
            began[channel] = sent
        elif step < 0.17 and began:
            channel = dice.choice(list(began))
            await check(channel)
            layer.detach(channel)
        else:
            await other.group_send("g", {"type": "x", "number": sent})
            sent += 1
    for channel in list(began):
        await check(channel)


async def test_odd_lane_messages_fill_no_log(
    layer: QuotesChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever comes on a lane: a few of each kind are logged, and the entries beside it arrive."""
    _, read = await listening(layer)
    state = layer.state
    odd = pack_entries([[{}, {}], [], ["ready", {"type": "x"}]])
    for _ in range(200):
        state.take(b"\xff")
        state.take(odd)
        async with asyncio.timeout(5):
            assert await read.get() == {"type": "x"}
    assert 0 < len(caplog.records) < 20


async def test_channel_joins_and_leaves_many_groups_in_steps(layer: QuotesChannelLayer) -> None:
    """Between two steps it is in a part of them; after the last in all, or in none."""
    channel = await layer.new_channel()
    layer.attach(channel, lambda message: None)
    groups = [f"g{n}" for n in range(250)]
    counts = []
    steps = layer.join_steps(groups, channel)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            await layer.listen_to(end.value)
            break
        counts.append(len(layer.groups_of(channel)))
    assert counts == sorted(set(counts)) and len(counts) > 2 and counts[-1] == len(groups)
    counts = [len(layer.groups_of(channel)) for _ in layer.detach_steps(channel)]
    assert counts == sorted(set(counts), reverse=True) and len(counts) > 2 and counts[-1] == 0
    assert layer.local_groups() == [] and not any(layer.state.lane_users)
    assert not layer.state.joined


async def test_group_whose_newest_message_is_known_is_joined_with_it(
    layer: QuotesChannelLayer,
) -> None:
    """A group without one is not joined."""
    first, second = [await layer.new_channel() for _ in range(2)]
    await layer.group_add_many(["known", "silent"], first)
    layer.deliver_local([("known", {"type": "x"})])
    got: list[dict[str, Any]] = []
    found = layer.join_known(["known", "silent", "other"], second, got.append)
    assert found == [{"type": "x"}, None, None] and len(layer.groups_of(second)) == 1
    layer.deliver_local([("known", {"type": "y"}), ("silent", {"type": "z"})])
    assert got == [{"type": "y"}]
