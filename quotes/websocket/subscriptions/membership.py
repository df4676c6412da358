"""One client's membership of groups, in this project's channel layer or in another."""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence

from redis.exceptions import RedisError

from quotes.conf import conf
from quotes.errors import ProtocolError
from quotes.layer.any_layer import Layer
from quotes.layer.groups import Receiver
from quotes.layer.lanes import Message
from quotes.runtime.time_slices import TimeSlices
from quotes.store.positions import StreamPosition
from quotes.websocket.delivery.price_message import PriceMessage
from quotes.websocket.feed.delivered import ClientPositions, is_tick, position_of
from quotes.websocket.feed.named_instruments import NamedInstrument
from quotes.websocket.protocol import ErrorCode

# A client in more groups than this leaves them in time slices.
_MANY = 200


class GroupMembership:
    """The groups that a client's channel is in, and how far the client is in each stream.

    Joining and leaving may be cancelled; `end` then leaves all groups.

    Args:
        slices: of the event loop.
        channel: the channel-layer channel of the connection.
        receiver: takes the messages of all groups, where the layer hands them over itself.

    Attributes:
        direct: the keys of the instruments of which no tick needs to be compared with those that
            the client was sent, as text; a dict, for its order and its view.
    """

    def __init__(self, layer: Layer, slices: TimeSlices, channel: str, receiver: Receiver) -> None:
        self._layer = layer
        self._slices = slices
        self._channel = channel
        self.positions = ClientPositions()
        self.direct: dict[str, str] = {}
        layer.attach(channel, receiver)

    async def join(self, groups: Sequence[str], *, until: float) -> None:
        """Become a member of groups; wait for Redis up to a loop time.

        With this project's layer the client is a member even if Redis does not answer: the latest
        prices are read again when it does.

        Raises:
            ProtocolError: another layer has not answered, and the client may be a member or not.
        """
        now = asyncio.get_running_loop().time
        if self._layer.is_direct:
            lanes = await self._slices.run(self._layer.join_steps(groups, self._channel))
            await self._layer.listen_to(lanes, within_s=max(0.0, until - now()))
            return
        try:
            within_s = max(0.0, until - now())
            await self._layer.group_add_many(groups, self._channel, within_s=within_s)
        except (RedisError, OSError) as error:
            raise ProtocolError(
                ErrorCode.UNAVAILABLE, "subscriptions cannot be made at the moment, try again"
            ) from error

    def join_known(
        self, instruments: Sequence[NamedInstrument], receiver: Receiver
    ) -> list[Message | None]:
        """Let a receiver take the prices of those instruments whose newest message is known here.

        Returns:
            The newest message of each; None for one whose group was not joined.
        """
        if not self._layer.is_direct:
            return [None for _ in instruments]
        groups = [one.group for one in instruments]
        found = self._layer.join_known(groups, self._channel, receiver)
        self.direct.update(
            [
                (one.field, one.field)
                for one, message in zip(instruments, found, strict=True)
                if message is not None
            ]
        )
        return found

    async def leave(self, groups: list[str]) -> None:
        """Leave groups; with a layer that does not answer the client may go on to be a member."""
        await self.leave_all(self.leave_at_once(groups))

    def leave_at_once(self, groups: list[str]) -> list[str]:
        """Leave groups where the layer can do so at once; return those that are yet to be left."""
        if not self._layer.is_direct:
            return groups
        self._layer.leave(self._channel, groups)
        return []

    def redirect(self, instruments: Iterable[NamedInstrument], receiver: Receiver) -> None:
        """Let a receiver take the prices of the instruments that need no comparison.

        Those whose groups were not joined yet are left out.
        """
        is_ahead = self.positions.is_ahead
        joined = self._layer.groups_of(self._channel)
        direct = [one for one in instruments if one.group in joined and not is_ahead(one.field)]
        self.direct.update([(one.field, one.field) for one in direct])
        self._layer.redirect(self._channel, [one.group for one in direct], receiver)

    def begin(self, field: str, sent: StreamPosition | None, delivered: Message | None) -> None:
        """Note with which tick an instrument's prices begin.

        Args:
            sent: the last tick that the client was sent.
            delivered: the newest message that all members of the group here were given.
        """
        position = position_of(delivered) if isinstance(delivered, PriceMessage) else None
        self.positions.begin(field, sent, position)

    def forget(self, field: str) -> None:
        """Forget how far the client is in an instrument's stream."""
        self.positions.forget(field)
        self.direct.pop(field, None)

    def known(self, instruments: Sequence[NamedInstrument]) -> list[NamedInstrument]:
        """Return those whose newest message is known in this process."""
        newest = self.newest_messages(instruments)
        return [one for one, last in zip(instruments, newest, strict=True) if last is not None]

    def newest_messages(self, instruments: Iterable[NamedInstrument]) -> list[Message | None]:
        """Return the newest message of each in this process, if the layer keeps it."""
        return self._layer.newest_messages([one.group for one in instruments])

    def delivered_messages(self, instruments: Iterable[NamedInstrument]) -> list[Message | None]:
        """Return the newest message of each that all members of its group here were given."""
        return self._layer.delivered_messages([one.group for one in instruments])

    def newest(self, one: NamedInstrument, read: PriceMessage | None) -> StreamPosition | None:
        """Return the position of the newest tick that is known of an instrument.

        Args:
            read: the message of the latest price that was read, if there was one.
        """
        message = self._layer.newest_message(one.group)
        if message is None or not is_tick(message):
            message = read
        return position_of(message) if message is not None else None

    def end(self) -> None:
        """Leave all groups, where the layer can: at once, or soon if they are many."""
        self.direct.clear()
        if not self._layer.is_direct or len(self._layer.groups_of(self._channel)) <= _MANY:
            self._layer.detach(self._channel)
        else:
            self._slices.start(self._layer.detach_steps(self._channel))

    async def leave_all(self, groups: Iterable[str]) -> None:
        """Leave groups of a layer that cannot leave all at once."""
        if not self._layer.is_direct:
            with contextlib.suppress(RedisError, OSError):
                async with asyncio.timeout(conf.redis_timeout_s):
                    await self._layer.leave_all(self._channel, groups)
