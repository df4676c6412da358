"""Ticks: the only parser and the only encoder of price updates.

A number keeps the digits that came in: it is held and sent as the text of a JSON number and never
passes through a binary float. Which stream a tick belongs to and whether it is shown is not here.
"""

import re
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from instruments.errors import BadSymbol
from instruments.keys import check_symbol
from quotes.errors import BadTick, quoted
from quotes.runtime.clock import DAY_MS

# Known optional fields: numbers, or null for "not known" (dropped).
PRICE_FIELDS = ("open", "high", "low", "prev_close", "bid", "ask", "avg_price")
QUANTITY_FIELDS = ("volume", "bid_qty", "ask_qty", "last_qty", "oi")
KNOWN_FIELDS = frozenset(PRICE_FIELDS + QUANTITY_FIELDS)

# Keys of the server's own: a price frame has no `type`, and its numbering is the bridge's.
RESERVED_FIELDS = frozenset({"type", "seq", "epoch"})

# Before this a timestamp is in seconds (1e11 ms is March 1973, 1e11 s is the year 5138).
LEAST_TIMESTAMP = 100_000_000_000
MAX_AHEAD_MS = DAY_MS
MAX_TICK_BYTES = 16_384
MAX_DIGITS = 30

PLAIN_NUMBER_START = frozenset(b"-0123456789")
NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")

# The layout that nearly all publishers send: compact, the three keys in order, known numbers.
# It is taken apart by one match, several times faster than by a decoder.
PLAIN_NUMBER = rb"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,12})?"
USUAL_TICK = re.compile(
    rb'\{"symbol":"([A-Za-z0-9&_-]{1,64})","price":(%b),"timestamp":([1-9][0-9]{11,13})'
    rb'((?:,"(?:%b)":%b){0,%d})\}'
    % (PLAIN_NUMBER, "|".join(sorted(KNOWN_FIELDS)).encode(), PLAIN_NUMBER, len(KNOWN_FIELDS))
)
# What follows the price's key.
USUAL_TAIL = re.compile(
    rb'%b,"timestamp":([1-9][0-9]{11,13})((?:,"(?:%b)":%b){0,%d})\}'
    % (PLAIN_NUMBER, "|".join(sorted(KNOWN_FIELDS)).encode(), PLAIN_NUMBER, len(KNOWN_FIELDS))
)
FIELD_NAME = re.compile(rb',"([a-z_]+)"')

decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
decode_string = msgspec.json.Decoder(str).decode
decode_any = msgspec.json.Decoder().decode
encode_json = msgspec.json.Encoder().encode


class Tick(msgspec.Struct, frozen=True, gc=False):
    """One update of one instrument's price.

    Attributes:
        symbol: the name under which it was published; not yet an instrument key.
        price_text: rupees, the text of a JSON number.
        timestamp: Unix milliseconds, UTC.
        segment: a segment's code or alias that narrows the symbol, or "".
        others: the JSON text of every other key and value, each behind a comma, as they came in.
    """

    symbol: str
    price_text: str
    timestamp: int
    segment: str = ""
    others: bytes = b""

    @property
    def fields(self) -> dict[str, bytes]:
        """Every other key to the JSON text of its value, in the order that came in."""
        values = decode_object(b"{%b}" % self.others[1:])
        return {name: bytes(text) for name, text in values.items()}

    @property
    def price(self) -> Decimal:
        return Decimal(self.price_text)


def parse_tick(payload: bytes, *, now_ms: int, symbol: str = "") -> Tick:
    """Return the tick that a published message holds.

    Args:
        payload: a JSON object with `price`, mostly with `symbol` and `timestamp`.
        now_ms: the time of arrival: taken when the message has no timestamp.
        symbol: taken when the message has none.

    Raises:
        BadTick: it is no tick; the text says why.
    """
    usual = USUAL_TICK.fullmatch(payload)
    if usual is not None:
        name, price, when, others = usual.groups()
        timestamp = int(when)
        if LEAST_TIMESTAMP <= timestamp <= now_ms + MAX_AHEAD_MS and is_each_once(others):
            return Tick(name.decode(), price.decode(), timestamp, "", others)
    return parse_any_tick(payload, now_ms=now_ms, symbol=symbol)


