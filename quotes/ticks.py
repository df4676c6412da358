"""Ticks: the only parser and the only encoder of price updates.

A number keeps the digits that came in: it is held and sent as the text of a JSON number and never
passes through a binary float. The bridge decides which stream a tick belongs to and whether clients
get it.
"""

import re
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from instruments.errors import BadSymbol
from instruments.keys import check_symbol
from quotes.depth import depth_text
from quotes.errors import BadTick, quoted
from quotes.json_numbers import JSON_NUMBER, MAX_DIGITS, PLAIN_NUMBER, number_text
from quotes.runtime.clock import IST_MS, MINUTE_MS
from quotes.runtime.speedups import accelerated

# Optional fields with a meaning: numbers, or null, which drops the field.
PRICE_FIELDS = ("open", "high", "low", "prev_close", "bid", "ask", "avg_price")
QUANTITY_FIELDS = ("volume", "bid_qty", "ask_qty", "last_qty", "buy_qty", "sell_qty", "oi")
TIME_FIELDS = ("last_trade_time",)  # Unix milliseconds
KNOWN_FIELDS = frozenset(PRICE_FIELDS + QUANTITY_FIELDS + TIME_FIELDS)
# The one field with a meaning that is no number; see `quotes/depth.py`.
DEPTH_FIELD = "depth"

# Keys of the server's own: a price frame has no `type`, and its numbering is the bridge's.
RESERVED_FIELDS = frozenset({"type", "seq", "epoch"})

# Before this a timestamp is in seconds (1e11 ms is March 1973, 1e11 s is the year 5138).
LEAST_TIMESTAMP = 100_000_000_000
MAX_TICK_BYTES = 16_384
# Deepest nesting of lists and objects in a value: clients' decoders and the encoders here have
# limits of their own, and differ.
MAX_DEPTH = 32
# More than symbol, price, timestamp and a segment of the master take in a price frame, with their
# keys: a frame is this much longer than `others` at most, and the message of a tick that was taken
# may gain this much on its way to the bridge.
_HEAD_BYTES = 512

_NESTING_START = frozenset(b"[{")
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"')
_BRACKETS = re.compile(rb"[\[\]{}]")
# What writers of JSON put where a number is not known, outside of strings.
_NOT_FINITE = re.compile(rb'("(?:[^"\\]|\\.)*")|-?\b(?:NaN|Infinity)\b')
# Texts that stand for no value in a field of KNOWN_FIELDS, in small letters.
_NO_VALUE = frozenset(b" - -- na n/a nan null none inf -inf infinity -infinity".split(b" "))
_BOM = b"\xef\xbb\xbf"

# The layout that nearly all publishers send: compact, the three keys in order, then numbers under
# names in small letters, which go to clients as they are. One match reads it, several times faster
# than a decoder. Prices from 0 down are not of it: only the slower ways look whether such a price
# is a trade.
_USUAL_PRICE = rb"(?:[1-9][0-9]{0,14}(?:\.[0-9]{1,12})?|0\.(?=0*[1-9])[0-9]{1,12})"
_USUAL_FIELD = rb',"(?!(?:%b)")[a-z][a-z0-9_]{0,31}":%b' % (
    "|".join(
        sorted(RESERVED_FIELDS | {"symbol", "price", "timestamp", "segment", DEPTH_FIELD})
    ).encode(),
    PLAIN_NUMBER,
)
_MAX_USUAL_FIELDS = 16
USUAL_TICK = re.compile(
    rb'\{"symbol":"([A-Za-z0-9&_-]{1,64})","price":(%b),"timestamp":([1-9][0-9]{11,13})'
    rb"((?:%b){0,%d})\}" % (_USUAL_PRICE, _USUAL_FIELD, _MAX_USUAL_FIELDS)
)
# What follows the price's key. The way without other fields is apart: most messages have none, and
# a repetition costs as much to enter as all before it.
_USUAL_TAIL = re.compile(
    rb'%b,"timestamp":([1-9][0-9]{11,13})(?:\}|((?:%b){1,%d})\})'
    % (_USUAL_PRICE, _USUAL_FIELD, _MAX_USUAL_FIELDS)
)
_FIELD_NAME = re.compile(rb',"([a-z0-9_]+)"')

decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_string = msgspec.json.Decoder(str).decode
_decode_any = msgspec.json.Decoder().decode
encode_json = msgspec.json.Encoder().encode


class Tick(msgspec.Struct, frozen=True, gc=False):
    """One update of one instrument's price.

    Attributes:
        symbol: the name under which it was published; not yet an instrument key.
        price_text: rupees, the text of a JSON number.
        timestamp: Unix milliseconds, UTC.
        segment: a segment's code or alias that narrows the symbol, or "".
        others: the JSON text of every other key and value, each after a comma, as received.
        unknown: fields that were dropped because the publisher wrote no number ("", NaN), or no
            depth.
        has_time: False if the message had no timestamp, so that it is the time of arrival.
    """

    symbol: str
    price_text: str
    timestamp: int
    segment: str = ""
    others: bytes = b""
    unknown: tuple[str, ...] = ()
    has_time: bool = True

    @property
    def fields(self) -> dict[str, bytes]:
        """Every other key to the JSON text of its value, in the order received."""
        values = decode_object(b"{%b}" % self.others[1:])
        return {name: bytes(text) for name, text in values.items()}

    @property
    def price(self) -> Decimal:
        return Decimal(self.price_text)

    @property
    def is_from_zero_down(self) -> bool:
        """Whether the price is 0 or negative; quick for other prices."""
        # The text of a number from 1 up begins with a greater digit.
        return self.price_text < "1" and self.price <= 0


def parse_tick(payload: bytes, *, now_ms: int, ahead_ms: int = 0, symbol: str = "") -> Tick:
    """Return the tick in a published message.

    Args:
        payload: a JSON object with `price`, usually with `symbol` and `timestamp`.
        now_ms: the time of arrival, used when the message has no timestamp.
        ahead_ms: how far the timestamp may be after it: `conf.max_ahead_ms` for a publisher's tick.
        symbol: used when the message has no symbol.

    Raises:
        BadTick: the message is not a valid tick; the text says why.
    """
    usual = USUAL_TICK.fullmatch(payload)
    if usual is not None:
        name, price, when, others = usual.groups()
        timestamp = int(when)
        if LEAST_TIMESTAMP <= timestamp <= now_ms + ahead_ms and is_each_once(others):
            return Tick(name.decode(), price.decode(), timestamp, "", others)
    return parse_any_tick(payload, now_ms=now_ms, ahead_ms=ahead_ms, symbol=symbol)


def parse_any_tick(payload: bytes, *, now_ms: int, ahead_ms: int = 0, symbol: str = "") -> Tick:
    """Return the tick of a message in any layout, more slowly than `parse_tick`.

    What plainly means a tick is one: a byte order mark before it is passed over, a time with a
    fraction is cut to the millisecond, and a field without a number ("", NaN), or a depth of any
    other form than ours, is `unknown`.
    """
    plain = plain_json(payload)
    if len(payload) > MAX_TICK_BYTES + _HEAD_BYTES:
        raise _too_long(len(payload))
    try:
        if not payload.isascii():
            payload.decode()
        raw = decode_object(plain)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadTick(f"not a JSON object ({error}), got {quoted(payload)}") from error
    fields: dict[str, bytes] = {}
    price: bytes | None = None
    when: bytes | None = None
    segment = ""
    unknown = []
    for name, value in raw.items():
        if name == "price":
            price = bytes(value)
        elif name == "symbol":
            symbol = _text_field(name, value)
        elif name == "timestamp":
            when = bytes(value)
        elif name == "segment":
            segment = _text_field(name, value)
        elif name in KNOWN_FIELDS:
            text = bytes(value)
            if text.lower().strip(b'" ') in _NO_VALUE:
                if text != b"null" or plain is not payload:
                    unknown.append(name)
            else:
                fields[name] = number_text(name, text)
        elif name == DEPTH_FIELD:
            if (text := bytes(value)) != b"null":
                try:
                    fields[name] = depth_text(text)
                except BadTick:
                    unknown.append(name)  # no reason to lose the price
        elif name not in RESERVED_FIELDS:
            fields[name] = checked(name, value)
    if price is None:
        raise BadTick(f"no price, got {quoted(payload)}")
    try:
        _check_symbol(symbol)
    except BadSymbol as error:
        raise BadTick(str(error)) from error
    digits = number_text("price", price).decode()
    others = joined(fields)
    if len(payload) > MAX_TICK_BYTES - _HEAD_BYTES:
        length = len(others) + len(segment_text(segment))
        if length > MAX_TICK_BYTES:
            raise _too_long(length)
    has_time = when is not None and when != b"null"
    timestamp = _moment(when, now_ms, ahead_ms) if when is not None and has_time else now_ms
    return Tick(symbol, digits, timestamp, segment, others, tuple(unknown), has_time)


