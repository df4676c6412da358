"""Framing: how one client gets its prices, as which fields, in which encoding and on which wire.

Each product of a price is made once per process, for the first client that needs it, and kept in
the message for all others: its payload (a mode and an encoding) and its frame (a payload in
the form of a transport).
"""

import json
from collections.abc import Callable, Collection
from decimal import Decimal, InvalidOperation
from functools import partial
from operator import attrgetter
from typing import Any

import msgspec

from quotes.ticks import MAX_DEPTH, Tick, decode_object, depth_of, encode_tick, joined, read_frame
from quotes.websocket.delivery.day_fields import day_fields, with_change
from quotes.websocket.delivery.price_message import CANDLE, DELAYED, PriceMessage
from quotes.websocket.protocol import ControlFrame
from quotes.websocket.transports.base import BINARY, TEXT, FrameTransport

# Most prices in one array.
MAX_ARRAY = 500
# Behind a mode: with the tick's epoch and number.
_NUMBERED = "#"
_QUOTE_FIELDS = frozenset(
    {"open", "high", "low", "prev_close", "change", "change_pct", "volume", "oi", "bid", "ask"}
)
# A 64-bit float gives back every decimal of up to this many significant digits (IEEE 754).
_EXACT_DIGITS = 15
_EXACT_EXPONENT = 290  # within its range, with room
_INTEGER_DIGITS = 20  # of a 64-bit integer, with its sign

# The shape of prices that are sent as they come.
_PLAIN = "json.full"

_pack = msgspec.msgpack.Encoder().encode

# Makes what a client gets of a price: its text, its MessagePack, or a whole frame.
Product = Callable[[PriceMessage], Any]


class Framing:
    """How one client gets its frames; this one is /live-price's, others derive from it.

    Attributes:
        opcode: of the client's price frames.
        shape: the encoding and mode, for clients whose modes do not differ by instrument.
        slot: the key under which messages keep the frame that all clients of one form of transport
            and one shape share; empty if the client's frames differ by instrument.
        modes: instrument key -> mode, where it is not the client's.
        waits_for_days: whether a first price waits until its instrument's day is read.
    """

    waits_for_days = False

    __slots__ = ("encoding", "mode", "modes", "numbered", "opcode", "shape", "slot", "transport")

    def __init__(self, transport: FrameTransport, encoding: str = "json") -> None:
        self.transport = transport
        self.encoding = encoding
        self.opcode = TEXT if encoding == "json" else BINARY
        self.modes: dict[str, str] = {}
        self.numbered = False
        self.set_mode("full")

    def set_mode(self, mode: str, key: str | None = None) -> None:
        """Set the mode of one instrument; without a key, of all that have none of their own."""
        if key is None:
            self.mode = mode
        else:
            self.modes[key] = mode
        self._find_slot()

    def set_numbered(self, numbered: bool) -> None:
        """Set whether each price has its epoch and number, from now on."""
        self.numbered = numbered
        self._find_slot()

    def drop_modes(self, key: str, modes: Collection[str]) -> bool:
        """Drop modes of an instrument; return whether the client still gets it in another.

        Where an instrument has one mode, as here, it is subscribed or not.
        """
        return False

    def forget(self, key: str) -> None:
        """Drop an instrument's own mode."""
        if self.modes.pop(key, None) is not None:
            self._find_slot()

    def control(self, frame: ControlFrame) -> Any | None:
        """Return a frame that is no price in the transport's form; None if none is sent."""
        return self.transport.frame(TEXT, frame.encode())

    def text(self, message: PriceMessage) -> bytes:
        """Return a price as JSON in the client's mode, whatever its encoding is."""
        return payload(message, "json", self._mode_of(message))

    def payload(self, message: PriceMessage) -> bytes:
        """Return a price in the client's encoding and mode."""
        return payload(message, self.encoding, self._mode_of(message))

    def frame(self, message: PriceMessage) -> Any:
        """Return a price's frame in the transport's form."""
        mode = self._mode_of(message)
        slot = f"{self.transport.form}.{self.encoding}.{mode}"
        found = message.product(slot)
        if found is None:
            found = self.transport.frame(self.opcode, payload(message, self.encoding, mode))
            message.keep(slot, found)
        return found

    def shared(self, *, batch: bool) -> tuple[str, Product]:
        """Return the client's shape and what makes its products; it has no modes of instruments.

        Args:
            batch: whether the products are payloads for arrays, rather than frames.
        """
        if batch and self.shape == _PLAIN:
            return self.shape, attrgetter("frame")
        mode = self._full_mode(self.mode)
        if batch:
            return self.shape, partial(payload, encoding=self.encoding, mode=mode)
        slot, frame_of = self.slot, self.transport.frame

        encoding, opcode = self.encoding, self.opcode

        def framed(message: PriceMessage) -> Any:
            found = message.product(slot)
            if found is None:
                found = frame_of(opcode, payload(message, encoding, mode))
                message.keep(slot, found)
            return found

        return slot, framed

    def arrays(self, payloads: list[bytes]) -> list[Any]:
        """Return the frames of arrays of payloads, each of at most MAX_ARRAY."""
        frame_of, opcode = self.transport.frame, self.opcode
        return [
            frame_of(opcode, payload_array(payloads[at : at + MAX_ARRAY], self.encoding))
            for at in range(0, len(payloads), MAX_ARRAY)
        ]

    def _find_slot(self) -> None:
        self.shape = f"{self.encoding}.{self._full_mode(self.mode)}"
        self.slot = "" if self.modes else f"{self.transport.form}.{self.shape}"

    def _full_mode(self, mode: str) -> str:
        return mode + _NUMBERED if self.numbered else mode

    def _mode_of(self, message: PriceMessage) -> str:
        return self._full_mode(self.modes.get(message.key, self.mode))


