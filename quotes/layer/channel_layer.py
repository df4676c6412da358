"""The channel layer: groups of local members, fed by one Redis connection per event loop and host.

It keeps the API of Channels' layers (groups, flush) and promises what channels_redis' pub/sub layer
does: at most once, in order per group, nothing for members that join later. Beyond that API:

- a consumer may `attach` a receiver to its channel: a function that gets each message at once, in
  the event loop, without a queue, a task or a copy (it must neither block nor change the message);
- `group_add_many` and `group_send_many` do in one step what many calls would;
- `join_steps` and `detach_steps` do it in many steps, for an event loop that has other work;
- `newest_messages` are the newest messages of groups that have members here;
- rows, which a decoder turns into messages, carry much traffic at little cost (`lanes.py`).

Members are known only in the process that has them: a crash leaves nothing behind in Redis.
"""

import asyncio
import os
import uuid
from collections.abc import (
    AsyncGenerator,
    Callable,
    Collection,
    Generator,
    Iterable,
    Iterator,
    Sequence,
)
from concurrent.futures import Future
from itertools import islice
from typing import Any, Literal
from weakref import WeakKeyDictionary, WeakValueDictionary

from channels.exceptions import ChannelFull
from channels.layers import BaseChannelLayer
from django.conf import settings

from quotes.layer.groups import LoopState, Receiver, logger
from quotes.layer.lanes import (
    LANES,
    Entry,
    Message,
    RowDecoder,
    by_lane,
    host_index,
    lane_channel,
    lane_of,
    pack_entries,
    patience_channel,
    unpack_message,
)
from quotes.layer.mailboxes import Mailboxes
from quotes.runtime.background import Work
from quotes.runtime.warnings import RateLimitedWarnings

_warn = RateLimitedWarnings(logger)

DEFAULT_PREFIX = "quotes:"
# Groups that one step joins or leaves: well under a millisecond.
_STEP = 100


