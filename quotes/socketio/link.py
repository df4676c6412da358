"""A link between two web processes: messages over a Unix socket, in both directions.

It carries the events of one ASGI request or WebSocket, and prepared frames as they are.
"""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from quotes.conf import conf
from quotes.websocket.transports.base import WireTransport

# Kinds of messages: an event of ASGI as MessagePack, or the bytes of frames.
EVENT: Final = 0
FRAMES: Final = 1

_HEAD_BYTES = 5
_MAX_MESSAGE_BYTES = 1 << 26
_MAX_HELD_BYTES = 1 << 18

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode

Message = tuple[int, bytes]


class Link(asyncio.Protocol):
    """One end of a link. Messages arrive in order; what was sent before a process died may be lost.

    Args:
        on_open: called with the link of a process that begins one.

    Attributes:
        is_lost: whether the link is closed.
    """

    def __init__(self, on_open: Callable[["Link"], None] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_open = on_open
        self._transport: Any = None
        self._buffer = bytearray()
        self._messages: deque[Message] = deque()
        self._held = 0
        self._is_paused = self.is_lost = False
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self.on_drain: Callable[[], None] = lambda: None
        self.on_lost: Callable[[], None] = lambda: None

    # -- asyncio.Protocol -----------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=conf.high_water_bytes)
        if (connection := transport.get_extra_info("socket")) is not None:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, conf.send_buffer_bytes)
        if self._on_open is not None:
            self._on_open(self)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= _HEAD_BYTES:
            size = int.from_bytes(buffer[at : at + 4], "big")
            if size > _MAX_MESSAGE_BYTES:
                self.abort()
                return
            if len(buffer) - at - _HEAD_BYTES < size:
                break
            body = bytes(buffer[at + _HEAD_BYTES : at + _HEAD_BYTES + size])
            self._messages.append((buffer[at + 4], body))
            self._held += size
            at += _HEAD_BYTES + size
        del buffer[:at]
        if self._messages:
            self._arrived.set()
        if self._held > _MAX_HELD_BYTES and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        self._arrived.set()
        self._writable.set()
        self.on_lost()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()
        self.on_drain()

    # -- messages -------------------------------------------------------------------------------

    async def next(self) -> Message | None:
        """Return the next message; None when the other process has closed the link, or is gone."""
        while not self._messages:
            if self.is_lost:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        message = self._messages.popleft()
        self._held -= len(message[1])
        if self._is_paused and self._held <= _MAX_HELD_BYTES // 2 and not self.is_lost:
            self._is_paused = False
            self._transport.resume_reading()
        return message

    async def next_event(self) -> dict[str, Any] | None:
        """Return the next event; None when the link is closed."""
        message = await self.next()
        return None if message is None else event_of(message[1])

    def send(self, kind: int, body: bytes) -> None:
        """Send a message; it waits here while the other process does not take it."""
        if not self.is_lost and not self._transport.is_closing():
            self._transport.write(b"%b%c%b" % (len(body).to_bytes(4, "big"), kind, body))

    def send_event(self, event: dict[str, Any]) -> None:
        self.send(EVENT, _pack(event))

    async def drain(self) -> None:
        """Return when the other process takes messages, or is gone."""
        await self._writable.wait()

    def unsent(self) -> int:
        return 0 if self.is_lost else self._transport.get_write_buffer_size()

    def close(self) -> None:
        """Close the link behind what was sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()


def event_of(body: bytes) -> dict[str, Any]:
    """Return the event of a message."""
    event: dict[str, Any] = _unpack(body)
    return event


class LinkedSocket(WireTransport):
    """The frame transport of a client whose WebSocket another process holds."""

    def __init__(self, link: Link) -> None:
        super().__init__(asyncio.get_running_loop().time)
        self._link = link
        link.on_drain = lambda: self.on_drain()
        self.unsent = link.unsent  # type: ignore[method-assign]

    def write(self, frames: list[bytes]) -> None:
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        self.written += len(data)
        self._link.send(FRAMES, data)

    def close(self, code: int, reason: str) -> None:
        self._link.send_event({"type": "websocket.close", "code": int(code), "reason": reason})

    def abort(self) -> None:
        self._link.abort()
