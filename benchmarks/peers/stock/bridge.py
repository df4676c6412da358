"""The bridge of the stock Channels peer: each message of `stock:*` becomes a group send."""

import asyncio
import json

import django
from channels.layers import get_channel_layer
from django.conf import settings
from redis.asyncio import Redis

PREFIX = "stock:"


async def bridge() -> None:
    layer = get_channel_layer()
    redis = Redis.from_url(settings.REDIS_URL, socket_timeout=None)
    async with redis.pubsub() as pubsub:
        await pubsub.psubscribe(f"{PREFIX}*")
        async for message in pubsub.listen():
            if message["type"] == "pmessage":
                symbol = message["channel"].decode().removeprefix(PREFIX)
                price = json.loads(message["data"])
                await layer.group_send(symbol, {"type": "price.tick", "price": price})


if __name__ == "__main__":
    django.setup()
    asyncio.run(bridge())
