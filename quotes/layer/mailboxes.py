"""Mailboxes: the messages of channels that nobody has read yet, for all threads of the process.

A channel that has an attached receiver needs none. A message may be put before anybody receives,
and from another event loop or thread than the one that receives.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from threading import Lock

from channels.exceptions import ChannelFull

from quotes.layer.lanes import Message, pack_entries, unpack_message

Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class _Mailbox:
    """One channel's unread messages, each with the time at which it expires, and its readers."""

    __slots__ = ("messages", "waiters")

    def __init__(self) -> None:
        self.messages: deque[tuple[float, Message]] = deque()
        self.waiters: deque[Waiter] = deque()


class Mailboxes:
    """The mailboxes of one channel layer in this process. Thread-safe.

    At most once, in the order of the puts; if several receive on one channel, one of them gets a
    message. Each message is a copy of its own, with the types that it has behind Redis.

    Args:
        capacity: returns how many unread messages a channel holds.
        expiry_s: after how long an unread message is dropped.
    """

    def __init__(self, *, capacity: Callable[[str], int], expiry_s: float) -> None:
        self._capacity = capacity
        self._expiry_s = expiry_s
        self._lock = Lock()
        self._boxes: dict[str, _Mailbox] = {}
        self._swept_at = time.monotonic()

    def __contains__(self, channel: str) -> bool:
        return channel in self._boxes

    def put(self, channel: str, message: Message) -> None:
        """Add a message; it is read at once if somebody receives.

        Raises:
            ChannelFull: the channel holds as many unread messages as it may.
            TypeError: the message holds something that cannot cross Redis.
        """
        copy = unpack_message(pack_entries(message))
        now = time.monotonic()
        with self._lock:
            self._sweep(now)
            box = self._boxes.setdefault(channel, _Mailbox())
            self._drop_expired(box, now)
            if len(box.messages) >= self._capacity(channel):
                raise ChannelFull(channel)
            box.messages.append((now + self._expiry_s, copy))
            self._wake(box)

    async def get(self, channel: str) -> Message:
        """Return the next message, waiting for it; may be cancelled, which loses none."""
        while True:
            with self._lock:
                box = self._boxes.setdefault(channel, _Mailbox())
                self._drop_expired(box, time.monotonic())
                if box.messages:
                    message = box.messages.popleft()[1]
                    self._forget_if_empty(channel, box)
                    return message
                loop = asyncio.get_running_loop()
                waiter = (loop, loop.create_future())
                box.waiters.append(waiter)
            try:
                await waiter[1]
            except BaseException:
                with self._lock:
                    if waiter in box.waiters:
                        box.waiters.remove(waiter)
                    elif box.messages:
                        self._wake(box)  # this one was woken for a message: another may take it
                    self._forget_if_empty(channel, box)
                raise

    def remove(self, channel: str) -> None:
        """Drop a channel's unread messages."""
        with self._lock:
            box = self._boxes.get(channel)
            if box is not None:
                box.messages.clear()
                self._forget_if_empty(channel, box)

    def clear(self) -> None:
        """Drop all unread messages."""
        with self._lock:
            for channel, box in list(self._boxes.items()):
                box.messages.clear()
                self._forget_if_empty(channel, box)

    def _wake(self, box: _Mailbox) -> None:
        while box.waiters:
            loop, future = box.waiters.popleft()
            try:
                loop.call_soon_threadsafe(_resolve, future)
            except RuntimeError:  # that loop is closed
                continue
            return

    def _forget_if_empty(self, channel: str, box: _Mailbox) -> None:
        if not box.messages and not box.waiters and self._boxes.get(channel) is box:
            del self._boxes[channel]

    def _drop_expired(self, box: _Mailbox, now: float) -> None:
        while box.messages and box.messages[0][0] < now:
            box.messages.popleft()

    def _sweep(self, now: float) -> None:
        """Drop what has expired in all mailboxes, once in a while."""
        if now - self._swept_at < self._expiry_s:
            return
        self._swept_at = now
        for channel, box in list(self._boxes.items()):
            self._drop_expired(box, now)
            self._forget_if_empty(channel, box)


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
