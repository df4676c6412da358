"""One client's membership of groups, in this project's channel layer or in another."""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

from redis.exceptions import RedisError

from instruments.keys import InstrumentKey
from quotes.conf import conf
from quotes.errors import ProtocolError
from quotes.layer.any_layer import Layer
from quotes.layer.groups import Receiver
from quotes.store.group_names import price_group
from quotes.store.latest import LatestPrice
from quotes.store.positions import StreamPosition
from quotes.websocket.feed.delivered import ClientPositions, is_tick, position_of
from quotes.websocket.protocol import ErrorCode


class GroupMembership:
    """The groups that a client's channel is in, and how far the client is in each stream.

    Joining and leaving may be cancelled; `end` then leaves all groups.

    Args:
        channel: the channel-layer channel of the connection.
        receiver: takes the messages of all groups, where the layer hands them over itself.

    Attributes:
        direct: instrument key's text -> key, where no tick needs to be compared with those that the
            client was sent.
    """

    def __init__(self, layer: Layer, channel: str, receiver: Receiver) -> None:
        self._layer = layer
        self._channel = channel
        self.positions = ClientPositions()
        self.direct: dict[str, InstrumentKey] = {}
        layer.attach(channel, receiver)

    async def join(self, groups: list[str], *, until: float) -> None:
        """Become a member of groups; wait for Redis up to a loop time.

        With this project's layer the client is a member even if Redis does not answer: the latest
        prices are read again when it does.

        Raises:
            ProtocolError: another layer has not answered, and the client may be a member or not.
        """
        within_s = max(0.0, until - asyncio.get_running_loop().time())
        try:
            await self._layer.group_add_many(groups, self._channel, within_s=within_s)
        except (RedisError, OSError) as error:
            raise ProtocolError(
                ErrorCode.UNAVAILABLE, "subscriptions cannot be made at the moment, try again"
            ) from error

    async def leave(self, group: str) -> None:
        """Leave a group; with a layer that does not answer the client may go on to be a member."""
        if self._layer.is_direct:
            await self._layer.group_discard(group, self._channel)
            return
        with contextlib.suppress(RedisError, OSError):
            async with asyncio.timeout(conf.redis_timeout_s):
                await self._layer.group_discard(group, self._channel)

    def redirect(self, keys: Iterable[InstrumentKey], receiver: Receiver) -> None:
        """Let a receiver take the prices of the instruments that need no comparison."""
        direct = {str(key): key for key in keys if not self.positions.is_ahead(str(key))}
        self.direct.update(direct)
        groups = [price_group(key) for key in direct.values()]
        self._layer.redirect(self._channel, groups, receiver)

    def begin(self, key: InstrumentKey, sent: StreamPosition | None) -> None:
        """Note with which tick an instrument's prices begin."""
        message = self._layer.delivered_message(price_group(key))
        delivered = position_of(message) if message is not None and "seq" in message else None
        self.positions.begin(str(key), sent, delivered)

    def forget(self, field: str) -> None:
        """Forget how far the client is in an instrument's stream."""
        self.positions.forget(field)
        self.direct.pop(field, None)

    def newest_message(self, key: InstrumentKey) -> dict[str, Any] | None:
        """Return the newest message of the instrument in this process, if the layer keeps it."""
        return self._layer.newest_message(price_group(key))

    def newest(self, key: InstrumentKey, latest: dict[str, LatestPrice]) -> StreamPosition | None:
        """Return the position of the newest tick that is known of an instrument.

        Args:
            latest: instrument key -> the latest price that was read, for instruments of which this
                process has no message.
        """
        message = self.newest_message(key)
        if message is not None and is_tick(message):
            return position_of(message)
        found = latest.get(str(key))
        return StreamPosition(found.epoch, found.seq) if found else None

    def remember(self, key: InstrumentKey, message: dict[str, Any]) -> None:
        """Make a message that came another way the newest of its group, if that has none."""
        self._layer.remember(price_group(key), message)

    def end(self) -> None:
        """Leave all groups at once, where the layer can."""
        self._layer.detach(self._channel)

    async def leave_all(self, groups: Iterable[str]) -> None:
        """Leave groups of a layer that cannot leave all at once."""
        if not self._layer.is_direct:
            with contextlib.suppress(RedisError, OSError):
                async with asyncio.timeout(conf.redis_timeout_s):
                    await self._layer.leave_all(self._channel, groups)
