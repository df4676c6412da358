"""Framing of one of Kite's clients: packets, several to a frame, and what is no price as text."""

from typing import Any

import msgspec

from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.kite.packets import HEARTBEAT, encode, is_served
from quotes.kite.ticker.prices import packet_of
from quotes.kite.ticker.texts import text_of
from quotes.websocket.delivery.day_fields import day_fields
from quotes.websocket.delivery.framing import Framing, Product
from quotes.websocket.delivery.price_message import PriceMessage
from quotes.websocket.protocol import ControlFrame
from quotes.websocket.transports.base import BINARY, TEXT, FrameTransport

DEFAULT_MODE = "quote"
# Most packets in one frame: 93 KB of full ones.
_MAX_PACKETS = 500

# mode -> the key under which messages keep the packet that all clients share
_SLOTS = {mode: f"kite.{mode}" for mode in ("ltp", "quote", "full")}


class _Sized(msgspec.Struct, frozen=True, gc=False):
    """A packet behind its length, as frames hold it.

    Attributes:
        version: of the master that had the token.
        has_day: whether the statistics of the day were there; no mode ltp needs them.
    """

    payload: bytes
    version: int
    has_day: bool


# form of transport -> the last packets that became frames, and these: clients with the same
# instruments get the same frame.
_last_frames: dict[str, tuple[list[bytes], list[Any]]] = {}


class KiteFraming(Framing):
    """How one of Kite's clients gets its frames.

    A packet is made once per process and mode. Nothing is sent of an instrument that has no token.
    """

    __slots__ = ()

    def __init__(self, transport: FrameTransport) -> None:
        super().__init__(transport)
        self.opcode = BINARY
        self.set_mode(DEFAULT_MODE)

    def payload(self, message: PriceMessage) -> bytes:
        """Return a price's packet behind its length; b"" if its instrument has no token."""
        key = message.key
        mode = self.modes.get(key, self.mode)
        slot = _SLOTS[mode]
        products = message.products
        found: _Sized | None = products.get(slot) if products else None
        if (
            found is None
            or found.version != index.version
            or not (found.has_day or key not in day_fields.days)
        ):
            found = _Sized(
                _sized_packet(message, mode), index.version, mode == "ltp" or key in day_fields.days
            )
            message.keep(slot, found)
        return found.payload

    def frame(self, message: PriceMessage) -> Any:
        """Return the frame of one price."""
        frames = self.arrays([self.payload(message)])
        return frames[0] if frames else self._heartbeat()

    def arrays(self, payloads: list[bytes]) -> list[Any]:
        """Return the frames of packets, each of at most _MAX_PACKETS."""
        last = _last_frames.get(self.transport.form)
        if last is not None and last[0] == payloads:
            return last[1][:]
        packets = [one for one in payloads if one]
        frames = [
            self.transport.frame(BINARY, b"%b%b" % (len(some).to_bytes(2), b"".join(some)))
            for at in range(0, len(packets), _MAX_PACKETS)
            if (some := packets[at : at + _MAX_PACKETS])
        ]
        _last_frames[self.transport.form] = payloads, frames
        return frames[:]

    def control(self, frame: ControlFrame) -> Any | None:
        """Return a heartbeat or a text in Kite's form; None for what Kite has no words for."""
        if frame.kind == "heartbeat":
            return self._heartbeat()
        text = text_of(frame)
        return None if text is None else self.transport.frame(TEXT, text)

    def shared(self, *, batch: bool) -> tuple[str, Product]:
        """Not for these clients: none of them gets its prices at intervals."""
        raise NotImplementedError

    def _heartbeat(self) -> Any:
        return self.transport.frame(BINARY, HEARTBEAT)

    def _find_slot(self) -> None:
        self.shape = "kite"
        self.slot = ""  # of no message: prices are gathered into frames


def _sized_packet(message: PriceMessage, mode: str) -> bytes:
    entry = index.describe(InstrumentKey.parse(message.key))
    token = entry.instrument_token if entry is not None else None
    if token is None or not is_served(token):
        return b""
    packet = encode(packet_of(message, mode, token))
    return len(packet).to_bytes(2) + packet
