"""The depth of a tick: what waits to be bought and sold, as the best prices of each side.

    {"buy":[{"price":1573.4,"quantity":5,"orders":1},...],"sell":[...]}

Up to five entries a side, the best first. One parser for every door, and one reader for whoever
encodes a depth otherwise.
"""

import re

import msgspec

from quotes.errors import BadTick
from quotes.json_numbers import PLAIN_NUMBER, number_text

MAX_LEVELS = 5

# The layout that nearly all publishers send, which goes to clients as it is. One match reads it,
# several times faster than a decoder.
_USUAL_ENTRY = rb'\{"price":%b,"quantity":%b,"orders":%b\}' % ((PLAIN_NUMBER,) * 3)
_USUAL_SIDE = rb"\[(?:%b(?:,%b){0,%d})?\]" % (_USUAL_ENTRY, _USUAL_ENTRY, MAX_LEVELS - 1)
_ENTRY = re.compile(r'"price":([^,]+),"quantity":([^,]+),"orders":([^}]+)')
_USUAL_DEPTH = re.compile(rb'\{"buy":%b,"sell":%b\}' % (_USUAL_SIDE, _USUAL_SIDE))


class _RawEntry(msgspec.Struct, gc=False):
    price: msgspec.Raw
    quantity: msgspec.Raw
    orders: msgspec.Raw = msgspec.Raw(b"0")


class _RawDepth(msgspec.Struct):
    buy: list[_RawEntry] | None = None
    sell: list[_RawEntry] | None = None


class DepthEntry(msgspec.Struct, frozen=True, gc=False):
    """One price of a side; each value is the text of a JSON number, the price in rupees."""

    price: str
    quantity: str
    orders: str = "0"


class Depth(msgspec.Struct, frozen=True):
    """Up to MAX_LEVELS entries of each side, the best first."""

    buy: tuple[DepthEntry, ...] = ()
    sell: tuple[DepthEntry, ...] = ()


_decode = msgspec.json.Decoder(_RawDepth).decode


def depth_text(text: bytes) -> bytes:
    """Return the JSON text of a depth in the form of this module.

    Numbers keep their digits. Numbers in quotes are read as numbers, further keys and further
    entries are left out, null is 0, and so is a missing number of orders.

    Raises:
        BadTick: it is no depth; the text says why.
    """
    if _USUAL_DEPTH.fullmatch(text):
        return text
    depth = read_depth(text)
    return b'{"buy":[%b],"sell":[%b]}' % (_side_text(depth.buy), _side_text(depth.sell))


def read_depth(text: bytes) -> Depth:
    """Return the entries of the JSON text of a depth.

    Raises:
        BadTick: it is no depth; the text says why.
    """
    if _USUAL_DEPTH.fullmatch(text):
        buy, _, sell = text.decode().partition('"sell"')
        return Depth(_usual_side(buy), _usual_side(sell))
    try:
        raw = _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadTick(f"depth must have buy and sell, lists of prices ({error})") from error
    return Depth(_side("buy", raw.buy), _side("sell", raw.sell))


def _usual_side(text: str) -> tuple[DepthEntry, ...]:
    return tuple([DepthEntry(*numbers) for numbers in _ENTRY.findall(text)])


def _side(name: str, entries: list[_RawEntry] | None) -> tuple[DepthEntry, ...]:
    return tuple(
        DepthEntry(
            *(
                _number(f"{part} of depth.{name}", bytes(value))
                for part, value in (
                    ("price", one.price),
                    ("quantity", one.quantity),
                    ("orders", one.orders),
                )
            )
        )
        for one in (entries or ())[:MAX_LEVELS]
    )


def _number(name: str, text: bytes) -> str:
    return "0" if text == b"null" else number_text(name, text).decode()


def _side_text(entries: tuple[DepthEntry, ...]) -> bytes:
    return ",".join(
        f'{{"price":{one.price},"quantity":{one.quantity},"orders":{one.orders}}}'
        for one in entries
    ).encode()
