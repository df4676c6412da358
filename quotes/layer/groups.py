"""The channels of one event loop: the groups that they are in, and the messages that come for them.

Everything here belongs to one event loop; the API of channel layers is `channel_layer.py`.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable

import msgspec

from quotes.layer.lane_link import LaneLink
from quotes.layer.lanes import LANES, Message, RowDecoder, host_index, lane_of, unpack_entries
from quotes.runtime.background import BackgroundTasks, Work
from quotes.runtime.warnings import RateLimitedWarnings

logger = logging.getLogger(__name__)
_warn = RateLimitedWarnings(logger)

Receiver = Callable[[Message], None]


def _log_failure(receiver: Receiver, error: Exception) -> None:
    _warn("failed to take a message:", repr(receiver), error=error)


class LocalGroup:
    """A group's members in this event loop, and its newest messages since there were any.

    Attributes:
        newest: the newest message known, perhaps read by one of the members alone.
        delivered: the newest message that all members were given.
    """

    __slots__ = ("_receivers", "delivered", "members", "newest")

    def __init__(self) -> None:
        self.members: dict[str, Receiver] = {}  # channel -> what takes its messages
        self.newest: Message | None = None
        self.delivered: Message | None = None
        self._receivers: tuple[Receiver, ...] | None = None

    def put(self, channel: str, receiver: Receiver) -> None:
        self.members[channel] = receiver
        self._receivers = None

    def remove(self, channel: str) -> None:
        del self.members[channel]
        self._receivers = None

    @property
    def receivers(self) -> tuple[Receiver, ...]:
        """What takes the group's messages, each once however many members share it."""
        if self._receivers is None:
            self._receivers = tuple(dict.fromkeys(self.members.values()))
        return self._receivers


