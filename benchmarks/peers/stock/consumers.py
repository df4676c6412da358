"""The stock consumer: a group per symbol, a handler per price, JSON made for each client."""

import json
from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings
from redis.asyncio import Redis

PREFIX = "stock:"


class PriceConsumer(AsyncJsonWebsocketConsumer):  # type: ignore[misc]
    groups: list[str]
    # One pool for the process: a connection per client would be the first thing to avoid.
    redis = Redis.from_url(settings.REDIS_URL)

    async def receive_json(self, content: dict[str, Any]) -> None:
        if content.get("action") != "subscribe":
            return
        symbols = content["symbols"]
        for symbol in symbols:
            await self.channel_layer.group_add(symbol, self.channel_name)
            self.groups.append(symbol)  # left by the base class when the client goes
        await self.send_json({"type": "subscribed", "symbols": symbols})
        for price in await self.redis.mget([PREFIX + symbol for symbol in symbols]):
            if price is not None:
                await self.send_json(json.loads(price))

    async def price_tick(self, event: dict[str, Any]) -> None:
        await self.send_json(event["price"])
