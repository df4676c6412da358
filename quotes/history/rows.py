"""Rows of history in memory: a tick as it is stored, a candle as it is read.

How a logged frame becomes a row, and a row the same frame again, is here; tables are not.
"""

import re
from decimal import Decimal
from typing import NamedTuple

from instruments.keys import InstrumentKey
from quotes.history.candles.bars import Bar
from quotes.history.candles.intervals import Interval
from quotes.ticks import Tick as ParsedTick
from quotes.ticks import decode_object, encode_tick, parse_tick

MAX_BIGINT = 2**63 - 1
MAX_DIGITS = 18

# A frame as `encode_tick` writes it, of a symbol and a price without peculiarities.
LOGGED_FRAME = re.compile(
    rb'\{"symbol":"[^"\\]*","price":([^,}]+),"timestamp":[0-9]+(?:,"segment":"[A-Z_]+")?'
    rb'(?:,"volume":(0|[1-9][0-9]{0,17})\}|(.*)\})',
    re.DOTALL,
)
match_frame = LOGGED_FRAME.fullmatch
VOLUME_ALONE = re.compile(rb',"volume":(0|[1-9][0-9]{0,17})')
PLAIN_NUMBERS = re.compile(rb'(?:,"[a-z_]+":-?[0-9.]+)+')
PLAIN_VOLUME = re.compile(rb',"volume":([0-9.]+)')
PLAIN_OI = re.compile(rb',"oi":([0-9.]+)')

# What a frame holds besides symbol, time and segment: price, volume, open interest, and the text
# of its other keys, None where the volume says all of it.
Contents = tuple[str, int | None, int | None, str | None]

# One tick as the table has it: series, timestamp, position, epoch, seq, shown, price, volume, oi,
# rest.
TickValues = tuple[int, int, int, int, int, bool, str, int | None, int | None, str | None]


class TickRow(NamedTuple):
    """One tick of history.

    Attributes:
        position: its place in the order of arrival; with the timestamp, a cursor.
        price: the text of a JSON number, as it came in.
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
        """The price frame as clients got it."""
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


def contents_of(frame: bytes) -> Contents:
    """Return what a logged frame holds.

    Raises:
        BadTick: it is no frame.
    """
    match = match_frame(frame)
    if match is None:
        tick = parse_tick(frame, now_ms=MAX_BIGINT)
        price, others = tick.price_text, tick.others
        alone = VOLUME_ALONE.fullmatch(others)
        if alone is not None:
            return price, int(alone[1]), None, None
    else:
        text, reading, others = match.groups()
        price = text.decode()
        if reading is not None:
            return price, int(reading), None, None
    if not others:
        return price, None, None, None
    if PLAIN_NUMBERS.fullmatch(others) is not None:
        volume, oi = (
            found and quantity(found[1])
            for found in (PLAIN_VOLUME.search(others), PLAIN_OI.search(others))
        )
    else:
        fields = decode_object(b"{%b}" % others[1:])
        volume, oi = (
            quantity(bytes(fields[name])) if name in fields else None for name in ("volume", "oi")
        )
    return price, volume, oi, others.decode()


def quantity(text: bytes) -> int | None:
    """Return a whole quantity of at least 0 that a column holds, or None for any other number."""
    if text.isdigit():
        return int(text) if len(text) <= MAX_DIGITS else None
    number = Decimal(text.decode())
    if number.adjusted() >= MAX_DIGITS or number < 0 or number != number.to_integral_value():
        return None
    return int(number)