def parse_any_tick(payload: bytes, *, now_ms: int, symbol: str = "") -> Tick:
    """Return the tick of a message in any layout, as `parse_tick` does for the usual one too."""
    if len(payload) > MAX_TICK_BYTES:
        raise BadTick(f"a tick has at most {MAX_TICK_BYTES} bytes, was {len(payload)}")
    try:
        if not payload.isascii():
            payload.decode()
        raw = decode_object(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadTick(f"not a JSON object ({error}), was {quoted(payload)}") from error
    fields: dict[str, bytes] = {}
    price: bytes | None = None
    when: bytes | None = None
    segment = ""
    for name, value in raw.items():
        if name == "price":
            price = bytes(value)
        elif name == "symbol":
            symbol = text_field(name, value)
        elif name == "timestamp":
            when = bytes(value)
        elif name == "segment":
            segment = text_field(name, value)
        elif name in KNOWN_FIELDS:
            text = bytes(value)
            if text != b"null":
                fields[name] = number(name, text)
        elif name not in RESERVED_FIELDS:
            fields[name] = checked(name, value)
    if price is None:
        raise BadTick(f"no price, was {quoted(payload)}")
    try:
        known_symbol(symbol)
    except BadSymbol as error:
        raise BadTick(str(error)) from error
    digits = number("price", price).decode()
    return Tick(symbol, digits, moment(when, now_ms), segment, joined(fields))


def make_tick(*, symbol: str, price: Decimal | str, now_ms: int, **others: Any) -> Tick:
    """Return the tick of these values by the rules of `parse_tick`; None stands for "not given".

    Raises:
        BadTick: a value is not one of a tick.
    """
    values = {"symbol": symbol, "price": str(price), **others}
    # Numbers in quotes are read as numbers: no value passes through a float on the way.
    return parse_tick(
        encode_json(
            {
                name: str(value) if isinstance(value, Decimal) else value
                for name, value in values.items()
                if value is not None
            }
        ),
        now_ms=now_ms,
    )


def encode_tick(tick: Tick, *, symbol: str = "", segment: str = "") -> bytes:
    """Return the price frame: the JSON text that goes to Redis and to every client.

    Args:
        symbol, segment: written instead of the tick's own when given.
    """
    segment = segment or tick.segment
    return b'{"symbol":%b,"price":%b,"timestamp":%d%b%b}' % (
        json_string(symbol or tick.symbol),
        tick.price_text.encode(),
        tick.timestamp,
        segment_text(segment),
        tick.others,
    )


def segment_text(segment: str) -> bytes:
    """Return the text of a segment in a price frame, where it follows the timestamp."""
    return b',"segment":%b' % json_string(segment) if segment else b""


def joined(fields: dict[str, bytes]) -> bytes:
    """Return the text of keys and values as `Tick.others` has it."""
    return b"".join([b",%b:%b" % (json_string(name), text) for name, text in fields.items()])


@lru_cache(maxsize=100_000)
def json_string(text: str) -> bytes:
    return encode_json(text)


def is_each_once(others: bytes) -> bool:
    """Say whether no key of the usual layout comes twice."""
    if others.count(b":") < 2:
        return True
    names = FIELD_NAME.findall(others)
    return len(set(names)) == len(names)


known_symbol = lru_cache(maxsize=100_000)(check_symbol)


def text_field(name: str, value: msgspec.Raw) -> str:
    try:
        return decode_string(value)
    except msgspec.DecodeError as error:
        raise BadTick(f"{name} must be text, was {quoted(bytes(value))}") from error


def number(name: str, text: bytes) -> bytes:
    """Return the text of a JSON number, which may have come in quotes."""
    if text[0] in PLAIN_NUMBER_START and len(text) <= MAX_DIGITS and b"e" not in text.lower():
        return text  # the decoder has seen to the syntax
    if text[:1] == b'"':
        text = text[1:-1]
    if not NUMBER.fullmatch(text):
        raise BadTick(f"{name} must be a finite number, was {quoted(text.decode())}")
    if len(text) > MAX_DIGITS or abs(Decimal(text.decode()).adjusted()) > MAX_DIGITS:
        raise BadTick(f"{name} must have at most {MAX_DIGITS} digits, was {quoted(text.decode())}")
    return text


def moment(value: bytes | None, now_ms: int) -> int:
    if value is None or value == b"null":
        return now_ms
    text = value if value[0] != 34 else value[1:-1]
    if not text.isdigit() or len(text) > 18:
        raise BadTick(f"timestamp must be Unix milliseconds, was {quoted(value.decode())}")
    timestamp = int(text)
    if timestamp < LEAST_TIMESTAMP:
        raise BadTick(f"timestamp must be in milliseconds, not seconds, was {timestamp}")
    if timestamp > now_ms + MAX_AHEAD_MS:
        raise BadTick(f"timestamp must not be in the future, was {timestamp} at {now_ms}")
    return timestamp


def checked(name: str, value: msgspec.Raw) -> bytes:
    """Return the text of an unknown key's value after a look at all of it.

    The decoder of raw values does not look into strings, and what it lets pass would break clients.
    """
    if not name.isprintable():
        raise BadTick(f"keys must be printable, was {quoted(name)}")
    try:
        decode_any(value)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadTick(f"{name} is not JSON ({error})") from error
    return bytes(value)


# Nearly every message of a publisher begins like the one before on its channel and differs from it
# in numbers alone. Such a message is made into a price frame without being taken apart.


def usual_head(symbol: str) -> bytes:
    """Return how each message of a symbol begins in the usual layout, up to the price."""
    return b'{"symbol":%b,"price":' % json_string(symbol)


def usual_frame(
    payload: bytes, head: bytes, segment: bytes, *, now_ms: int
) -> tuple[int, bytes] | None:
    """Return the timestamp and the price frame of a message in the usual layout, else None.

    What `parse_tick` and `encode_tick` together return, at a third of the cost, for a message that
    names the instrument's own symbol and no segment.

    Args:
        head: what the message has to begin with, of `usual_head`.
        segment: of `segment_text`, that of the instrument.
    """
    if not payload.startswith(head):
        return None
    tail = USUAL_TAIL.fullmatch(payload, len(head))
    if tail is None:
        return None
    when, others = tail.groups()
    timestamp = int(when)
    if not LEAST_TIMESTAMP <= timestamp <= now_ms + MAX_AHEAD_MS or not is_each_once(others):
        return None
    if not segment:
        return timestamp, payload
    end = tail.end(1)
    return timestamp, payload[:end] + segment + payload[end:]
