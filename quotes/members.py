"""Who is a member of which group in this process, and the messages that come to them.

Everything here belongs to one event loop; the API of channel layers is `quotes/layer.py`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

from instruments.errors import BadSymbol
from instruments.keys import InstrumentKey
from quotes.lane_host import LaneHost
from quotes.lanes import LANES, lane_of, unpack_entries
from quotes.ticklog import ROW_LENGTH, tick_message

if TYPE_CHECKING:
    from quotes.layer import QuotesChannelLayer

logger = logging.getLogger(__name__)

Message = dict[str, Any]
Receiver = Callable[[Message], None]


class LocalGroup:
    """A group's members in this process, and its newest message since there were any."""

    __slots__ = ("given", "known", "last", "members")

    def __init__(self) -> None:
        self.members: dict[str, Receiver] = {}  # channel -> what takes its messages
        self.known: tuple[Receiver, ...] | None = None
        self.last: Message | None = None  # that is known, perhaps read by one of them alone
        self.given: Message | None = None  # that all of them were given

    def has(self, epoch: int, seq: int) -> bool:
        """Say whether its members were given the tick of a number already."""
        given = self.given
        return given is not None and given.get("epoch") == epoch and seq <= given["seq"]

    def put(self, channel: str, receiver: Receiver) -> None:
        self.members[channel] = receiver
        self.known = None

    def remove(self, channel: str) -> None:
        del self.members[channel]
        self.known = None

    def receivers(self) -> tuple[Receiver, ...]:
        """Return what takes the group's messages, each once however many members share it."""
        if self.known is None:
            self.known = tuple(dict.fromkeys(self.members.values()))
        return self.known


class LoopState:
    """What belongs to one event loop: members, mailboxes and connections."""

    def __init__(self, layer: "QuotesChannelLayer") -> None:
        self.layer = layer
        self.name = uuid4().hex[:12]
        self.groups: dict[str, LocalGroup] = {}
        self.prices: dict[str, LocalGroup] = {}  # those of instruments, by instrument key
        self.joined: dict[str, set[str]] = {}  # channel -> groups
        self.receivers: dict[str, Receiver] = {}  # channel -> attached receiver
        self.mailboxes: dict[str, asyncio.Queue[Message]] = {}  # channel -> messages not yet read
        self.lane_users = [0] * LANES
        self.reconnect_hooks: list[Callable[[], Awaitable[None]]] = []
        self.screen: Callable[[Message], bool] | None = None
        self.hosts = [LaneHost(url, self.take, self.back) for url in layer.hosts]

    def host_of(self, lane: int) -> LaneHost:
        return self.hosts[self.layer.host_index(lane)]

    def receiver(self, channel: str) -> Receiver:
        return self.receivers.get(channel) or self.mailbox_receiver(channel)

    def mailbox_receiver(self, channel: str) -> Receiver:
        def put(message: Message) -> None:
            mailbox = self.mailbox(channel)
            if mailbox.full():
                logger.warning("channel %s is full, a message is dropped", channel)
            else:
                mailbox.put_nowait(dict(message))

        return put

    def mailbox(self, channel: str) -> "asyncio.Queue[Message]":
        mailbox = self.mailboxes.get(channel)
        if mailbox is None:
            capacity = self.layer.get_capacity(channel)
            mailbox = self.mailboxes[channel] = asyncio.Queue(capacity)
        return mailbox

    def take(self, payload: bytes) -> None:
        """Hand the messages of one lane message to the members here."""
        try:
            entries = unpack_entries(payload)
        except msgspec.DecodeError as error:
            logger.warning("dropped what is no lane message: %s", error)
            return
        for entry in entries:
            if len(entry) == 2:
                self.take_message(*entry)
            elif len(entry) == ROW_LENGTH and entry[5]:
                group = self.prices.get(entry[0])
                if group is not None and not group.has(entry[1], entry[2]):
                    self.deliver(group, tick_message(*entry))

    def take_message(self, name: str, message: Message) -> None:
        if (group := self.groups.get(name)) is not None:
            if message.get("type") == "quote.forget":
                group.last = message  # clients go on with what they have
            else:
                self.deliver(group, message)
        elif name[:1] == "!":
            channel = name[1:]
            if channel in self.receivers or channel in self.mailboxes:
                self.receiver(channel)(message)

    def deliver(self, group: LocalGroup, message: Message) -> None:
        group.last = group.given = message
        if self.screen is not None and self.screen(message):
            return
        for receive in group.known or group.receivers():
            try:
                receive(message)
            except Exception:
                logger.exception("a member failed to take %s", message.get("type"))

    def group(self, name: str) -> LocalGroup:
        """Return the group of a name, begun if it has no members yet."""
        group = self.groups.get(name)
        if group is None:
            group = self.groups[name] = LocalGroup()
            with contextlib.suppress(BadSymbol):  # a group of something else
                self.prices[str(InstrumentKey.from_group_name(name))] = group
            self.use_lane(name)
        return group

    def drop_group(self, name: str) -> None:
        """Forget a group that has no members any more."""
        del self.groups[name]
        with contextlib.suppress(BadSymbol):
            self.prices.pop(str(InstrumentKey.from_group_name(name)), None)
        self.leave_lane(name)

    async def back(self) -> None:
        """Run the reconnect hooks: messages may have been missed."""
        for hook in list(self.reconnect_hooks):
            await hook()

    def use_lane(self, name: str) -> None:
        """Count one more user of a name's lane."""
        self.lane_users[lane_of(name)] += 1

    async def listen(self, names: Iterable[str]) -> None:
        """Return when the lanes of all names are listened to, by whomever they were asked for."""
        lanes: dict[LaneHost, list[int]] = {}
        for lane in dict.fromkeys(map(lane_of, names)):
            lanes.setdefault(self.host_of(lane), []).append(lane)
        for host, wanted in lanes.items():
            await host.listen(wanted)

    def leave_lane(self, name: str) -> None:
        lane = lane_of(name)
        self.lane_users[lane] -= 1
        if not self.lane_users[lane]:
            self.host_of(lane).stop_listening(lane)
