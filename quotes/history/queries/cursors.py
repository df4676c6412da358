"""Cursors: the place in a list of history behind which its next page begins, as opaque text.

A cursor holds the list that it is of, so that one of another list is refused; it grants nothing.
"""

import base64
import hashlib
from collections.abc import Iterable

import msgspec

from instruments.keys import InstrumentKey
from quotes.errors import BadHistoryQuery, quoted

MAX_LENGTH = 500
MAX_BIGINT = 2**63 - 1


class Place(msgspec.Struct, frozen=True, array_like=True):
    """The last row that was read.

    Attributes:
        list_id: see `list_id`.
        key: of the instrument.
        timestamp: the tick's, or the start of the candle.
        position: the tick's; 0 of a candle.
    """

    list_id: str
    key: str
    timestamp: int
    position: int = 0


def list_id(name: str, keys: Iterable[InstrumentKey]) -> str:
    """Return a short text that stands for a list: its name (`ticks`, `1m`) and instruments."""
    text = "\n".join([name, *map(str, keys)])
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def encode_cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def decode_cursor(text: str, *, list_id: str) -> Place:
    """Return the place that a cursor stands for.

    Raises:
        BadHistoryQuery: it is none, or of another list.
    """
    try:
        if len(text) > MAX_LENGTH:
            raise ValueError
        padded = text.encode() + b"=" * (-len(text) % 4)
        place = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=Place)
        if abs(place.timestamp) > MAX_BIGINT or abs(place.position) > MAX_BIGINT:
            raise ValueError
    except (ValueError, msgspec.MsgspecError) as error:
        raise BadHistoryQuery(f"not a cursor, was {quoted(text)}") from error
    if place.list_id != list_id:
        raise BadHistoryQuery(
            f"the cursor is of another list: follow next as it is, was {quoted(text)}"
        )
    return place