class LoopState:
    """What belongs to one event loop: members, receivers and connections.

    Args:
        hosts: Redis URLs; lanes are spread over them.
        name: of the loop, in the names of the channels that it makes.
        prefix: of the lanes' Redis channels.
        decoder: of rows; None: rows are dropped.
        mailbox: returns what takes the messages of a channel that has no attached receiver.
    """

    def __init__(
        self,
        hosts: list[str],
        *,
        name: str,
        prefix: str,
        decoder: RowDecoder | None,
        mailbox: Callable[[str], Receiver],
    ) -> None:
        self.name = name
        self.decoder = decoder
        self.groups: dict[str, LocalGroup] = {}
        self.topics: dict[str, LocalGroup] = {}  # topic -> the group that takes its rows
        self.joined: dict[str, set[str]] = {}  # channel -> groups
        self.receivers: dict[str, Receiver] = {}  # channel -> attached receiver
        self.reading: set[str] = set()  # channels on which somebody has received in this loop
        self.foreign: set[str] = set()  # those of them that no other loop listens for
        self.own_lanes: set[int] = set()  # of the channels that this loop made
        self.lane_users = [0] * LANES
        self.reconnect_hooks: list[Work] = []
        self.withheld: Callable[[Message], bool] | None = None
        # called with a receiver that raised, and its error; the others get the message
        self.on_failure: Callable[[Receiver, Exception], None] = _log_failure
        self.guard: AsyncGenerator[None, None] | None = None  # closes the links with the loop
        self._mailbox = mailbox
        self._warn = RateLimitedWarnings(logger)
        self._tasks = BackgroundTasks(logger)
        self.links = [
            LaneLink(url, prefix, on_payload=self.take, on_reconnect=self._reconnected)
            for url in hosts
        ]
        self._link_of_lane = [self.links[host_index(lane, hosts)] for lane in range(LANES)]

    def link_of(self, lane: int) -> LaneLink:
        return self._link_of_lane[lane]

    def receiver(self, channel: str) -> Receiver:
        return self.receivers.get(channel) or self._mailbox(channel)

    # -- messages -------------------------------------------------------------------------------

    def take(self, payload: bytes) -> None:
        """Hand the messages of one lane message to the members here."""
        try:
            entries = unpack_entries(payload)
        except msgspec.DecodeError as error:
            self._warn("dropped a lane message that cannot be decoded", str(error))
            return
        topics, decoder = self.topics, self.decoder
        for entry in entries:
            try:
                if len(entry) == 2:
                    self._take_message(*entry)
                elif decoder is not None and (group := topics.get(entry[0])) is not None:
                    message = decoder.message(entry, group.delivered)
                    if message is not None:
                        self._deliver(group, message)
            except Exception as error:  # whatever is in one entry, the others arrive
                self._warn("dropped an entry of a lane message", repr(error))

    def _take_message(self, name: str, message: Message) -> None:
        if (group := self.groups.get(name)) is not None:
            if self.decoder is not None and self.decoder.is_marker(message):
                group.newest = message
            else:
                self._deliver(group, message)
        elif name[:1] == "!":
            channel = name[1:]
            local = channel.partition("!")[0]
            if (
                channel in self.receivers
                or channel in self.foreign
                or local.endswith("." + self.name)
            ):
                self.receiver(channel)(message)

    def _deliver(self, group: LocalGroup, message: Message) -> None:
        group.newest = group.delivered = message
        if self.withheld is not None and self.withheld(message):
            return
        for receive in group.receivers:
            try:
                receive(message)
            except Exception as error:
                self.on_failure(receive, error)

    # -- groups and lanes -----------------------------------------------------------------------

    def group(self, name: str) -> LocalGroup:
        """Return the group of a name, begun if it has no members yet."""
        group = self.groups.get(name)
        if group is None:
            group = self.groups[name] = LocalGroup()
            self._bind_topic(name, group)
            self.use_lane(name)
        return group

    def decode_with(self, decoder: RowDecoder) -> None:
        """Decode rows with this from now on."""
        self.decoder = decoder
        self.topics.clear()
        for name, group in self.groups.items():
            self._bind_topic(name, group)

    def _bind_topic(self, name: str, group: LocalGroup) -> None:
        topic = self.decoder.topic(name) if self.decoder is not None else None
        if topic is not None:
            self.topics[topic] = group

    def drop_group(self, name: str) -> None:
        """Forget a group that has no members any more."""
        del self.groups[name]
        topic = self.decoder.topic(name) if self.decoder is not None else None
        if topic is not None:
            self.topics.pop(topic, None)
        self.leave_lane(name)

    def use_lane(self, name: str) -> None:
        """Count one more user of a name's lane."""
        self.lane_users[lane_of(name)] += 1

    def leave_lane(self, name: str) -> None:
        lane = lane_of(name)
        self.lane_users[lane] -= 1
        if not self.lane_users[lane] and lane not in self.own_lanes:
            self.link_of(lane).stop_listening(lane)

    def stop_reading(self, channel: str) -> None:
        self.reading.discard(channel)
        if channel in self.foreign:
            self.foreign.discard(channel)
            self.leave_lane(channel)

    async def listen(self, names: Iterable[str], *, within_s: float | None = None) -> None:
        """Return when the lanes of all names are listened to, whichever call asked for them.

        Args:
            within_s: return after this time in any case; see `LaneLink.listen`.
        """
        lanes: dict[LaneLink, list[int]] = {}
        for lane in dict.fromkeys(map(lane_of, names)):
            lanes.setdefault(self.link_of(lane), []).append(lane)
        now = asyncio.get_running_loop().time
        until = None if within_s is None else now() + within_s
        for link, wanted in lanes.items():
            await link.listen(wanted, within_s=None if until is None else max(0, until - now()))

    def _reconnected(self) -> None:
        """Run the reconnect hooks, each until it returns: messages may have been missed."""
        for hook in self.reconnect_hooks:
            self._tasks.complete("catching up after a reconnect", hook)

    def close(self) -> None:
        """End the connections."""
        self._tasks.stop()
        for link in self.links:
            link.close()
