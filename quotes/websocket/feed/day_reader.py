"""Reading the days of the instruments of which somebody in this process wants quotes."""

import time
from typing import Any

import redis.asyncio

from quotes.layer.any_layer import Layer
from quotes.store.names import own_key
from quotes.websocket.delivery.day_fields import days

INTERVAL_S = 1.0


class DaysReader:
    """Reads what the recorder has written, once in a while."""

    def __init__(self, client: redis.asyncio.Redis, layer: Layer) -> None:
        self.client = client
        self.layer = layer
        self.due_at = 0.0

    async def look(self) -> None:
        """Read the days that are wanted, if that is due; raise redis.RedisError."""
        if days.wanted and time.monotonic() >= self.due_at:
            self.due_at = time.monotonic() + INTERVAL_S
            if (wanted_here := self.layer.local_topics()) is not None:
                days.keep(wanted_here)
            if wanted := list(days.wanted):
                records: Any = await self.client.hmget(own_key("day"), wanted)
                for key, record in zip(wanted, records, strict=True):
                    days.take(key, record)
