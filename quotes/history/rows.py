"""Rows of history in memory: a tick as stored, and a candle as read.

Turns a logged frame into the values of a row, and a row into the same frame again.
"""

import re
from decimal import Decimal
from typing import NamedTuple

from instruments.keys import InstrumentKey
from quotes.history.candles.bars import Bar
from quotes.history.candles.intervals import Interval
from quotes.ticks import Tick as ParsedTick
from quotes.ticks import decode_object, encode_tick, read_frame

_MAX_DIGITS = 18

# A frame as `encode_tick` writes it, if symbol and price need no escapes.
_LOGGED_FRAME = re.compile(
    rb'\{"symbol":"[^"\\]*","price":([^,}]+),"timestamp":[0-9]+(?:,"segment":"[A-Z_]+")?'
    rb'(?:,"volume":(0|[1-9][0-9]{0,17})\}|(.*)\})',
    re.DOTALL,
)
_match_frame = _LOGGED_FRAME.fullmatch
_VOLUME_ALONE = re.compile(rb',"volume":(0|[1-9][0-9]{0,17})')
_PLAIN_NUMBERS = re.compile(rb'(?:,"[a-z_]+":-?[0-9.]+)+')
_PLAIN_VOLUME = re.compile(rb',"volume":([0-9.]+)')
_PLAIN_OI = re.compile(rb',"oi":([0-9.]+)')

# The values of a frame besides symbol, time and segment: price, volume, open interest, and the text
# of its other keys (None if there is none but the volume).
_Contents = tuple[str, int | None, int | None, str | None]

# One tick as the table has it: series, timestamp, position, epoch, seq, shown, price, volume, oi,
# rest.
TickValues = tuple[int, int, int, int, int, bool, str, int | None, int | None, str | None]


class TickRow(NamedTuple):
    """One tick of history.

    Attributes:
        position: its number in the order of arrival; pages continue by timestamp and position.
        price: the text of a JSON number, as it arrived.
        rest: see `models.Tick`.
    """

    key: InstrumentKey
    timestamp: int
    position: int
    epoch: int
    seq: int
    shown: bool
    price: str
    volume: int | None
    oi: int | None
    rest: str | None

    @property
    def frame(self) -> bytes:
        """The price frame that clients got, byte for byte."""
        others = b""
        if self.rest is not None:
            others = self.rest.encode()
        elif self.volume is not None:
            others = b',"volume":%d' % self.volume
        tick = ParsedTick(self.key.symbol, self.price, self.timestamp, self.key.segment, others)
        return encode_tick(tick)


class CandleRow(NamedTuple):
    """One candle of history; see `models.Candle`."""

    key: InstrumentKey
    interval: Interval
    start: int
    ends: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int | None
    oi: int | None
    ticks: int
    final: bool
    revised: bool

    @property
    def json(self) -> bytes:
        """The candle as a JSON object, prices with their digits."""
        return candle_json(self)


def candle_json(row: "CandleRow | Bar") -> bytes:
    """Return the JSON object of a candle: times in Unix milliseconds, prices in rupees."""
    return (
        b'{"start":%d,"ends":%d,"open":%b,"high":%b,"low":%b,"close":%b,"volume":%b,"oi":%b,'
        b'"ticks":%d,"final":%b,"revised":%b}'
        % (
            row.start,
            row.ends,
            number_text(row.open),
            number_text(row.high),
            number_text(row.low),
            number_text(row.close),
            b"null" if row.volume is None else b"%d" % row.volume,
            b"null" if row.oi is None else b"%d" % row.oi,
            row.ticks,
            b"true" if row.final else b"false",
            b"true" if row.revised else b"false",
        )
    )


def number_text(number: Decimal) -> bytes:
    """Return the JSON number of a price, with its digits."""
    return format(number, "f").encode()


def contents_of(frame: bytes) -> _Contents:
    """Parse a logged frame.

    Raises:
        BadTick: it is not a price frame.
    """
    match = _match_frame(frame)
    if match is None:
        tick = read_frame(frame)
        price, others = tick.price_text, tick.others
        alone = _VOLUME_ALONE.fullmatch(others)
        if alone is not None:
            return price, int(alone[1]), None, None
    else:
        text, reading, others = match.groups()
        price = text.decode()
        if reading is not None:
            return price, int(reading), None, None
    if not others:
        return price, None, None, None
    if _PLAIN_NUMBERS.fullmatch(others) is not None:
        volume, oi = (
            found and _quantity(found[1])
            for found in (_PLAIN_VOLUME.search(others), _PLAIN_OI.search(others))
        )
    else:
        fields = decode_object(b"{%b}" % others[1:])
        volume, oi = (
            _quantity(bytes(fields[name])) if name in fields else None for name in ("volume", "oi")
        )
    return price, volume, oi, others.decode()


def _quantity(text: bytes) -> int | None:
    """Return a whole quantity from 0 that fits a column; None for any other number."""
    if text.isdigit():
        return int(text) if len(text) <= _MAX_DIGITS else None
    number = Decimal(text.decode())
    if number.adjusted() >= _MAX_DIGITS or number < 0 or number != number.to_integral_value():
        return None
    return int(number)
