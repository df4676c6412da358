import asyncio

from channels.layers import InMemoryChannelLayer
from redis import Redis

from quotes.layer import QuotesChannelLayer
from quotes.layer.any_layer import AnyLayer, adapted


async def test_another_layer_serves_the_same_calls() -> None:
    """Joining and sending many work on a stock layer; the rest does nothing."""
    layer = adapted(InMemoryChannelLayer())
    assert isinstance(layer, AnyLayer) and not layer.is_direct
    channel = await layer.new_channel()
    await layer.group_add_many(["a", "b"], channel)
    await layer.group_send_many([("a", {"type": "one"}), ("b", {"type": "two"})])
    async with asyncio.timeout(5):
        got = [await layer.layer.receive(channel) for _ in range(2)]
    assert [one["type"] for one in got] == ["one", "two"]
    assert layer.newest_message("a") is None and layer.delivered_message("a") is None
    assert layer.local_groups() == [] and layer.local_topics() is None
    await layer.leave_all(channel, ["a", "b"])
    assert not layer.layer.groups


async def test_the_own_layer_needs_no_adapter(redis: Redis) -> None:
    """The project's layer is used as it is."""
    layer = QuotesChannelLayer()
    assert adapted(layer) is layer
