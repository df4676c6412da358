"""The frame transport of one Socket.IO client: polls, a WebSocket, or one after the other."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from quotes.conf import conf
from quotes.socketio import packets
from quotes.websocket.transports.asgi import AsgiTransport
from quotes.websocket.transports.base import wire_frame

# Close codes from here on mean that the client is not to connect again.
_FINAL = 4500


class Socket(Protocol):
    """A WebSocket that takes prepared frames; see `FrameTransport`."""

    on_drain: Callable[[], None]
    on_flood: Callable[[], None]

    def write(self, frames: list[bytes]) -> None: ...
    def unsent(self) -> int: ...
    def progress_at(self) -> float: ...
    def close(self, code: int, reason: str) -> None: ...
    def abort(self) -> None: ...


class PlainSocket(AsgiTransport):
    """A WebSocket of a server that takes no prepared frames: each is sent as text."""

    def write(self, frames: list[Any]) -> None:
        super().write([payload.decode() for payload in packets.payloads_of(frames)])


class ClientTransport:
    """Takes the frames of one client, in order, each once, whatever its connection is by then.

    Without a WebSocket frames wait for the next poll. Those that a poll takes are on their way in
    its answer: a client that upgrades waits for that answer before it says so, and what comes
    later goes through the WebSocket.

    Attributes:
        is_upgrading: whether a WebSocket has answered the client's probe; polls return at once.
        is_closing: whether the client takes what is left and is then gone.
        on_end: called once when the connection is to end: at `abort`, or when a poll took the rest.
    """

    form = "socketio"

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.on_drain: Callable[[], None] = lambda: None
        self.on_flood: Callable[[], None] = lambda: None
        self.on_end: Callable[[], None] = lambda: None
        self.socket: Socket | None = None
        self.is_upgrading = False
        self.is_closing = False
        self._frames: list[bytes] = []
        self._size = 0
        self._polled = 0
        self._since = self._loop.time()  # when the first of these came
        self._poll: asyncio.Future[None] | None = None

    # -- FrameTransport -------------------------------------------------------------------------

    def frame(self, opcode: int, payload: bytes) -> bytes:
        return wire_frame(opcode, payload)

    def together(self, frames: list[bytes]) -> bytes:
        return b"".join(frames)

    def write(self, frames: list[bytes]) -> None:
        if self.is_closing:
            return
        if not self._frames:
            self._since = self._loop.time()
        self._frames += frames
        self._size += sum(map(len, frames))
        self._wake()

    @property
    def written(self) -> int:
        """How many bytes were written, by polls and the WebSocket together."""
        return self._polled + getattr(self.socket, "written", 0)

    def unsent(self) -> int:
        return self._size

    def progress_at(self) -> float:
        return self._since if self._frames else self._loop.time()

    def close(self, code: int, reason: str) -> None:
        """Report why, and close behind what was written; with a final code it is for good."""
        if self.is_closing:
            return
        values = {"type": "close", "code": int(code), "reason": reason}
        self.write([packets.event(packets.NOTICE_EVENT, packets.json_of(values))])
        self.end(disconnect=code >= _FINAL, code=code, reason=reason)

    def abort(self) -> None:
        self.is_closing = True
        self._frames.clear()
        self._size = 0
        self._wake()
        if self.socket is not None:
            self.socket.abort()
        self.on_end()

    # -- the connection -------------------------------------------------------------------------

    def end(self, *, disconnect: bool = False, code: int = 1000, reason: str = "") -> None:
        """Close behind what was written.

        Args:
            disconnect: whether the client is not to connect again by itself.
        """
        if self.is_closing:
            return
        if disconnect:
            self.write([packets.disconnected()])
        if self.socket is not None:
            self.is_closing = True
            self.socket.close(code, reason)
        else:
            self.is_closing = True
            self._wake()
            self._loop.call_later(conf.write_timeout_s, self.abort)

    def use(self, socket: Socket) -> None:
        """Send all that comes from now on, and what waits, through a WebSocket."""
        self.is_upgrading = False
        self.socket = socket
        socket.on_drain = self._drained
        socket.on_flood = self._flooded
        frames, self._frames, self._size = self._frames, [], 0
        # From now on without a step between.
        self.unsent = socket.unsent  # type: ignore[method-assign]
        self.progress_at = socket.progress_at  # type: ignore[method-assign]
        self.write = socket.write  # type: ignore[method-assign]
        if frames:
            socket.write(frames)
        if self.is_closing:
            socket.close(1000, "")
        self._wake()
        self.on_drain()

    def probed(self) -> None:
        """Let the poll that waits return, so that the client can say that it upgrades."""
        self.is_upgrading = True
        self._wake()

    @property
    def is_polled(self) -> bool:
        """Whether a poll waits."""
        return self._poll is not None

    def begin_poll(self) -> asyncio.Future[None]:
        """Return what is done when a poll can be answered; `end_poll` must follow."""
        self._poll = self._loop.create_future()
        if self._frames or self.is_upgrading or self.is_closing or self.socket is not None:
            self._poll.set_result(None)
        return self._poll

    def end_poll(self) -> None:
        self._poll = None

    def take(self) -> bytes:
        """Return the body of the answer to a poll: all that waits, or a single packet."""
        frames, self._frames, self._size = self._frames, [], 0
        if frames:
            self._polled += sum(map(len, frames))
            self._loop.call_soon(self._drained)
            return packets.body_of(frames)
        if self.is_closing:
            # In a body of its own: npm's client would drop the packets before it in the same one.
            self._loop.call_soon(self.on_end)
            return packets.CLOSE.encode()
        return packets.NOOP.encode()

    def _wake(self) -> None:
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(None)

    def _drained(self) -> None:
        self.on_drain()

    def _flooded(self) -> None:
        self.on_flood()
