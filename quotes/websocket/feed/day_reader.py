"""Reads the days of the instruments that some client of this process gets in the mode `quote`."""

import logging
import time
from typing import Any

import redis.asyncio

from quotes.layer.any_layer import Layer
from quotes.runtime.warnings import RateLimitedWarnings
from quotes.store.names import own_key
from quotes.websocket.delivery.day_fields import day_fields

logger = logging.getLogger(__name__)

_INTERVAL_S = 1.0


class DayReader:
    """Reads the days that the recorder has written, into `day_fields`."""

    def __init__(self, client: redis.asyncio.Redis, layer: Layer) -> None:
        self._client = client
        self._layer = layer
        self._due_at = 0.0
        self._warn = RateLimitedWarnings(logger)

    async def read_if_due(self) -> None:
        """Read the days that are wanted, once a second; raise redis.RedisError."""
        if day_fields.wanted and time.monotonic() >= self._due_at:
            self._due_at = time.monotonic() + _INTERVAL_S
            if (wanted_here := self._layer.local_topics()) is not None:
                day_fields.keep(wanted_here)
            if wanted := list(day_fields.wanted):
                records: Any = await self._client.hmget(own_key("day"), wanted)
                for key, record in zip(wanted, records, strict=True):
                    try:
                        day_fields.take(key, record)
                    except Exception as error:  # whatever it holds, the others are read
                        self._warn("day", f"cannot read the day of {key}: {error!r}")
