"""Packets of Engine.IO 4 and Socket.IO 5: reading and making them; pure.

A packet of Engine.IO is a digit and its data. One of kind MESSAGE has a packet of Socket.IO as its
data: a digit, a namespace unless that is `/`, the number of an acknowledgement, and JSON. Packets
are made as WebSocket frames, whole and unmasked, since most clients get them so; polling takes
the header off again.

    https://github.com/socketio/engine.io-protocol, https://github.com/socketio/socket.io-protocol
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from quotes.websocket.transports.base import TEXT, wire_frame

# Kinds of Engine.IO's packets.
OPEN: Final = "0"
CLOSE: Final = "1"
PING: Final = "2"
PONG: Final = "3"
MESSAGE: Final = "4"
UPGRADE: Final = "5"
NOOP: Final = "6"

# Kinds of Socket.IO's packets.
CONNECT: Final = "0"
DISCONNECT: Final = "1"
EVENT: Final = "2"

PROBE = PING + "probe"
SEPARATOR = b"\x1e"  # between the packets of one body

# Events of the server.
PRICE_EVENT = "stockUpdate"
CANDLE_EVENT = "candle"
NOTICE_EVENT = "notice"

# JavaScript counts its acknowledgements from 0 by ones.
_MAX_ACK_DIGITS = 15

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class SocketPacket(NamedTuple):
    """A packet of Socket.IO, as a client sent it.

    Attributes:
        kind: a digit.
        namespace: "/" unless the packet names another.
        ack: the number of the acknowledgement that the client waits for; None if it does not.
        data: its JSON; None without any.
    """

    kind: str
    namespace: str
    ack: int | None
    data: Any


def read_packet(text: str) -> SocketPacket:
    """Return a packet of Socket.IO; raise ValueError if it is not one.

    Packets with binary attachments (kinds 5 and 6) are not read.
    """
    kind = text[:1]
    if not kind or kind not in "01234":
        raise ValueError("a packet must begin with its kind, a digit from 0 to 4")
    at, namespace, ack = 1, "/", None
    if text.startswith("/", at):
        end = text.find(",", at)
        end = len(text) if end < 0 else end
        namespace = text[at:end].partition("?")[0]
        at = end + 1
    digits = at
    while digits < len(text) and "0" <= text[digits] <= "9":
        digits += 1
    if digits > at:
        if digits - at > _MAX_ACK_DIGITS:
            raise ValueError(f"an acknowledgement has at most {_MAX_ACK_DIGITS} digits")
        ack = int(text[at:digits])
    data = None
    if digits < len(text):
        try:
            data = _decode(text[digits:])
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise ValueError(f"its data must be JSON: {error}") from error
    return SocketPacket(kind, namespace, ack, data)


def json_of(values: dict[str, Any]) -> bytes:
    """Return the JSON of values."""
    return _encode(values)


def packet(text: str) -> bytes:
    """Return a packet of Engine.IO as a frame."""
    return wire_frame(TEXT, text.encode())


def event(name: str, payload: bytes) -> bytes:
    """Return an event with one argument, which is JSON already, as a frame."""
    return wire_frame(TEXT, b'42["%b",%b]' % (name.encode(), payload))


def acknowledgement(number: int, payload: bytes) -> bytes:
    """Return the acknowledgement of an event, with one argument of JSON, as a frame."""
    return wire_frame(TEXT, b"43%d[%b]" % (number, payload))


def opening(sid: str, *, upgrades: list[str], ping_s: float, pong_s: float, size: int) -> bytes:
    """Return the first packet of a connection as a frame.

    Args:
        ping_s: seconds between two pings.
        pong_s: seconds in which each is to be answered.
        size: bytes that a message of the client may have.
    """
    values = {
        "sid": sid,
        "upgrades": upgrades,
        "pingInterval": round(ping_s * 1000),
        "pingTimeout": round(pong_s * 1000),
        "maxPayload": size,
    }
    return wire_frame(TEXT, OPEN.encode() + _encode(values))


def connected(sid: str) -> bytes:
    """Return the packet that accepts a client of the namespace / as a frame."""
    return wire_frame(TEXT, b"40" + _encode({"sid": sid}))


def refused(message: str, *, code: int, namespace: str = "/") -> bytes:
    """Return the packet that refuses a client: its library reports `connect_error`; as a frame."""
    place = b"" if namespace == "/" else namespace.encode() + b","
    values = {"message": message, "data": {"code": int(code)}}
    return wire_frame(TEXT, b"44%b%b" % (place, _encode(values)))


def disconnected() -> bytes:
    """Return the packet that disconnects a client, which does not come back, as a frame."""
    return packet(MESSAGE + DISCONNECT)


def payloads_of(frames: Iterable[bytes]) -> Iterator[bytes]:
    """Return packets without the headers of their frames; several may stand together."""
    for data in frames:
        at = 0
        while at < len(data):
            length, begin = data[at + 1], at + 2
            if length == 126:
                length, begin = int.from_bytes(data[begin : begin + 2], "big"), begin + 2
            elif length == 127:
                length, begin = int.from_bytes(data[begin : begin + 8], "big"), begin + 8
            at = begin + length
            yield data[begin:at]


def body_of(frames: Iterable[bytes]) -> bytes:
    """Return these packets as the body of an answer to a poll."""
    return SEPARATOR.join(payloads_of(frames))
