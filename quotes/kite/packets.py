"""Packets of Kite's ticker: from values to bytes and back, without I/O.

A binary frame holds a number of packets, each behind its length; all numbers are big-endian. The
length says what a packet is: 8 bytes for mode ltp, 44 for quote, 184 for full, and 28 and 32 for
quote and full of an index. Prices are integers: rupees times 100, or times 10,000,000 (CDS) or
10,000 (BCD), by the low byte of the instrument token. Every number fits into 31 bits, because some
clients read signed ones; what is greater is sent as the greatest. Prices may be negative.
"""

from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from operator import attrgetter
from struct import Struct

import msgspec

from instruments.market import INDEX_SEGMENTS, KITE_SEGMENTS, SEGMENT_FACTS
from quotes.errors import QuotesError

MODES = ("ltp", "quote", "full")
HEARTBEAT = b"\0"
DEPTH_LEVELS = 5
MAX_PACKETS = 65_535  # in one frame
MAX_NUMBER = 2**31 - 1
MIN_PRICE = -(2**31)
MAX_ORDERS = 65_535

# low byte of an instrument token -> what is true of its segment
_FACTS = {
    low_byte: facts
    for low_byte, segments in KITE_SEGMENTS.items()
    for facts in SEGMENT_FACTS
    if facts.code == segments[0]
}
# low byte -> the power of ten by which its prices are multiplied
_SCALES = {low_byte: len(str(facts.price_divisor)) - 1 for low_byte, facts in _FACTS.items()}
_INDEX_BYTE = next(byte for byte, segments in KITE_SEGMENTS.items() if segments == INDEX_SEGMENTS)

_LTP = Struct(">Ii")
_QUOTE = Struct(">IiIiIIIiiii")
_FULL = Struct(">IiIiIIIiiiiIIIII")
_INDEX_QUOTE = Struct(">Iiiiiii")
_INDEX_FULL = Struct(">IiiiiiiI")
_ENTRY = Struct(">IiHxx")
_NO_ENTRY = bytes(_ENTRY.size)
_FULL_SIZE = _FULL.size + 2 * DEPTH_LEVELS * _ENTRY.size
_U16 = Struct(">H")

_exact = Context(prec=100, rounding=ROUND_HALF_UP)
_SURE_DIGITS = len(str(MAX_NUMBER))  # a number of fewer digits fits
_MAX_EXPONENT = 12  # a number of more digits than this is beyond 31 bits at every scale


class BadPacket(QuotesError, ValueError):
    """Bytes are no packet or no frame of Kite's ticker; the text says why."""

    code = 400


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One price of the depth. The price is scaled; see `Packet`."""

    quantity: int = 0
    price: int = 0
    orders: int = 0


NO_ENTRY = Entry()


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """What one packet says. A value that its mode does not carry, or nobody knows, is 0.

    Prices are integers as on the wire; `price_text` gives rupees, `scaled` makes them.

    Attributes:
        token: Kite's instrument token.
        mode: ltp, quote or full.
        prev_close: the last session's close, which Kite calls `close`.
        last_trade_time, exchange_time: Unix seconds.
        change: of an index, since the last close, scaled as prices are.
        buy, sell: up to five entries, the best first; `decode` gives five.
    """

    token: int
    mode: str
    last_price: int
    last_qty: int = 0
    avg_price: int = 0
    volume: int = 0
    buy_qty: int = 0
    sell_qty: int = 0
    open: int = 0
    high: int = 0
    low: int = 0
    prev_close: int = 0
    change: int = 0
    last_trade_time: int = 0
    oi: int = 0
    oi_high: int = 0
    oi_low: int = 0
    exchange_time: int = 0
    buy: tuple[Entry, ...] = ()
    sell: tuple[Entry, ...] = ()

    @property
    def is_index(self) -> bool:
        """Whether the packet has no quantities and no depth."""
        return is_index(self.token)

    def price_text(self, number: int) -> str:
        """Return the text of rupees, with the digits that the segment's prices have."""
        return price_text(number, self.token)


# What a quote has behind its token, and what a full packet has behind that, in order.
_QUOTE_NAMES = (
    *("last_price", "last_qty", "avg_price", "volume", "buy_qty", "sell_qty"),
    *("open", "high", "low", "prev_close"),
)
_FULL_NAMES = ("last_trade_time", "oi", "oi_high", "oi_low", "exchange_time")
_quote_values = attrgetter(*_QUOTE_NAMES)
_full_values = attrgetter(*_FULL_NAMES)


def is_served(token: int) -> bool:
    """Return whether all clients read a token's prices alike, so that packets may be made of it."""
    return 0 < token <= MAX_NUMBER and token & 255 in _SCALES


def is_index(token: int) -> bool:
    """Return whether a token is an index's: its packets have no quantities and no depth."""
    return token & 255 == _INDEX_BYTE


def scale(token: int) -> int:
    """Return the power of ten by which a token's prices are multiplied.

    Raises:
        BadPacket: no segment has the token's low byte.
    """
    found = _SCALES.get(token & 255)
    if found is None:
        low_bytes = ", ".join(map(str, _SCALES))
        raise BadPacket(f"the low byte of a token must be one of {low_bytes}, got {token & 255}")
    return found


