"""One client's membership of groups, in this project's channel layer or in another."""

from collections.abc import Iterable
from typing import Any

from instruments.keys import InstrumentKey
from quotes.layer.any_layer import Layer
from quotes.layer.groups import Receiver
from quotes.store.latest import LatestPrice
from quotes.store.positions import StreamPosition
from quotes.websocket.feed.positions import ClientPositions, is_tick, position_of


class Membership:
    """The groups that a client's channel is in, and how far the client is in each stream.

    Args:
        channel: the channel-layer channel of the connection.
        receiver: takes the messages of all groups, where the layer hands them over itself.

    Attributes:
        direct: instrument key's text -> key, where no tick needs to be compared with what the
            client has read.
    """

    def __init__(self, layer: Layer, channel: str, receiver: Receiver) -> None:
        self.layer = layer
        self.channel = channel
        self.positions = ClientPositions()
        self.direct: dict[str, InstrumentKey] = {}
        layer.attach(channel, receiver)

    async def join(self, groups: list[str]) -> None:
        """Become a member of groups."""
        await self.layer.group_add_many(groups, self.channel)

    async def leave(self, group: str) -> None:
        await self.layer.group_discard(group, self.channel)

    def redirect(self, keys: Iterable[InstrumentKey], receiver: Receiver) -> None:
        """Let a receiver take the prices of the instruments that need no comparison."""
        direct = {str(key): key for key in keys if not self.positions.is_ahead(str(key))}
        self.direct.update(direct)
        groups = [key.group_name for key in direct.values()]
        self.layer.redirect(self.channel, groups, receiver)

    def begin(self, key: InstrumentKey, sent: StreamPosition | None) -> None:
        """Note with which tick an instrument's prices begin."""
        message = self.layer.delivered_message(key.group_name)
        delivered = position_of(message) if message is not None and "seq" in message else None
        self.positions.begin(str(key), sent, delivered)

    def forget(self, field: str) -> None:
        """Forget how far the client is in an instrument's stream."""
        self.positions.forget(field)
        self.direct.pop(field, None)

    def newest_message(self, key: InstrumentKey) -> dict[str, Any] | None:
        """Return the newest message of the instrument in this process, if the layer keeps it."""
        return self.layer.newest_message(key.group_name)

    def newest(self, key: InstrumentKey, latest: dict[str, LatestPrice]) -> StreamPosition | None:
        """Return the position of the newest tick that is known of an instrument.

        Args:
            latest: instrument key -> the latest price that was read, where none is known here.
        """
        message = self.newest_message(key)
        if message is not None and is_tick(message):
            return position_of(message)
        found = latest.get(str(key))
        return StreamPosition(found.epoch, found.seq) if found else None

    def remember(self, key: InstrumentKey, message: dict[str, Any]) -> None:
        """Let a message that came by another way be the newest, if there was none."""
        self.layer.remember(key.group_name, message)

    def end(self) -> None:
        """Leave all groups at once, where the layer can."""
        self.layer.detach(self.channel)

    async def leave_all(self, groups: Iterable[str]) -> None:
        """Leave the groups of a layer that has to be told one by one."""
        if not self.layer.is_direct:
            await self.layer.leave_all(self.channel, groups)
