"""One client's membership of groups, in this project's channel layer or in another."""

from collections.abc import Iterable
from typing import Any

from instruments.keys import InstrumentKey
from quotes.layer import QuotesChannelLayer
from quotes.members import Receiver
from quotes.past import Number
from quotes.store import LatestPrice


class Membership:
    """The groups that a client's channel is in.

    Args:
        channel: the channel-layer channel of the connection.
        receiver: takes the messages of all groups, where the layer hands them over itself.
    """

    def __init__(self, layer: Any, channel: str, receiver: Receiver) -> None:
        self.layer = layer
        self.channel = channel
        # This project's layer hands messages over and knows who is in which group.
        self.own: QuotesChannelLayer | None = None
        # Instruments of which the client has read a tick that others here may still be given.
        self.ahead: dict[str, Number] = {}  # instrument key -> the tick's number
        self.steady: dict[str, InstrumentKey] = {}  # all other instruments, by key
        if isinstance(layer, QuotesChannelLayer):
            self.own = layer
            layer.attach(channel, receiver)

    async def join(self, groups: list[str]) -> None:
        """Become a member of groups."""
        if self.own is not None:
            await self.own.group_add_many(groups, self.channel)
        else:
            for group in groups:
                await self.layer.group_add(group, self.channel)

    async def leave(self, group: str) -> None:
        await self.layer.group_discard(group, self.channel)

    def redirect_steady(self, keys: Iterable[InstrumentKey], receiver: Receiver) -> None:
        """Let a receiver take the prices of those of the instruments that need no second look."""
        if self.own is not None:
            steady = {str(key): key for key in keys if str(key) not in self.ahead}
            self.steady.update(steady)
            groups = [key.group_name for key in steady.values()]
            self.own.redirect(self.channel, groups, receiver)

    def begin(self, key: InstrumentKey, sent: Number | None) -> None:
        """Note with which tick an instrument's prices begin."""
        given = self.own.given(key.group_name) if self.own is not None else None
        if sent is not None and (given is None or given < sent):
            self.ahead[str(key)] = sent

    def is_repeat(self, event: dict[str, Any]) -> bool:
        """Say whether a tick that comes has been read by the client before."""
        read = self.ahead.get(event["key"])
        if read is None or "provisional" in event:
            return False
        if event["epoch"] == read[0] and event["seq"] <= read[1]:
            return True
        del self.ahead[event["key"]]
        return False

    def forget(self, field: str) -> None:
        """Forget with what an instrument's prices began."""
        self.ahead.pop(field, None)
        self.steady.pop(field, None)

    def last_event(self, key: InstrumentKey) -> dict[str, Any] | None:
        """Return the newest message of the instrument in this process, if the layer keeps it."""
        return self.own.last_message(key.group_name) if self.own is not None else None

    def newest(self, key: InstrumentKey, latest: dict[str, LatestPrice]) -> Number | None:
        """Return the number of the newest tick that is known of an instrument.

        Args:
            latest: instrument key -> the latest price that was read, where none is known here.
        """
        last = self.last_event(key)
        if last is not None and last["type"] == "quote.tick" and "provisional" not in last:
            return number(last)
        return (found.epoch, found.seq) if (found := latest.get(str(key))) else None

    def remember(self, key: InstrumentKey, message: dict[str, Any]) -> None:
        """Let a message that came by another way be the newest, if there was none."""
        if self.own is not None:
            self.own.remember(key.group_name, message)

    def end(self) -> None:
        """Leave all groups at once, where the layer can."""
        if self.own is not None:
            self.own.detach(self.channel)

    async def leave_each(self, groups: Iterable[str]) -> None:
        """Leave the groups of a layer that has to be told one by one."""
        if self.own is None:
            for group in groups:
                await self.leave(group)


def number(event: dict[str, Any]) -> Number:
    """Return the epoch and number of a tick's message."""
    return event["epoch"], event["seq"]
