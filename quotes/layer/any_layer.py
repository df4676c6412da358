"""One adapter for channel layers of other projects, so that the server runs on any of them.

Such a layer knows neither receivers nor rows: its messages reach a consumer as events of their own,
and what this process knows of a group is nothing.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Literal

from quotes.layer import QuotesChannelLayer
from quotes.layer.groups import Receiver
from quotes.layer.lanes import Entry, Message, RowDecoder
from quotes.runtime.background import Work


class AnyLayer:
    """A layer of another project, with the methods of `QuotesChannelLayer`.

    Delivery is what that layer promises. Not thread-safe.
    """

    is_direct: Literal[False] = False

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    async def new_channel(self, prefix: str = "specific") -> str:
        channel: str = await self.layer.new_channel(prefix)
        return channel

    async def group_add_many(
        self, groups: Iterable[str], channel: str, *, within_s: float | None = None
    ) -> None:
        """Make the channel a member of each group.

        Raises:
            TimeoutError: the layer has not done it within this time; it may be a member or not.
        """
        async with asyncio.timeout(within_s):
            for group in groups:
                await self.layer.group_add(group, channel)

    async def group_discard(self, group: str, channel: str) -> None:
        await self.layer.group_discard(group, channel)

    async def leave_all(self, channel: str, groups: Iterable[str]) -> None:
        for group in groups:
            await self.layer.group_discard(group, channel)

    async def group_send_many(self, entries: Iterable[Entry]) -> None:
        for group, message in entries:
            await self.layer.group_send(group, message)

    # -- what such a layer cannot do --------------------------------------------------------------

    def attach(self, channel: str, receiver: Receiver) -> None:
        """Do nothing: messages come to the consumer."""

    def redirect(self, channel: str, groups: Iterable[str], receiver: Receiver) -> None:
        """Do nothing: messages come to the consumer."""

    def detach(self, channel: str) -> None:
        """Do nothing: `leave_all` does it."""

    def decode_with(self, decoder: RowDecoder) -> None:
        """Do nothing: no rows come."""

    def withhold(self, withheld: Callable[[Message], bool] | None) -> None:
        """Do nothing: members get each message."""

    def on_failure(self, hook: Callable[[Receiver, Exception], None]) -> None:
        """Do nothing: a consumer that fails ends its own connection."""

    def set_patient(self, is_patient: bool) -> None:
        """Do nothing: its publishers do not gather for the sake of members."""

    def on_reconnect(self, hook: Work) -> None:
        """Do nothing: nobody says when messages were missed."""

    def lost_s(self) -> float:
        """Return 0: nobody says when connections are lost."""
        return 0.0

    def newest_message(self, group: str) -> Message | None:
        return None

    def newest_messages(self, groups: Iterable[str]) -> list[Message | None]:
        return [None for _ in groups]

    def delivered_message(self, group: str) -> Message | None:
        return None

    def delivered_messages(self, groups: Iterable[str]) -> list[Message | None]:
        return [None for _ in groups]

    def groups_of(self, channel: str) -> list[str]:
        return []

    def local_groups(self) -> list[str]:
        return []

    def local_topic_groups(self) -> list[str]:
        return []

    def group_sizes(self, groups: Iterable[str]) -> list[int]:
        return [0 for _ in groups]

    def local_topics(self) -> set[str] | None:
        """Return None: it is not known which are wanted here."""
        return None

    def deliver_local(self, entries: Iterable[Entry]) -> None:
        """Do nothing: the members here are not known."""


Layer = QuotesChannelLayer | AnyLayer


def adapted(layer: Any) -> Layer:
    """Return a channel layer with the methods of this project's own."""
    return layer if isinstance(layer, QuotesChannelLayer) else AnyLayer(layer)
