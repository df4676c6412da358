"""Framing of one of Kite's clients: packets, several to a frame, and what is no price as text."""

from typing import Any

import msgspec

from instruments.index import index
from instruments.keys import InstrumentKey
from quotes.kite.packets import HEARTBEAT, MODES, encode, is_served
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


class _Tokens:
    """Kite's tokens of instruments, by the newest version of the master.

    Attributes:
        slots: mode -> the key under which messages keep the packet that all clients share.
    """

    def __init__(self) -> None:
        self._version = index.version
        self._tokens: dict[str, int] = {}  # instrument key -> token; 0 if it has none
        self.slots: dict[str, str] = {}
        self.follow_master()

    def follow_master(self) -> None:
        """Forget the tokens of another version of the master, and packets with them."""
        if index.version != self._version or not self.slots:
            self._version = index.version
            self._tokens = {}
            self.slots = {mode: f"kite.{self._version}.{mode}" for mode in MODES}

    def of(self, key: str) -> int:
        """Return the token of an instrument; 0 if no packet can be made of it."""
        self.follow_master()
        token = self._tokens.get(key)
        if token is None:
            entry = index.describe(InstrumentKey.parse(key))
            token = (entry.instrument_token if entry is not None else None) or 0
            self._tokens[key] = token = token if is_served(token) else 0
        return token


_tokens = _Tokens()


class _ProvisionalPacket(msgspec.Struct, frozen=True, gc=False):
    """A packet that lacks the day of its instrument, which is not read yet; behind its length."""

    payload: bytes


# form of transport -> the last packets that became frames, and these: clients with the same
# instruments get the same frame.
_last_frames: dict[str, tuple[list[bytes], list[Any]]] = {}


class KiteFraming(Framing):
    """How one of Kite's clients gets its frames.

    A packet is made once per process and mode. Nothing is sent of an instrument that has no token.
    """

    __slots__ = ()

    waits_for_days = True

    def __init__(self, transport: FrameTransport) -> None:
        super().__init__(transport)
        self.opcode = BINARY
        self.set_mode(DEFAULT_MODE)

    def payload(self, message: PriceMessage) -> bytes:
        """Return a price's packet behind its length; b"" if its instrument has no token."""
        products = message.products
        if products:
            found = products.get(_tokens.slots[self.modes.get(message.key, self.mode)])
            if found.__class__ is bytes:
                return found
            if found is not None and message.key not in day_fields.days:
                return found.payload  # type: ignore[no-any-return]
        return self._made(message)

    def _made(self, message: PriceMessage) -> bytes:
        """Return a price's packet, made now, and keep it."""
        key = message.key
        mode = self.modes.get(key, self.mode)
        token = _tokens.of(key)
        made = b""
        if token:
            packet = encode(packet_of(message, mode, token))
            made = len(packet).to_bytes(2) + packet
        is_final = mode == "ltp" or key in day_fields.days or not token
        message.keep(_tokens.slots[mode], made if is_final else _ProvisionalPacket(made))
        return made

    def frame(self, message: PriceMessage) -> Any:
        """Return the frame of one price."""
        frames = self.arrays([self.payload(message)])
        return frames[0] if frames else self._heartbeat()

    def arrays(self, payloads: list[bytes]) -> list[Any]:
        """Return the frames of packets, each of at most _MAX_PACKETS."""
        _tokens.follow_master()
        transport = self.transport
        last = _last_frames.get(transport.form)
        if last is not None and last[0] == payloads:
            return last[1][:]
        packets = list(filter(None, payloads))
        frames = []
        for at in range(0, len(packets), _MAX_PACKETS):
            some = packets[at : at + _MAX_PACKETS]
            frames.append(transport.frame(BINARY, len(some).to_bytes(2) + b"".join(some)))
        _last_frames[transport.form] = payloads, frames
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