class QuotesChannelLayer(BaseChannelLayer):
    """The channel layer of the price server, usable by any Channels project.

    Its methods may be called from any event loop and thread of the process; each event loop has
    connections of its own, which end with it.

    Args:
        hosts: Redis URLs; lanes are spread over them. Default: settings.REDIS_URL.
        prefix: of the Redis channels. Default: settings.QUOTES_KEY_PREFIX, or "quotes:".
        decoder: of rows (`RowDecoder`); None: rows are dropped.
        expiry: after how many seconds an unread message of a channel is dropped.
        capacity, channel_capacity: how many unread messages a channel without a receiver holds.
    """

    extensions = ["groups", "flush"]
    # Receivers can be attached, and rows are carried; see `any_layer.py`.
    is_direct: Literal[True] = True

    def __init__(
        self,
        hosts: list[str] | None = None,
        expiry: int = 60,
        capacity: int = 100,
        channel_capacity: dict[Any, int] | None = None,
        prefix: str | None = None,
        decoder: RowDecoder | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(expiry=expiry, capacity=capacity, **kwargs)
        if isinstance(hosts, str):
            raise ValueError("hosts must be a list of Redis URLs, even if there is only one")
        self.channel_capacity = self.compile_capacities(channel_capacity or {})
        self.states: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopState] = WeakKeyDictionary()
        self._hosts = hosts
        self._prefix = prefix
        self._decoder = decoder
        self._mailboxes = Mailboxes(capacity=self.get_capacity, expiry_s=expiry)
        self._token = uuid.uuid4().hex[:8]
        # name of a state -> its event loop, while both are there
        self._loops: WeakValueDictionary[str, asyncio.AbstractEventLoop] = WeakValueDictionary()

    @property
    def hosts(self) -> list[str]:
        return self._hosts or [settings.REDIS_URL]

    @property
    def prefix(self) -> str:
        if self._prefix is not None:
            return self._prefix
        return getattr(settings, "QUOTES_KEY_PREFIX", DEFAULT_PREFIX)

    @property
    def state(self) -> LoopState:
        """The members and connections of the running event loop."""
        loop = asyncio.get_running_loop()
        state = self.states.get(loop)
        if state is None:
            state = self.states[loop] = LoopState(
                self.hosts,
                name=f"{self._process}-{uuid.uuid4().hex[:12]}",
                prefix=self.prefix,
                decoder=self._decoder,
                mailbox=self._mailbox_receiver,
            )
            self._loops[state.name] = loop
        return state

    @property
    def _process(self) -> str:
        return f"{self._token}{os.getpid():x}"

    # -- the Channels API -----------------------------------------------------------------------

    async def new_channel(self, prefix: str = "specific") -> str:
        """Return a name that only this process can receive on.

        Messages that are sent after the return are received, from whichever process, event loop
        or thread they come and however late `receive` is called, within `expiry` and `capacity`.
        """
        channel = self.local_channel(prefix)
        await self._end_with_loop()
        self.state.own_lanes.add(lane_of(channel))
        await self.state.listen([channel])
        return channel

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send a message to one channel, in this process or another.

        Raises:
            ChannelFull: the channel is of this process and holds as many messages as it may.
            RedisDown: the channel is of another process and Redis does not answer.
            TypeError: the name is illegal, or the message cannot cross Redis.
        """
        self.require_valid_channel_name(channel)
        check_message(message)
        owner = _owner(channel)
        if not owner.startswith(self._process + "-"):
            await self.publish([("!" + channel, message)], lane_of(channel))
            return
        loop = self._loops.get(owner)
        state = self.states.get(loop) if loop is not None else None
        receiver = state.receivers.get(channel) if state is not None else None
        if receiver is None:
            self._mailboxes.put(channel, message)
            return
        copy = unpack_message(pack_entries(message))
        if loop is asyncio.get_running_loop():
            receiver(copy)
        elif loop is not None:
            loop.call_soon_threadsafe(receiver, copy)

    async def receive(self, channel: str) -> dict[str, Any]:
        """Return the next message of a channel, in the order in which they came.

        If several receive on one channel, one of them gets a message. A consumer that is cancelled
        while it receives leaves all its groups.
        """
        self.require_valid_channel_name(channel)
        state = self.state
        if channel not in state.reading:
            state.reading.add(channel)
            if self._running_loop_of(channel) is None:  # else that one listens
                state.use_lane(channel)
                state.foreign.add(channel)
                await self._end_with_loop()
                await state.listen([channel])
        try:
            message: dict[str, Any] = await self._mailboxes.get(channel)
            return message
        except asyncio.CancelledError:
            # The consumer has ended: this channel's messages will not be read.
            if "!" in channel and channel in state.reading:
                state.stop_reading(channel)
                self._mailboxes.remove(channel)
                self.detach(channel)
                owner = self._running_loop_of(channel)
                if owner is not None and owner is not asyncio.get_running_loop():
                    owner.call_soon_threadsafe(self.detach, channel)
            raise

    async def group_add(self, group: str, channel: str) -> None:
        """Make the channel a member; messages sent after the return reach it."""
        self.require_valid_channel_name(channel)
        await self.group_add_many([group], channel)

    async def group_add_many(
        self, groups: Iterable[str], channel: str, *, within_s: float | None = None
    ) -> None:
        """Make the channel a member of each group; messages sent after the return reach it.

        Args:
            within_s: return after this time in any case. The channel is a member, but messages may
                be missed until the hooks of `on_reconnect` run.

        Raises:
            RuntimeError: the channel is another process's.
        """
        names = list(groups)
        for name in names:
            self.require_valid_group_name(name)
        if not names:
            return
        loop = self._loop_for(channel)
        if loop is not asyncio.get_running_loop():
            await _run_on(loop, self.group_add_many(names, channel, within_s=within_s))
            return
        state = self.state
        lanes = state.join(channel, names, state.receiver(channel))
        await state.listen_to(lanes, within_s=within_s)

    async def group_discard(self, group: str, channel: str) -> None:
        """Take the channel out of the group; no error if it is not in it."""
        self.require_valid_group_name(group)
        self.require_valid_channel_name(channel)
        loop = self._running_loop_of(channel)
        if loop is not None and loop is not asyncio.get_running_loop():
            await _run_on(loop, self.group_discard(group, channel))
        else:
            self.state.leave(channel, [group])

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send a message to the members of a group, in every process.

        Raises:
            RedisDown: Redis does not answer; the message may have been sent or not.
            TypeError: the name is illegal, or the message cannot cross Redis.
        """
        self.require_valid_group_name(group)
        check_message(message)
        await self.publish([(group, message)], lane_of(group))

    async def flush(self) -> None:
        """Forget all messages of this process, and the members and connections of this loop."""
        state = self.state
        if state.guard is not None:
            await state.guard.aclose()
        self._forget(asyncio.get_running_loop(), state)
        self._mailboxes.clear()

    async def close(self) -> None:
        await self.flush()

    # -- beyond it ------------------------------------------------------------------------------

    def local_channel(self, prefix: str = "specific") -> str:
        """Return a name for `attach`, at once; other processes cannot send to it."""
        return f"{prefix}.{self.state.name}!{uuid.uuid4().hex}"

    def on_reconnect(self, hook: Work) -> None:
        """Let the hook run whenever messages may have been missed, again until it returns."""
        self.state.reconnect_hooks.append(hook)

    def decode_with(self, decoder: RowDecoder) -> None:
        """Turn rows into messages with this decoder from now on."""
        self._decoder = decoder
        self.state.decode_with(decoder)

    def attach(self, channel: str, receiver: Receiver) -> None:
        """Let the receiver take each message of the channel at once; before the first group_add."""
        self.state.receivers[channel] = receiver

    def redirect(self, channel: str, groups: Iterable[str], receiver: Receiver) -> None:
        """Let another receiver take the channel's messages of those of the groups that it is in.

        A receiver that several members of a group share gets each message once.
        """
        state = self.state
        joined = state.joined.get(channel, ())
        local = state.groups
        for group in groups:
            if group in joined:
                local[group].put(channel, receiver)

    def withhold(self, withheld: Callable[[Message], bool] | None) -> None:
        """Ask of each group message whether members do not get it; it becomes the newest anyway.

        None: members get all of them, as they do before the first call.
        """
        self.state.withheld = withheld

    def on_failure(self, hook: Callable[[Receiver, Exception], None]) -> None:
        """Call the hook with each receiver that fails to take a message of a group."""
        self.state.on_failure = hook

    def set_patient(self, is_patient: bool) -> None:
        """Let publishers see whether messages to this event loop may come some milliseconds later.

        A publisher that gathers messages may do so for longer if all who listen are patient; see
        `patience_channels`.
        """
        self.state.set_patient(is_patient)

    def detach(self, channel: str) -> None:
        """Take the channel out of all its groups and forget its receiver."""
        state = self.state
        state.leave(channel, list(state.joined.get(channel, ())))
        state.receivers.pop(channel, None)

    def detach_steps(self, channel: str) -> Generator[None, None, None]:
        """As `detach`, in steps, between which the channel's receivers are still called."""
        state = self.state
        state.receivers.pop(channel, None)
        while groups := list(islice(state.joined.get(channel, ()), _STEP)):
            state.leave(channel, groups)
            yield
        state.leave(channel, ())

    def join_steps(
        self, groups: Sequence[str], channel: str
    ) -> Generator[None, None, Iterable[int]]:
        """As `group_add_many`, in steps, for a channel of this event loop.

        Returns:
            The lanes to `listen_to`: messages that are sent after its return reach the channel.
        """
        state = self.state
        receiver = state.receiver(channel)
        lanes: set[int] = set()
        for begin in range(0, len(groups), _STEP):
            names = groups[begin : begin + _STEP]
            for name in names:
                if name not in state.groups:
                    self.require_valid_group_name(name)
            lanes |= state.join(channel, names, receiver)
            yield
        return lanes

    def join_known(
        self, groups: Iterable[str], channel: str, receiver: Receiver
    ) -> list[Message | None]:
        """Let a receiver take the messages of those groups whose newest message is known.

        The channel, which is of this event loop, becomes a member of them.

        Returns:
            The newest message of each group; None for a group that was not joined.
        """
        return self.state.join_known(channel, groups, receiver)

    async def listen_to(self, lanes: Iterable[int], *, within_s: float | None = None) -> None:
        """Return when all these lanes are listened to, or Redis is known to be away.

        Args:
            within_s: as in `group_add_many`.
        """
        await self.state.listen_to(lanes, within_s=within_s)

    def leave(self, channel: str, groups: Iterable[str]) -> None:
        """Take a channel of this event loop out of those of the groups that it is in."""
        self.state.leave(channel, groups)

    def newest_message(self, group: str) -> Message | None:
        """Return the newest message of a group since it has members in this event loop."""
        found = self.state.groups.get(group)
        return found.newest if found else None

    def newest_messages(self, groups: Iterable[str]) -> list[Message | None]:
        """Return the newest message of each group, as `newest_message` does."""
        found = self.state.groups
        return [found[group].newest if group in found else None for group in groups]

    def delivered_message(self, group: str) -> Message | None:
        """Return the newest message of a group that all its members here were given."""
        found = self.state.groups.get(group)
        return found.delivered if found else None

    def delivered_messages(self, groups: Iterable[str]) -> list[Message | None]:
        """Return the newest delivered message of each group, as `delivered_message` does."""
        found = self.state.groups
        return [found[group].delivered if group in found else None for group in groups]

    def groups_of(self, channel: str) -> Collection[str]:
        """Return the groups that a channel of this event loop is in."""
        return self.state.joined.get(channel, ())

    def local_groups(self) -> list[str]:
        """Return the names of the groups that have members in this event loop."""
        return list(self.state.groups)

    def local_topics(self) -> set[str] | None:
        """Return the topics whose rows members in this event loop take."""
        return set(self.state.topics)

    def local_topic_groups(self) -> list[str]:
        """Return the names of the groups of topics that have members in this event loop."""
        return [name for name, group in self.state.groups.items() if group.topic is not None]

    def group_sizes(self, groups: Iterable[str]) -> list[int]:
        """Return how many members groups have in this event loop."""
        local = self.state.groups
        return [len(group.members) if (group := local.get(name)) else 0 for name in groups]

    def deliver_local(self, entries: Iterable[Entry]) -> None:
        """Hand messages to members of this event loop only, who must not change them."""
        state = self.state
        for name, message in entries:
            group = state.groups.get(name)
            if group is not None:
                state.send_local(group, message)

    async def group_send_many(self, entries: Iterable[Entry]) -> None:
        """Send many (group, message) in few Redis messages; their order holds per group."""
        for lane, messages in by_lane(entries).items():
            await self.publish(messages, lane)

    async def publish(self, entries: Sequence[Any], lane: int) -> None:
        """Publish entries, rows among them, of one lane; raise RedisDown."""
        await self._end_with_loop()
        await self.state.link_of(lane).publish(lane, entries)

    def lane_messages(self, entries: Iterable[Entry]) -> Iterator[tuple[str, str, bytes]]:
        """Yield what to publish, and where, to send without an event loop.

        Yields:
            The URL of the Redis host, the Redis channel and the payload.
        """
        hosts, prefix = self.hosts, self.prefix
        for lane, messages in by_lane(entries).items():
            host = hosts[host_index(lane, hosts)]
            yield host, lane_channel(prefix, lane), pack_entries(messages)

    def lane_channels(self) -> list[str]:
        """Return the Redis channel of each lane."""
        return [lane_channel(self.prefix, lane) for lane in range(LANES)]

    def patience_channels(self) -> list[str]:
        """Return, for each lane, the Redis channel whose subscribers are patient ones of the lane.

        Processes of releases that do not know it never subscribe to it, so they count as impatient.
        """
        return [patience_channel(self.prefix, lane) for lane in range(LANES)]

    def lanes_elsewhere(self, lanes: Iterable[int]) -> set[int]:
        """Return which of the lanes another host than the first carries."""
        hosts = self.hosts
        return {lane for lane in lanes if host_index(lane, hosts)} if len(hosts) > 1 else set()

    # -- event loops ----------------------------------------------------------------------------

    def _mailbox_receiver(self, channel: str) -> Receiver:
        def put(message: Message) -> None:
            try:
                self._mailboxes.put(channel, message)
            except ChannelFull:
                _warn("dropped a message of a channel that is full", channel)

        return put

    def _running_loop_of(self, channel: str) -> asyncio.AbstractEventLoop | None:
        """Return the loop that made a channel, if it is of this process and not closed."""
        loop = self._loops.get(_owner(channel))
        return loop if loop is not None and not loop.is_closed() else None

    def _loop_for(self, channel: str) -> asyncio.AbstractEventLoop:
        """Return the loop in which a channel's memberships are kept."""
        loop = self._running_loop_of(channel)
        if loop is None:
            if "!" in channel and not _owner(channel).startswith(self._process + "-"):
                raise RuntimeError(
                    f"{channel} is another process's channel: call group_add there, "
                    "with self.channel_name"
                )
            loop = asyncio.get_running_loop()
        return loop

    def lost_s(self) -> float:
        """Return for how many seconds a connection of this process has been away, 0 if none is.

        It may be called from any thread.
        """
        states = list(self.states.values())
        return max((link.lost_s for state in states for link in state.links), default=0.0)

    async def _end_with_loop(self) -> None:
        """Close this loop's connections when the loop shuts down, as after `async_to_sync`."""
        state = self.state
        if state.guard is None:
            state.guard = self._until_end(asyncio.get_running_loop(), state)
            await anext(state.guard)

    async def _until_end(
        self, loop: asyncio.AbstractEventLoop, state: LoopState
    ) -> AsyncGenerator[None, None]:
        # asyncio closes the generators that a loop has begun before the loop is closed.
        try:
            yield
        finally:
            self._forget(loop, state)
            await asyncio.sleep(0)  # the transports close in the next turn

    def _forget(self, loop: asyncio.AbstractEventLoop, state: LoopState) -> None:
        state.close()
        self.states.pop(loop, None)


async def _run_on(loop: asyncio.AbstractEventLoop, work: Any) -> None:
    """Run a coroutine in another loop; wait for it unless that loop stands still."""
    future = asyncio.run_coroutine_threadsafe(work, loop)
    if loop.is_running():
        await asyncio.wrap_future(future)
    else:
        future.add_done_callback(_log_if_failed)


def _log_if_failed(future: "Future[Any]") -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        logger.error("a change of groups in another event loop failed", exc_info=error)


def _owner(channel: str) -> str:
    """Return the name of the event loop that made a channel; "" for a plain channel."""
    local, mark, _ = channel.partition("!")
    return local.rpartition(".")[2] if mark else ""


def check_message(message: Any) -> None:
    if not isinstance(message, dict):
        raise TypeError("a message is a dict")
