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
from quotes.runtime.speedups import accelerated
from quotes.runtime.warnings import RateLimitedWarnings

logger = logging.getLogger(__name__)
_warn = RateLimitedWarnings(logger)

Receiver = Callable[[Message], None]


def _log_failure(receiver: Receiver, error: Exception) -> None:
    _warn("failed to take a message:", repr(receiver), error=error)


@accelerated
def hand_over(
    receivers: tuple[Receiver, ...], message: Message
) -> list[tuple[Receiver, Exception]]:
    """Call each receiver with a message; return those that failed, and their errors."""
    failed = []
    for receive in receivers:
        try:
            receive(message)
        except Exception as error:
            failed.append((receive, error))
    return failed


class LocalGroup:
    """A group's members in this event loop, and its newest messages since there were any.

    Attributes:
        lane: that carries its messages.
        topic: whose rows it takes, None if it takes none.
        newest: the newest message, or the marker that the stream starts over.
        delivered: the newest message that all members were given.
    """

    __slots__ = ("_receivers", "delivered", "lane", "members", "newest", "topic")

    def __init__(self, lane: int) -> None:
        self.lane = lane
        self.topic: str | None = None
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
        decoder = self.decoder
        rows = decoder.rows(payload) if decoder is not None else None
        if rows is None or decoder is None:
            self._take_entries(payload)
            return
        find, is_news, deliver = self.topics.get, decoder.is_news, self._deliver
        for row in rows:
            group = find(row.key)
            if group is not None and is_news(row, group.delivered):
                try:
                    deliver(group, row)
                except Exception as error:  # whatever is in one row, the others arrive
                    self._warn("dropped an entry of a lane message", repr(error))

    def _take_entries(self, payload: bytes) -> None:
        """Hand on the entries of a lane message that is not of rows alone."""
        try:
            entries = unpack_entries(payload)
        except msgspec.DecodeError as error:
            self._warn("dropped a lane message that cannot be decoded", str(error))
            return
        for entry in entries:
            try:
                if len(entry) == 2:
                    self._take_message(*entry)
                elif self.decoder is not None and (row := self.decoder.row(entry)) is not None:
                    group = self.topics.get(row.key)
                    if group is not None and self.decoder.is_news(row, group.delivered):
                        self._deliver(group, row)
            except Exception as error:  # whatever is in one entry, the others arrive
                self._warn("dropped an entry of a lane message", repr(error))

    def _take_message(self, name: str, message: Message) -> None:
        if (group := self.groups.get(name)) is not None:
            self.send_local(group, message)
        elif name[:1] == "!":
            channel = name[1:]
            local = channel.partition("!")[0]
            if (
                channel in self.receivers
                or channel in self.foreign
                or local.endswith("." + self.name)
            ):
                self.receiver(channel)(message)

    def send_local(self, group: LocalGroup, message: Message) -> None:
        """Hand a message to the members of a group here."""
        if self.decoder is not None and isinstance(message, dict):
            message = self.decoder.message(message)
        if self.decoder is not None and self.decoder.is_marker(message):
            group.newest = message
        else:
            self._deliver(group, message)

    def _deliver(self, group: LocalGroup, message: Message) -> None:
        group.newest = group.delivered = message
        if self.withheld is not None and self.withheld(message):
            return
        for receive, error in hand_over(group._receivers or group.receivers, message):
            self.on_failure(receive, error)

    # -- groups and lanes -----------------------------------------------------------------------

    def group(self, name: str) -> LocalGroup:
        """Return the group of a name, begun if it has no members yet."""
        group = self.groups.get(name)
        if group is None:
            group = self.groups[name] = LocalGroup(lane_of(name))
            self._bind_topic(name, group)
            self.lane_users[group.lane] += 1
        return group

    def decode_with(self, decoder: RowDecoder) -> None:
        """Decode rows with this from now on."""
        self.decoder = decoder
        self.topics.clear()
        for name, group in self.groups.items():
            self._bind_topic(name, group)

    def _bind_topic(self, name: str, group: LocalGroup) -> None:
        group.topic = self.decoder.topic(name) if self.decoder is not None else None
        if group.topic is not None:
            self.topics[group.topic] = group

    def join(self, channel: str, names: Iterable[str], receiver: Receiver) -> set[int]:
        """Make a channel a member of groups; return the lanes that must be listened to."""
        lanes = set()
        joined = self.joined.setdefault(channel, set())
        groups = self.groups
        for name in names:
            group = groups.get(name) or self.group(name)
            lanes.add(group.lane)
            if name not in joined:
                joined.add(name)
                group.put(channel, receiver)
        return lanes

    def join_known(
        self, channel: str, names: Iterable[str], receiver: Receiver
    ) -> list[Message | None]:
        """Make a channel a member of the groups whose newest message is known; return these.

        A group of which none is known, for which None is returned, is not joined.
        """
        found: list[Message | None] = []
        joined = self.joined.setdefault(channel, set())
        groups = self.groups
        for name in names:
            group = groups.get(name)
            if group is None or group.newest is None:
                found.append(None)
                continue
            joined.add(name)
            group.members[channel] = receiver
            group._receivers = None
            found.append(group.newest)
        if not joined:
            del self.joined[channel]
        return found

    def leave(self, channel: str, names: Iterable[str]) -> None:
        """Take a channel out of those of the groups that it is in."""
        joined = self.joined.get(channel)
        if joined is None:
            return
        groups = self.groups
        for name in names:
            if name in joined:
                joined.discard(name)
                group = groups[name]
                group.remove(channel)
                if not group.members:
                    self._drop_group(name, group)
        if not joined:
            self.joined.pop(channel, None)

    def _drop_group(self, name: str, group: LocalGroup) -> None:
        """Forget a group that has no members any more."""
        del self.groups[name]
        if group.topic is not None:
            self.topics.pop(group.topic, None)
        self._leave_lane(group.lane)

    def use_lane(self, name: str) -> None:
        """Count one more user of a name's lane."""
        self.lane_users[lane_of(name)] += 1

    def _leave_lane(self, lane: int) -> None:
        self.lane_users[lane] -= 1
        if not self.lane_users[lane] and lane not in self.own_lanes:
            self.link_of(lane).stop_listening(lane)

    def stop_reading(self, channel: str) -> None:
        self.reading.discard(channel)
        if channel in self.foreign:
            self.foreign.discard(channel)
            self._leave_lane(lane_of(channel))

    async def listen(self, names: Iterable[str], *, within_s: float | None = None) -> None:
        """Return when the lanes of all names are listened to, whichever call asked for them.

        Args:
            within_s: return after this time in any case; see `LaneLink.listen`.
        """
        await self.listen_to(dict.fromkeys(map(lane_of, names)), within_s=within_s)

    async def listen_to(self, lanes: Iterable[int], *, within_s: float | None = None) -> None:
        """Return when all these lanes are listened to; see `listen`."""
        by_link: dict[LaneLink, list[int]] = {}
        for lane in lanes:
            by_link.setdefault(self.link_of(lane), []).append(lane)
        now = asyncio.get_running_loop().time
        until = None if within_s is None else now() + within_s
        for link, wanted in by_link.items():
            await link.listen(wanted, within_s=None if until is None else max(0, until - now()))

    def set_patient(self, is_patient: bool) -> None:
        """Let publishers see whether this loop's members need their messages less soon."""
        for link in self.links:
            link.set_patient(is_patient)

    def _reconnected(self) -> None:
        """Run the reconnect hooks, each until it returns: messages may have been missed."""
        for hook in self.reconnect_hooks:
            self._tasks.complete("catching up after a reconnect", hook)

    def close(self) -> None:
        """End the connections."""
        self._tasks.stop()
        for link in self.links:
            link.close()