def payload(message: PriceMessage, encoding: str, mode: str) -> bytes:
    """Return a message's price, made at the first call and kept in the message.

    Args:
        encoding: json or msgpack.
        mode: ltp, quote or full, with _NUMBERED behind it or without.
    """
    is_json = encoding == "json"
    if is_json and (mode == "full" or message.kind == CANDLE):
        return message.frame
    slot = f"{encoding}.{mode}"
    found: bytes | None = message.product(slot)
    if found is None:
        text = message.frame
        if message.kind != CANDLE:
            is_delayed = message.kind == DELAYED
            text = json_text(text, mode.removesuffix(_NUMBERED), message.key, delayed=is_delayed)
            if mode.endswith(_NUMBERED):
                text = b'%b,"epoch":%d,"seq":%d}' % (text[:-1], message.epoch, message.seq)
        found = text if is_json else msgpack_of(text)
        message.keep(slot, found)
    return found


def json_text(frame: bytes, mode: str, key: str = "", *, delayed: bool = False) -> bytes:
    """Return the JSON text of a price in a mode.

    Args:
        frame: the JSON text with all of its fields.
        mode: ltp, quote or full.
        key: of its instrument; a quote gets fields of the day that the publisher did not send.
        delayed: whether the tick is sent late: the day's fields of now are not for it.
    """
    if mode == "full":
        return frame
    tick = read_frame(frame)
    fields = {
        name: text
        for name, text in tick.fields.items()
        if mode == "quote" and name in _QUOTE_FIELDS
    }
    if mode == "quote":
        fields = with_change(tick, fields) if delayed else day_fields.enriched(key, tick, fields)
    kept = Tick(tick.symbol, tick.price_text, tick.timestamp, tick.segment, joined(fields))
    return encode_tick(kept)


def msgpack_of(text: bytes) -> bytes:
    """Return JSON text as MessagePack, with the same keys.

    MessagePack has no decimals: a number that a 64-bit float gives back digit for digit, or a
    64-bit integer, is one; any other is text. So is a value that is nested too deep.
    """
    try:
        return _pack(json.loads(text, parse_float=_exact))
    except (OverflowError, ValueError, RecursionError):
        return _pack({name: _carried(bytes(raw)) for name, raw in decode_object(text).items()})


def _carried(value: bytes) -> Any:
    """Return the text of a JSON value as what MessagePack can carry of it."""
    if depth_of(value) > MAX_DEPTH:
        return value.decode()
    return json.loads(value, parse_float=_exact, parse_int=_whole)


def payload_array(payloads: list[bytes], encoding: str) -> bytes:
    """Return the payloads of many prices as one: a JSON array, or a MessagePack array."""
    if encoding == "json":
        return b"[%b]" % b",".join(payloads)
    return _array_header(len(payloads)) + b"".join(payloads)


def _exact(text: str) -> float | str:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    if len(number.as_tuple().digits) > _EXACT_DIGITS or abs(number.adjusted()) > _EXACT_EXPONENT:
        return text
    return float(text)


def _whole(text: str) -> int | str:
    if len(text) <= _EXACT_DIGITS:
        return int(text)
    if len(text) > _INTEGER_DIGITS:
        return text
    number = int(text)
    return number if -(2**63) <= number < 2**64 else text


def _array_header(length: int) -> bytes:
    """Return the header of a MessagePack array."""
    if length < 16:
        return bytes([0x90 | length])
    if length < 65536:
        return b"\xdc" + length.to_bytes(2, "big")
    return b"\xdd" + length.to_bytes(4, "big")
