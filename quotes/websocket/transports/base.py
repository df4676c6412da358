"""The interface of frame transports, and how a server announces that it has one.

A server adapter puts its transport into the connection's `scope["extensions"]`, under EXTENSION.
On any other server frames go through ASGI's `websocket.send` (`asgi.py`).
"""

from collections.abc import Callable
from typing import Any, Protocol

from quotes.conf import conf
from quotes.websocket.token_bucket import BURST_S, TokenBucket

EXTENSION = "quotes.frames"

# Opcodes of WebSocket frames (RFC 6455, section 5.2).
TEXT = 0x81
BINARY = 0x82


class FrameTransport(Protocol):
    """Where one client's frames go. Nothing here blocks or raises."""

    form: str  # transports of one form make the same frame of the same payload
    on_drain: Callable[[], None]  # called when `unsent` falls below the low-water mark
    on_flood: Callable[[], None]  # called when the client sends too many pings or fragments

    def frame(self, opcode: int, payload: bytes) -> Any:
        """Return a frame, TEXT or BINARY, in the form that `write` takes."""

    def write(self, frames: list[Any]) -> None:
        """Take frames, to be sent in this order."""

    def unsent(self) -> int:
        """Return how many bytes were written and not yet taken by the operating system."""

    def progress_at(self) -> float:
        """Return the loop time at which the client last took a byte, or had nothing to take."""

    def close(self, code: int, reason: str) -> None:
        """Close the connection behind what was written."""

    def abort(self) -> None:
        """End the connection at once."""


class JoiningTransport(FrameTransport, Protocol):
    """A transport for clients that may get several frames of one price."""

    def together(self, frames: list[Any]) -> Any:
        """Return frames as one in the form that `write` takes, sent one after another."""


# A client is closed after this many messages, or other frames, in a row above its rate.
MAX_REFUSED = 200
# Seconds in which such a client may take its close frame; meanwhile nothing is read from it.
FLOOD_CLOSE_S = 1.0
# Fragments of messages below this size count as frames.
SMALL_FRAGMENT = 1024


def wire_frame(opcode: int, payload: bytes) -> bytes:
    """Return the bytes on the wire of one final frame: whole, unmasked, uncompressed.

    An uncompressed frame is legal on a connection that has agreed on permessage-deflate (RFC 7692).
    """
    length = len(payload)
    if length < 126:
        return b"%c%c%b" % (opcode, length, payload)
    if length < 65536:
        return b"%c\x7e%b%b" % (opcode, length.to_bytes(2, "big"), payload)
    return b"%c\x7f%b%b" % (opcode, length.to_bytes(8, "big"), payload)


class FrameCounter:
    """Counts the frames of one client that are no messages: pings, pongs and small fragments.

    They may come as often as messages. Above that pings are not answered, and `on_flood` is called
    after many in a row.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        rate = conf.max_messages_per_s
        self._bucket = TokenBucket(rate, burst=rate * BURST_S)
        self._now = now
        self._refused = 0
        self._after_close = 0
        self.is_flooded = False

    def take(self, on_flood: Callable[[], None]) -> bool:
        """Count one frame; return whether it is within the rate."""
        if self._bucket.take(self._now()):
            self._refused = 0
            return True
        self._refused += 1
        if self._refused > MAX_REFUSED and not self.is_flooded:
            self.is_flooded = True
            on_flood()
        return False

    def take_after_close(self) -> None:
        """Count a frame of a client that was sent a close frame; it may have some on their way."""
        self._after_close += 1
        self.is_flooded |= self._after_close > MAX_REFUSED


class WireTransport:
    """The base of transports that write the bytes of prepared frames to a socket themselves."""

    form = "wire"

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.on_drain: Callable[[], None] = lambda: None
        self.on_flood: Callable[[], None] = lambda: None
        self.frame_counter = FrameCounter(now)
        self.written = 0
        self._taken = 0
        self._taken_at = now()

    def frame(self, opcode: int, payload: bytes) -> bytes:
        return wire_frame(opcode, payload)

    def together(self, frames: list[bytes]) -> bytes:
        return b"".join(frames)

    def unsent(self) -> int:
        raise NotImplementedError

    def answers_ping(self, length: int) -> bool:
        """Return whether a ping is answered by a pong of this length, and count that.

        A client that does not take its frames gets none: pongs would pile up.
        """
        if not self.frame_counter.take(self.on_flood) or self.unsent() > conf.high_water_bytes:
            return False
        self.written += length
        return True

    def progress_at(self) -> float:
        taken = self.written - self.unsent()
        if taken != self._taken or taken == self.written:
            self._taken, self._taken_at = taken, self._now()
        return self._taken_at