def plain_json(payload: bytes) -> bytes:
    """Return JSON without a byte order mark, and with null for NaN and Infinity."""
    payload = payload.removeprefix(_BOM)
    if b"NaN" not in payload and b"Infinity" not in payload:
        return payload
    return _NOT_FINITE.sub(lambda found: found[1] or b"null", payload)


def _too_long(length: int) -> BadTick:
    return BadTick(f"a tick must have at most {MAX_TICK_BYTES} bytes, got {length}")


def read_frame(frame: bytes) -> Tick:
    """Return the tick of a price frame that a bridge made; its values are checked already.

    Raises:
        BadTick: it is not a price frame.
    """
    usual = USUAL_TICK.fullmatch(frame)
    if usual is not None:
        name, price, when, others = usual.groups()
        return Tick(name.decode(), price.decode(), int(when), "", others)
    try:
        fields = {name: bytes(text) for name, text in decode_object(frame).items()}
        symbol = _decode_string(fields.pop("symbol"))
        price = fields.pop("price")
        when = fields.pop("timestamp")
        segment = _decode_string(fields.pop("segment", b'""'))
        return Tick(symbol, price.decode(), int(when), segment, joined(fields))
    except (msgspec.DecodeError, RecursionError, KeyError, ValueError) as error:
        raise BadTick(f"not a price frame ({error!r}), got {quoted(frame)}") from error


