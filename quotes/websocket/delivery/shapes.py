"""Shapes of a price: which of its fields a client gets, as JSON or as MessagePack.

Each shape of a tick is made once per process, whoever asks first, and kept in the group message.
"""

import json
from decimal import Decimal
from typing import Any

import msgspec

from quotes.ticks import Tick, encode_tick, joined, parse_tick
from quotes.websocket.delivery.day_fields import days

Message = dict[str, Any]

MODES = ("ltp", "quote", "full")
# Behind a mode: with the tick's epoch and number.
NUMBERED = "#"
DAY_FIELDS = frozenset(
    {"open", "high", "low", "prev_close", "change", "change_pct", "volume", "oi"}
)

# A 64-bit float gives back every decimal of so many significant digits (IEEE 754).
EXACT_DIGITS = 15

pack = msgspec.msgpack.Encoder().encode


def json_shape(frame: str, mode: str, key: str = "") -> str:
    """Return the JSON text of a price in a mode: ltp, quote or full.

    Args:
        key: of its instrument; a quote has what is known of its day besides.
    """
    if mode == "full":
        return frame
    tick = parse_tick(frame.encode(), now_ms=2**60)
    fields = {
        name: text for name, text in tick.fields.items() if mode == "quote" and name in DAY_FIELDS
    }
    if mode == "quote":
        fields = days.enriched(key, tick, fields)
    kept = Tick(tick.symbol, tick.price_text, tick.timestamp, tick.segment, joined(fields))
    return encode_tick(kept).decode()


def packed(text: str) -> bytes:
    """Return JSON text as MessagePack, with the same keys.

    MessagePack has no decimals: a number that a 64-bit float gives back digit for digit is a float
    or an integer, any other is text.
    """
    return pack(json.loads(text, parse_float=exact))


def exact(text: str) -> float | str:
    number = Decimal(text)
    return float(text) if len(number.as_tuple().digits) <= EXACT_DIGITS else text


def payload(message: Message, encoding: str, mode: str) -> Any:
    """Return a group message's price in an encoding ("json": str, "msgpack": bytes) and mode."""
    slot = f"{encoding}.{mode}"
    found = message.get(slot)
    if found is None:
        if message["type"] != "quote.tick":
            text = message["frame"]
        else:
            text = json_shape(message["frame"], mode.removesuffix(NUMBERED), message["key"])
            if mode.endswith(NUMBERED):
                text = f'{text[:-1]},"epoch":{message["epoch"]},"seq":{message["seq"]}}}'
        found = message[slot] = text if encoding == "json" else packed(text)
    return found


def payload_array(items: list[Any], encoding: str) -> Any:
    """Return the payloads of many prices as one: a JSON array, or a MessagePack array."""
    if encoding == "json":
        return f"[{','.join(items)}]"
    return array_header(len(items)) + b"".join(items)


def array_header(length: int) -> bytes:
    """Return the header of a MessagePack array."""
    if length < 16:
        return bytes([0x90 | length])
    if length < 65536:
        return b"\xdc" + length.to_bytes(2, "big")
    return b"\xdd" + length.to_bytes(4, "big")
