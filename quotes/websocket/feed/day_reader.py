"""Reads the days of the instruments that some client of this process gets in the mode `quote`."""

import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from quotes.layer.any_layer import Layer
from quotes.runtime.time_slices import chunks
from quotes.runtime.warnings import RateLimitedWarnings
from quotes.store.names import own_key
from quotes.store.request_clients import RequestRedis
from quotes.websocket.delivery.day_fields import day_fields

logger = logging.getLogger(__name__)

_INTERVAL_S = 1.0
# Instruments that are read in one round trip for a client: decoding them takes a millisecond.
_PAGE = 200


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
                await self._read(wanted, self._client)

    async def read_missing(self, keys: Sequence[str], requests: RequestRedis) -> None:
        """Read the days of instruments that are not here, for a client that waits for them.

        Returns without them while Redis does not answer, after the time of a request at most.
        """
        missing = [key for key in keys if key not in day_fields.days]
        if not missing:
            return
        day_fields.wanted.update(missing)
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with requests.answer() as client:
                for some in chunks(missing, _PAGE):
                    await self._read(some, client)

    async def _read(self, keys: Sequence[str], client: redis.asyncio.Redis) -> None:
        records: Any = await client.hmget(own_key("day"), list(keys))
        for key, record in zip(keys, records, strict=True):
            try:
                day_fields.take(key, record)
            except Exception as error:  # whatever it holds, the others are read
                self._warn("day", f"cannot read the day of {key}: {error!r}")
