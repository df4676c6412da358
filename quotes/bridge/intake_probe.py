"""How long a message takes from its publish to the bridge's reading of it.

The bridge publishes a message of its own about once a second. It comes behind the messages of
publishers that wait in Redis and in the socket, and so measures for how long these wait.
"""

import asyncio
import time
import uuid
from collections.abc import Sequence

import msgspec

from quotes.runtime.histogram import Histogram
from quotes.runtime.redis_link import RedisLink
from quotes.store.names import own_key

_EVERY_S = 1.0
# Every bridge gets the messages of all: so many of them are as often as one is alone.
_SHARDS = 8


class IntakeProbe:
    """Publishes messages on the bridges' control channel, and times those that come back.

    Args:
        delays: takes the times, in seconds.
        shards: how many bridges share the channel.
    """

    def __init__(self, delays: Histogram, *, shards: int) -> None:
        self._delays = delays
        self._every_s = _EVERY_S * max(1.0, shards / _SHARDS)
        self._channel = own_key("control")
        self._id = uuid.uuid4().hex[:12]  # of this bridge
        self._sent: dict[str, float] = {}  # number of a message under way -> when it was sent
        self._number = 0
        self._send_at = float("-inf")

    def send_if_due(self, link: RedisLink) -> None:
        """Publish a message, at most one a second; whether Redis takes it does not matter."""
        now = time.monotonic()
        if now < self._send_at:
            return
        self._send_at = now + self._every_s
        self._number += 1
        # One that has not come back by the third after it is lost.
        self._sent.pop(str(self._number - 3), None)
        self._sent[str(self._number)] = now
        message = msgspec.json.encode({"probe": [self._id, str(self._number)]})
        link.command("PUBLISH", self._channel, message).add_done_callback(_ignore)

    def take(self, probe: Sequence[str]) -> None:
        """Time a message that came: one that this bridge has sent."""
        if len(probe) == 2 and probe[0] == self._id:
            sent = self._sent.pop(probe[1], None)
            if sent is not None:
                self._delays.add(time.monotonic() - sent)


def _ignore(reply: "asyncio.Future[object]") -> None:
    if not reply.cancelled():
        reply.exception()