def make_tick(
    *, symbol: str, price: Decimal | str, now_ms: int, ahead_ms: int = 0, **others: Any
) -> Tick:
    """Return the tick of these values by the rules of `parse_tick`; values of None are left out.

    Raises:
        BadTick: a value is not valid in a tick; the text says why.
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
        ahead_ms=ahead_ms,
    )


def encode_tick(tick: Tick, *, symbol: str = "", segment: str = "") -> bytes:
    """Return the price frame: the JSON text that goes to Redis and to every client.

    Args:
        symbol, segment: written instead of the tick's own, unless empty.
    """
    segment = segment or tick.segment
    return b'{"symbol":%b,"price":%b,"timestamp":%d%b%b}' % (
        _json_string(symbol or tick.symbol),
        tick.price_text.encode(),
        tick.timestamp,
        segment_text(segment),
        tick.others,
    )


def segment_text(segment: str) -> bytes:
    """Return the text of a segment in a price frame, where it follows the timestamp."""
    return b',"segment":%b' % _json_string(segment) if segment else b""


def joined(fields: dict[str, bytes]) -> bytes:
    """Return the text of keys and values in the form of `Tick.others`."""
    return b"".join([b",%b:%b" % (_json_string(name), text) for name, text in fields.items()])


@lru_cache(maxsize=100_000)
def _json_string(text: str) -> bytes:
    return encode_json(text)


def is_each_once(others: bytes) -> bool:
    """Return whether no key of the usual layout comes twice."""
    if others.count(b":") < 2:
        return True
    names = _FIELD_NAME.findall(others)
    return len(set(names)) == len(names)


_check_symbol = lru_cache(maxsize=100_000)(check_symbol)


def _text_field(name: str, value: msgspec.Raw) -> str:
    try:
        return _decode_string(value)
    except msgspec.DecodeError as error:
        raise BadTick(f"{name} must be text, got {quoted(bytes(value))}") from error


def _moment(value: bytes, now_ms: int, ahead_ms: int) -> int:
    text = value if value[0] != 34 else value[1:-1]
    if text.isdigit() and len(text) <= 18:
        return check_timestamp(int(text), now_ms, ahead_ms)
    # A program that computes with floats writes 1712331900000.0, or 1.7123319e12.
    if len(text) <= MAX_DIGITS and JSON_NUMBER.fullmatch(text):
        moment = Decimal(text.decode())
        if moment.adjusted() < 18:
            return check_timestamp(int(moment), now_ms, ahead_ms)
    raise BadTick(f"timestamp must be Unix milliseconds, got {quoted(value.decode())}")


def check_timestamp(timestamp: int, now_ms: int, ahead_ms: int) -> int:
    """Return the timestamp; raise BadTick if it is too far ahead, or not in milliseconds."""
    if timestamp < LEAST_TIMESTAMP:
        raise BadTick(f"timestamp must be in milliseconds, not seconds, got {timestamp}")
    if timestamp > now_ms + ahead_ms:
        raise BadTick(_ahead_text(timestamp, now_ms, ahead_ms))
    return timestamp


def _ahead_text(timestamp: int, now_ms: int, ahead_ms: int) -> str:
    """Return why a timestamp is too far ahead, and the usual cause where it is this one."""
    text = (
        f"timestamp must be at most {ahead_ms / 1000:g} s ahead of the server's clock, "
        f"got {(timestamp - now_ms) / 1000:g} s ahead ({timestamp} at {now_ms})"
    )
    if abs(timestamp - now_ms - IST_MS) <= max(ahead_ms, MINUTE_MS):
        text += "; this looks like Indian time written as UTC: subtract 5 hours 30 minutes"
    return text


def checked(name: str, value: msgspec.Raw) -> bytes:
    """Return the text of any other key's value after checking all of it.

    The decoder of raw values does not check strings, and invalid ones would break clients.
    """
    if not name.isprintable():
        raise BadTick(f"keys must be printable, got {quoted(name)}")
    if depth_of(bytes(value)) > MAX_DEPTH:
        raise BadTick(f"{name} must be nested at most {MAX_DEPTH} deep, got {quoted(bytes(value))}")
    try:
        _decode_any(value)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadTick(f"{name} must be valid JSON ({error})") from error
    return bytes(value)


def depth_of(value: bytes) -> int:
    """Return how deep lists and objects are nested in the text of a JSON value."""
    if value[0] not in _NESTING_START:
        return 0
    depth = deepest = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", value)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


# Nearly every message of a publisher begins like the previous one on its channel and differs in
# numbers alone. Such a message becomes a price frame without being parsed.


def usual_head(symbol: str) -> bytes:
    """Return the beginning of each message of a symbol in the usual layout, up to the price."""
    return b'{"symbol":%b,"price":' % _json_string(symbol)


@accelerated
def usual_frame(
    payload: bytes, head: bytes, segment: bytes, *, latest_ms: int
) -> tuple[int, bytes] | None:
    """Return the timestamp and the price frame of a message in the usual layout, else None.

    The frame is that of `parse_tick` and `encode_tick` together, at a third of the cost, for a
    message with the instrument's own symbol and no segment.

    Args:
        head: the beginning of the message, from `usual_head`.
        segment: the instrument's, from `segment_text`.
        latest_ms: the latest timestamp that is accepted.
    """
    if not payload.startswith(head):
        return None
    tail = _USUAL_TAIL.fullmatch(payload, len(head))
    if tail is None:
        return None
    when, others = tail.groups()
    timestamp = int(when)
    if not LEAST_TIMESTAMP <= timestamp <= latest_ms or (others and not is_each_once(others)):
        return None
    if not segment:
        return timestamp, payload
    end = tail.end(1)
    return timestamp, payload[:end] + segment + payload[end:]
