"""Prices as OpenAlgo's clients get them: a message for each mode in which a client has a symbol.

    {"type":"market_data","symbol":"RELIANCE","exchange":"NSE","mode":1,
     "data":{"ltp":2950.50,"timestamp":1712331900000},"broker":"live-price"}

A message is made once per process and kept with the price, for all clients. It is compact, because
AmiBroker's plug-in looks for texts in it.
"""

import weakref
from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

import msgspec

from instruments.index import index
from instruments.keys import InstrumentKey
from instruments.snapshot import MasterSnapshot
from quotes.openalgo.protocol import BROKER, MODE_NUMBERS
from quotes.openalgo.symbols import name_of
from quotes.openalgo.values import depth_text, fields_of, joined_object, last_price, quote
from quotes.ticks import read_frame
from quotes.websocket.delivery.day_fields import day_fields
from quotes.websocket.delivery.framing import Framing
from quotes.websocket.delivery.price_message import DELAYED, PriceMessage
from quotes.websocket.protocol import ControlFrame
from quotes.websocket.transports.base import TEXT, FrameTransport, JoiningTransport

_AND = "+"  # between the modes of one instrument
_ORDER = list(MODE_NUMBERS)

_MOST_NAMES = 200_000

encode = msgspec.json.Encoder().encode
_BROKER = encode(BROKER)

# Returns the message of a frame that is no price; None if none is sent.
Answer = Callable[[ControlFrame], Mapping[str, Any] | None]


class OpenAlgoFraming(Framing):
    """The frames of one client: `modes` has all modes of an instrument, as in `ltp+full`."""

    __slots__ = ("_answer", "_transport")

    def __init__(self, transport: FrameTransport, answer: Answer) -> None:
        super().__init__(transport)
        self._answer = answer
        self._transport = cast(JoiningTransport, transport)  # as those of WebSockets are

    def set_mode(self, mode: str, key: str | None = None) -> None:
        """Add modes of an instrument; there are none that are the client's."""
        if key is None:
            self.mode = mode
        else:
            both = {*mode.split(_AND), *self._modes_of(key)}
            self.modes[key] = _AND.join(one for one in _ORDER if one in both)
        self._find_slot()

    def drop_modes(self, key: str, modes: Collection[str]) -> bool:
        left = [one for one in self._modes_of(key) if one not in modes]
        if left:
            self.modes[key] = _AND.join(left)
        return bool(left)

    def frame(self, message: PriceMessage) -> Any:
        modes = self.modes.get(message.key, _ORDER[0])
        slot = self._slot_of(message.key, modes)
        found = message.product(slot)
        if found is None:
            found = self._made(message, modes.split(_AND))
            message.keep(slot, found)
        return found

    def control(self, frame: ControlFrame) -> Any | None:
        answer = self._answer(frame)
        return None if answer is None else self.transport.frame(TEXT, encode(answer))

    def _made(self, message: PriceMessage, modes: list[str]) -> Any:
        if len(modes) == 1:
            return self.transport.frame(TEXT, market_data(message, MODE_NUMBERS[modes[0]]))
        return self._transport.together([self._single(message, one) for one in modes])

    def _single(self, message: PriceMessage, mode: str) -> Any:
        """Return the frame of one mode, which others may have alone."""
        slot = self._slot_of(message.key, mode)
        found = message.product(slot)
        if found is None:
            found = self._made(message, [mode])
            message.keep(slot, found)
        return found

    def _slot_of(self, key: str, modes: str) -> str:
        """Return the key under which messages keep the frame of some modes.

        A frame that was made before the day was read, or with another master, is not used again.
        """
        day = "day" if key in day_fields.days else ""
        return f"{self.transport.form}.openalgo.{modes}.{day}{index.version}"

    def _modes_of(self, key: str) -> list[str]:
        modes = self.modes.get(key)
        return modes.split(_AND) if modes else []

    def _find_slot(self) -> None:
        # The frames of a client differ by instrument.
        self.shape, self.slot = "openalgo", ""


def market_data(message: PriceMessage, mode: int) -> bytes:
    """Return the JSON text of a price in a mode."""
    tick = read_frame(message.frame)
    if mode == 1:
        values = last_price(tick, tick.fields if b'"last_trade_time"' in tick.others else {})
    else:
        days = None if message.kind == DELAYED else day_fields
        fields = fields_of(message.key, tick, days)
        values = quote(tick, fields)
        if mode == 3:
            values["depth"] = depth_text(fields)
    return b'{"type":"market_data",%b,"mode":%d,"data":%b,"broker":%b}' % (
        _names.text(message.key),
        mode,
        joined_object(values),
        _BROKER,
    )


class _Names:
    """The JSON text of each instrument's symbol and exchange, by the newest master."""

    def __init__(self) -> None:
        # A strong reference would keep a whole master that another has replaced.
        self._snapshot: weakref.ref[MasterSnapshot] | None = None
        self._texts: dict[str, bytes] = {}

    def text(self, key: str) -> bytes:
        snapshot = index.snapshot
        if self._snapshot is None or self._snapshot() is not snapshot:
            self._snapshot = weakref.ref(snapshot)
            self._texts = {}
        found = self._texts.get(key)
        if found is None:
            name = name_of(snapshot, InstrumentKey.parse(key))
            found = b'"symbol":%b,"exchange":"%b"' % (encode(name.symbol), name.exchange.encode())
            if len(self._texts) < _MOST_NAMES:
                self._texts[key] = found
        return found


# Those of this process: messages are made once for all of its event loops.
_names = _Names()
