"""Messages of topics as ticks: the contract's own JSON, or other fields by KAFKA_FIELDS.

JSON numbers keep the digits that came in. Avro and Protobuf are in `schemas.py`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from quotes.errors import BadTick, KafkaRefused, quoted
from quotes.ticks import (
    DEPTH_FIELD,
    KNOWN_FIELDS,
    LEAST_TIMESTAMP,
    MAX_TICK_BYTES,
    USUAL_TICK,
    Tick,
    check_timestamp,
    encode_json,
    encode_tick,
    is_each_once,
    parse_any_tick,
)

Headers = Sequence[tuple[str, str | bytes | None]]
Location = Callable[["TopicMessage"], bytes | None]  # returns the JSON text found there, or None

MAPPED = frozenset({"symbol", "price", "timestamp", "segment", DEPTH_FIELD}) | KNOWN_FIELDS
UNITS = {name: Decimal(text) for name, text in (("s", "1e3"), ("us", "1e-3"), ("ns", "1e-6"))}
STEP = re.compile(r"([^.\[\]]+)|\[([0-9]+)\]")

decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class TopicMessage(NamedTuple):
    """A message of a topic.

    Attributes:
        at: its time, Unix milliseconds; 0: the topic keeps no times.
    """

    value: bytes
    key: bytes | None = None
    headers: Headers = ()
    at: int = 0


class TopicTick(NamedTuple):
    """A message as a publisher's tick.

    Attributes:
        name: the name that it is published under.
        tick: None for a frame in the usual layout, whose symbol is the name.
    """

    name: str
    frame: bytes
    timestamp: int
    tick: Tick | None = None


def read_message(message: TopicMessage, *, now_ms: int, ahead_ms: int = 0) -> TopicTick:
    """Return the tick of a message in the contract's JSON.

    For a value without a symbol or timestamp, the message's key or time stands in.

    Args:
        now_ms, ahead_ms: as in `parse_tick`.

    Raises:
        BadTick: it is not a tick; the text says why.
    """
    value = message.value
    if (usual := read_usual(value, now_ms + ahead_ms)) is not None:
        return TopicTick(usual[0], value, usual[1])
    symbol = key_text(message.key)
    # Matters only for values without a timestamp, which are rare.
    if message.at and b'"timestamp"' not in value:
        check_timestamp(message.at, now_ms, ahead_ms)
        tick = parse_any_tick(value, now_ms=message.at, symbol=symbol)
    else:
        tick = parse_any_tick(value, now_ms=now_ms, ahead_ms=ahead_ms, symbol=symbol)
    name = f"{tick.segment}:{tick.symbol}" if tick.segment else tick.symbol
    return TopicTick(name, encode_tick(tick), tick.timestamp, tick)


def read_usual(value: bytes, latest_ms: int) -> tuple[str, int] | None:
    """Return name and timestamp of a value that is its own frame; None if it may not be.

    The encoder writes this layout, so encoding the value again would change nothing. Its price is
    above 0.

    Args:
        latest_ms: the latest timestamp that is accepted.
    """
    usual = USUAL_TICK.fullmatch(value)
    if usual is None:
        return None
    name, _, when, others = usual.groups()
    timestamp = int(when)
    if LEAST_TIMESTAMP <= timestamp <= latest_ms and is_each_once(others):
        return name.decode(), timestamp
    return None


def key_text(key: bytes | None) -> str:
    try:
        return (key or b"").decode()
    except UnicodeDecodeError:
        return ""


class FieldMap:
    """Reads messages whose fields have other names and locations.

    Args:
        text: `symbol=data.instrument, price=data.last, timestamp=header:time, volume=data.v[0]`.
            A location is a path in the JSON, `header:NAME`, or `key`. Other fields are ignored.
        unit: of the timestamps: s, ms, us or ns.

    Raises:
        KafkaRefused: the text is not a list of locations, or has none of the price.
    """

    def __init__(self, text: str, *, unit: str = "ms") -> None:
        self.unit = unit
        self.locations: dict[str, Location] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            field, equals, where = (piece.strip() for piece in part.partition("="))
            if not equals or field not in MAPPED or field in self.locations or not where:
                raise KafkaRefused(f"KAFKA_FIELDS must be field=location, ..., got {quoted(part)}")
            self.locations[field] = locate(where)
        if "price" not in self.locations:
            raise KafkaRefused(
                "KAFKA_FIELDS must give the location of the price, as price=data.last"
            )

    def __call__(self, message: TopicMessage, *, now_ms: int, ahead_ms: int = 0) -> TopicTick:
        """Return the tick of a message; raise BadTick if it is not one."""
        if len(message.value) > MAX_TICK_BYTES:
            raise BadTick(f"a message has at most {MAX_TICK_BYTES} bytes, got {len(message.value)}")
        found = []
        for field, find in self.locations.items():
            try:
                text = find(message)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise BadTick(f"cannot find {field} ({error})") from error
            if text is None:
                continue
            if field == "timestamp" and self.unit != "ms":
                text = in_milliseconds(text, self.unit)
            elif field == "symbol" and not text.startswith(b'"'):
                text = encode_json(text.decode())  # a number, as tokens are
            found.append(b'"%b":%b' % (field.encode(), text))
        message = message._replace(value=b"{%b}" % b",".join(found))
        return read_message(message, now_ms=now_ms, ahead_ms=ahead_ms)


def locate(where: str) -> Location:
    """Return a function that finds the JSON text at a location of a message."""
    if where == "key":
        return lambda message: None if message.key is None else encode_json(message.key.decode())
    if where.startswith("header:"):
        name = where.removeprefix("header:")
        return lambda message: header(message.headers, name)
    path = where.removeprefix("$").removeprefix(".")
    steps: list[str | int] = [int(at) if at else name for name, at in STEP.findall(path)]
    shown = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    if not steps or shown.lstrip(".") != path:
        raise KafkaRefused(
            f"KAFKA_FIELDS must have locations as data.items[0].price, got {where!r}"
        )
    return lambda message: at_path(message.value, steps)


def header(headers: Headers, name: str) -> bytes | None:
    """Return the last header with the name as JSON text."""
    for one, value in reversed(headers):
        if one == name and value is not None:
            return encode_json(value if isinstance(value, str) else value.decode())
    return None


def at_path(value: bytes, steps: Sequence[str | int]) -> bytes | None:
    """Return the JSON text at a path, with its digits; None if it is null or missing."""
    raw: Any = value
    for step in steps:
        if isinstance(step, int):
            items = decode_items(raw)
            if step >= len(items):
                return None
            raw = items[step]
        else:
            raw = decode_fields(raw).get(step)
            if raw is None:
                return None
    text = bytes(raw)
    return None if text == b"null" else text


def in_milliseconds(text: bytes, unit: str) -> bytes:
    """Return a timestamp in milliseconds; it may be a number or a number in quotes."""
    try:
        return b"%d" % int(Decimal(text.decode().strip('"')) * UNITS[unit])
    except (ArithmeticError, ValueError) as error:
        raise BadTick(f"timestamp must be a number, got {quoted(text.decode())}") from error


def values_as_json(values: Mapping[str, Any]) -> bytes:
    """Return a decoded record as JSON; values that JSON cannot hold become null.

    A decimal keeps its digits; a float is written with the fewest digits that identify it.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(name): plain(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [plain(one) for one in value]
        if isinstance(value, Decimal):
            return msgspec.Raw(format(value, "f").encode()) if value.is_finite() else None
        if hasattr(value, "timestamp"):
            return round(value.timestamp() * 1000)
        return value if isinstance(value, str | int | float | None) else None

    return encode_json(plain(values))
