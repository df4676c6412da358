"""The bytes of WebSocket frames and of the messages in them: pure, no sockets."""

import json
import os
import struct
from base64 import b64encode
from typing import Any

TEXT = 1
CLOSE = 8
PING = 9
PONG = 10


def handshake(host: str, path: str) -> bytes:
    """Return the request that opens a WebSocket at the path, without extensions."""
    key = b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def frame(payload: bytes, opcode: int = TEXT, *, masked: bool = True) -> bytes:
    """Return one final frame; a client's is masked, with a key of zeros, which changes no byte."""
    size = len(payload)
    bit = 0x80 if masked else 0
    if size < 126:
        head = struct.pack(">BB", 0x80 | opcode, bit | size)
    elif size < 65536:
        head = struct.pack(">BBH", 0x80 | opcode, bit | 126, size)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, bit | 127, size)
    return head + (b"\0\0\0\0" if masked else b"") + payload


class FrameReader:
    """Takes a server's stream apart into (opcode, payload), whatever the chunks' boundaries."""

    def __init__(self) -> None:
        self.rest = b""
        self.parts: list[bytes] = []

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the messages that the data completes; raise ValueError on a bad frame."""
        stream = self.rest + data
        found = []
        at = 0
        while len(stream) - at >= 2:
            first, size, start = stream[at], stream[at + 1], at + 2
            if first & 0x70 or size & 0x80:
                raise ValueError(f"a frame must be plain and unmasked, got {stream[at : at + 2]!r}")
            if size == 126:
                if len(stream) < start + 2:
                    break
                size = int.from_bytes(stream[start : start + 2], "big")
                start += 2
            elif size == 127:
                if len(stream) < start + 8:
                    break
                size = int.from_bytes(stream[start : start + 8], "big")
                start += 8
            if len(stream) < start + size:
                break
            at = start + size
            opcode = first & 0x0F
            if opcode >= CLOSE:
                found.append((opcode, stream[start:at]))
                continue
            self.parts.append(stream[start:at])
            if first & 0x80:
                found.append((TEXT, b"".join(self.parts)))
                self.parts = []
        self.rest = stream[at:]
        return found


def prices_in(payload: bytes) -> list[dict[str, Any]]:
    """Return the prices of one message: a price, an array of prices, an event of Socket.IO, lines
    of Centrifugo, or none.
    """
    if payload.startswith(b"42["):
        event, *arguments = json.loads(payload[2:])
        if event not in ("tick", "stockUpdate"):
            return []
        (prices,) = arguments
        return prices if isinstance(prices, list) else arguments
    if not payload.startswith((b"{", b"[")):
        return []  # the small change of Socket.IO's own protocol
    if payload.startswith((b'{"push":', b'{"id":')):
        return [price for line in payload.splitlines() for price in published(json.loads(line))]
    message = json.loads(payload)
    messages = message if isinstance(message, list) else [message]
    return [price for price in messages if "price" in price and "type" not in price]


def published(line: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the prices of a line of Centrifugo: of a push, or of the answer to `subscribe`."""
    if "push" in line:
        return [line["push"]["pub"]["data"]]
    return [each["data"] for each in line.get("subscribe", {}).get("publications", ())]


def pings_in(chunk: memoryview) -> list[bytes]:
    """Return the payloads of the pings that begin a chunk or follow a message in it.

    0x89 is no byte of ASCII JSON, but may be one of a frame's length; a ping begins where a
    message ended. One that is cut off by the chunk's end is left out.
    """
    data = bytes(chunk)
    found = []
    at = data.find(b"\x89")
    while at >= 0:
        if (at == 0 or data[at - 1] in b"}]") and at + 1 < len(data):
            size = data[at + 1]
            if size < 126 and at + 2 + size <= len(data):
                found.append(data[at + 2 : at + 2 + size])
        at = data.find(b"\x89", at + 1)
    return found