@lru_cache(maxsize=20_000)
def scaled(text: str, digits: int) -> int:
    """Return a decimal number times 10 to the power of `digits`, as the integer of a packet.

    Halves are rounded away from zero. What does not fit becomes the nearest that does.
    """
    whole, _, part = text.partition(".")
    if len(part) <= digits:
        try:
            return max(MIN_PRICE, min(MAX_NUMBER, int(whole + part.ljust(digits, "0"))))
        except ValueError:
            pass  # it has an exponent
    number = Decimal(text)
    if number.adjusted() > _MAX_EXPONENT and number:
        return MAX_NUMBER if number > 0 else MIN_PRICE
    shifted = _exact.scaleb(number, digits)
    return max(MIN_PRICE, min(MAX_NUMBER, int(_exact.to_integral_value(shifted))))


def quantity(text: str) -> int:
    """Return the text of a number as the quantity of a packet: whole, from 0 to 2 ** 31 - 1."""
    if len(text) < _SURE_DIGITS and text.isdigit():
        return int(text)
    return max(0, scaled(text, 0))


def price_text(number: int, token: int) -> str:
    """Return the text of a packet's price in rupees.

    Zeros that the segment's prices do not have are left out: 835000000 of CDS is 83.5000.
    """
    digits = scale(token)
    sign, magnitude = ("-", -number) if number < 0 else ("", number)
    whole, part = divmod(magnitude, 10**digits)
    least = _FACTS[token & 255].decimals
    decimals = f"{part:0{digits}d}"
    return f"{sign}{whole}.{decimals[:least]}{decimals[least:].rstrip('0')}"


def seconds(ms: int) -> int:
    """Return Unix milliseconds cut to the second, as a packet has them."""
    return max(0, min(MAX_NUMBER, ms // 1000))


def encode(packet: Packet) -> bytes:
    """Return the bytes of a packet, of the length that its mode and instrument have."""
    if packet.mode == "ltp":
        return _LTP.pack(packet.token, packet.last_price)
    if packet.is_index:
        return _encode_index(packet)
    quote = _quote_values(packet)
    if packet.mode == "quote":
        return _QUOTE.pack(packet.token, *quote)
    head = _FULL.pack(packet.token, *quote, *_full_values(packet))
    return head + _side(packet.buy) + _side(packet.sell)


def _encode_index(packet: Packet) -> bytes:
    head = (
        *(packet.token, packet.last_price, packet.high, packet.low, packet.open),
        *(packet.prev_close, packet.change),
    )
    if packet.mode == "quote":
        return _INDEX_QUOTE.pack(*head)
    return _INDEX_FULL.pack(*head, packet.exchange_time)


def _side(entries: tuple[Entry, ...]) -> bytes:
    """Return the five entries of one side of the depth."""
    if not entries:
        return _NO_ENTRY * DEPTH_LEVELS
    packed = [_ENTRY.pack(one.quantity, one.price, one.orders) for one in entries[:DEPTH_LEVELS]]
    return b"".join(packed) + _NO_ENTRY * (DEPTH_LEVELS - len(packed))


def decode(data: bytes) -> Packet:
    """Return what a packet says.

    Raises:
        BadPacket: no packet has this length, or its token no segment that is served.
    """
    length = len(data)
    if length not in (_LTP.size, _QUOTE.size, _FULL_SIZE, _INDEX_QUOTE.size, _INDEX_FULL.size):
        raise BadPacket(f"a packet must have 8, 28, 32, 44 or 184 bytes, got {length}")
    token, last_price = _LTP.unpack_from(data)
    scale(token)
    if length == _LTP.size:
        return Packet(token=token, mode="ltp", last_price=last_price)
    if length in (_INDEX_QUOTE.size, _INDEX_FULL.size):
        has_time = length == _INDEX_FULL.size
        _, _, high, low, open, prev_close, change = _INDEX_QUOTE.unpack_from(data)
        return Packet(
            token=token,
            mode="full" if has_time else "quote",
            last_price=last_price,
            high=high,
            low=low,
            open=open,
            prev_close=prev_close,
            change=change,
            exchange_time=_INDEX_FULL.unpack_from(data)[-1] if has_time else 0,
        )
    values = dict(zip(_QUOTE_NAMES, _QUOTE.unpack_from(data)[1:], strict=True))
    if length == _QUOTE.size:
        return Packet(token=token, mode="quote", **values)
    behind_quote = _FULL.unpack_from(data)[1 + len(_QUOTE_NAMES) :]
    values |= zip(_FULL_NAMES, behind_quote, strict=True)
    entries = [Entry(*one) for one in _ENTRY.iter_unpack(data[_FULL.size :])]
    return Packet(
        token=token,
        mode="full",
        **values,
        buy=tuple(entries[:DEPTH_LEVELS]),
        sell=tuple(entries[DEPTH_LEVELS:]),
    )


def join_packets(packets: list[bytes]) -> bytes:
    """Return the payload of the frame that holds these packets, at most MAX_PACKETS."""
    pack = _U16.pack
    parts = [pack(len(packets))]
    for one in packets:
        parts += (pack(len(one)), one)
    return b"".join(parts)


def split_packets(payload: bytes) -> list[bytes]:
    """Return the packets of a frame's payload; a heartbeat has none.

    Raises:
        BadPacket: it ends within a packet, or goes on after the last.
    """
    if len(payload) < _U16.size:
        return []
    found = []
    at = _U16.size
    for _ in range(_U16.unpack_from(payload)[0]):
        start = at + _U16.size
        if start > len(payload):
            raise BadPacket(f"a frame must hold all of its packets, ends at {len(payload)}")
        at = start + _U16.unpack_from(payload, at)[0]
        if at > len(payload):
            raise BadPacket(f"a frame must hold all of its packets, ends at {len(payload)}")
        found.append(payload[start:at])
    if at != len(payload):
        raise BadPacket(f"a frame must end after its last packet, has {len(payload) - at} more")
    return found
