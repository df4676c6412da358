"""The channel layer: groups of local members, fed by one Redis connection per process and host.

It keeps the API of Channels layers (groups, flush) and promises what channels_redis' pub/sub layer
does: at most once, in order per group, nothing for who joins later. Beyond that API:

- a consumer may `attach` a receiver to its channel: a function that gets each message at once, in
  the event loop, without a queue, a task or a copy (it must neither block nor change the message);
- `group_add_many` and `group_send_many` do in one step what many calls would;
- `last_message` is the newest message of a group that has members here.

Who is a member is known only in the process: nothing in Redis can be left over.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from channels.exceptions import ChannelFull
from channels.layers import BaseChannelLayer
from django.conf import settings

from quotes.lanes import Entry, by_lane, lane_of, pack_entries
from quotes.members import LoopState, Message, Receiver


class QuotesChannelLayer(BaseChannelLayer):
    """The channel layer of the price server.

    Args:
        hosts: Redis URLs; lanes are spread over them. Default: settings.REDIS_URL.
        capacity, channel_capacity: how many unread messages a channel without a receiver holds.
    """

    extensions = ["groups", "flush"]

    def __init__(
        self,
        hosts: list[str] | None = None,
        expiry: int = 60,
        capacity: int = 100,
        channel_capacity: dict[Any, int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            expiry=expiry, capacity=capacity, channel_capacity=channel_capacity, **kwargs
        )
        self.given_hosts = hosts
        self.states: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopState] = WeakKeyDictionary()

    @property
    def hosts(self) -> list[str]:
        return self.given_hosts or [settings.REDIS_URL]

    def host_index(self, lane: int) -> int:
        """Return which host carries a lane: the one that wins the lane's vote (rendezvous)."""
        hosts = self.hosts
        return max(range(len(hosts)), key=lambda i: hash_text(f"{lane}:{hosts[i]}"))

    @property
    def state(self) -> LoopState:
        loop = asyncio.get_running_loop()
        state = self.states.get(loop)
        if state is None:
            state = self.states[loop] = LoopState(self)
        return state

    # -- the Channels API -----------------------------------------------------------------------

    async def new_channel(self, prefix: str = "specific") -> str:
        """Return a name that only this process can receive on."""
        return f"{prefix}.{self.state.name}!{uuid.uuid4().hex}"

    async def send(self, channel: str, message: Message) -> None:
        """Send a message to one channel, in this process or another.

        Raises:
            ChannelFull: the channel is of this process and holds as many messages as it may.
        """
        self.require_valid_channel_name(channel)
        check_message(message)
        state = self.state
        if channel in state.receivers:
            state.receivers[channel](message)
        elif "!" in channel and channel.partition("!")[0].endswith("." + state.name):
            if state.mailbox(channel).full():
                raise ChannelFull
            state.mailbox_receiver(channel)(message)
        else:
            await self.publish([("!" + channel, message)], lane_of(channel))

    async def receive(self, channel: str) -> Message:
        """Return the next message of a channel, in the order in which they came."""
        self.require_valid_channel_name(channel)
        state = self.state
        known = channel in state.mailboxes
        mailbox = state.mailbox(channel)
        if not known:
            state.use_lane(channel)
            await state.listen([channel])
        try:
            return await mailbox.get()
        except asyncio.CancelledError:
            # The consumer is gone: nobody will ask for this channel's messages again.
            if "!" in channel and state.mailboxes.pop(channel, None) is not None:
                state.leave_lane(channel)
                self.detach(channel)
            raise

    async def group_add(self, group: str, channel: str) -> None:
        """Make the channel a member; messages sent after the return reach it."""
        self.require_valid_channel_name(channel)
        await self.group_add_many([group], channel)

    async def group_add_many(self, groups: Iterable[str], channel: str) -> None:
        """Make the channel a member of each group; messages sent after the return reach it."""
        state = self.state
        receiver = state.receiver(channel)
        joined = state.joined.setdefault(channel, set())
        names = list(groups)
        for name in names:
            self.require_valid_group_name(name)
            if name in joined:
                continue
            joined.add(name)
            state.group(name).put(channel, receiver)
        await state.listen(names)

    async def group_discard(self, group: str, channel: str) -> None:
        self.require_valid_group_name(group)
        self.require_valid_channel_name(channel)
        self.leave(group, channel)

    async def group_send(self, group: str, message: Message) -> None:
        """Send a message to the members of a group, in every process."""
        self.require_valid_group_name(group)
        check_message(message)
        await self.publish([(group, message)], lane_of(group))

    async def flush(self) -> None:
        """Forget all members and messages of this process."""
        state = self.state
        for host in state.hosts:
            host.close()
        del self.states[asyncio.get_running_loop()]

    async def close(self) -> None:
        await self.flush()

    # -- beyond it ------------------------------------------------------------------------------

    def on_reconnect(self, hook: Callable[[], Awaitable[None]]) -> None:
        """Let the hook run whenever a connection is back after a loss."""
        self.state.reconnect_hooks.append(hook)

    def attach(self, channel: str, receiver: Receiver) -> None:
        """Let the receiver take each message of the channel at once; before the first group_add."""
        self.state.receivers[channel] = receiver

    def redirect(self, channel: str, groups: Iterable[str], receiver: Receiver) -> None:
        """Let another receiver take the channel's messages of those of the groups that it is in.

        A receiver that several members of a group share gets each message once.
        """
        state = self.state
        joined = state.joined.get(channel, ())
        for group in groups:
            if group in joined:
                state.groups[group].put(channel, receiver)

    def screen(self, withheld: Callable[[Message], bool]) -> None:
        """Ask of each group message whether members are spared it; `last_message` is it anyway."""
        self.state.screen = withheld

    def detach(self, channel: str) -> None:
        """Take the channel out of all its groups and forget its receiver."""
        state = self.state
        for group in list(state.joined.get(channel, ())):
            self.leave(group, channel)
        state.receivers.pop(channel, None)

    def leave(self, group: str, channel: str) -> None:
        state = self.state
        joined = state.joined.get(channel)
        if joined is None or group not in joined:
            return
        joined.discard(group)
        if not joined:
            del state.joined[channel]
        local = state.groups[group]
        local.remove(channel)
        if not local.members:
            state.drop_group(group)

    def last_message(self, group: str) -> Message | None:
        """Return the newest message of a group since it has members in this process."""
        found = self.state.groups.get(group)
        return found.last if found else None

    def given(self, group: str) -> tuple[int, int] | None:
        """Return epoch and number of the newest tick that all members here were given."""
        found = self.state.groups.get(group)
        message = found.given if found else None
        return (message["epoch"], message["seq"]) if message and "seq" in message else None

    def remember(self, group: str, message: Message) -> None:
        """Let a message that came by another way be the newest of a group that had none."""
        found = self.state.groups.get(group)
        if found is not None and found.last is None:
            found.last = message

    def local_groups(self) -> list[str]:
        """Return the names of the groups that have members in this process."""
        return list(self.state.groups)

    def price_keys(self) -> set[str]:
        """Return the keys of the instruments whose groups have members in this process."""
        return set(self.state.prices)

    def deliver_local(self, entries: Iterable[Entry]) -> None:
        """Hand messages to members of this process only."""
        self.state.take(pack_entries(list(entries)))

    async def group_send_many(self, entries: Iterable[Entry]) -> None:
        """Send many (group, message) in few Redis messages; their order holds per group."""
        for lane, messages in by_lane(entries).items():
            await self.publish(messages, lane)

    async def publish(self, entries: Sequence[Any], lane: int) -> None:
        await self.state.host_of(lane).publish(lane, entries)


def check_message(message: Message) -> None:
    if not isinstance(message, dict):
        raise TypeError("a message is a dict")


def hash_text(text: str) -> int:
    return uuid.uuid5(uuid.NAMESPACE_URL, text).int
