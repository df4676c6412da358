"""Cursors: the position in a list of history after which the next page begins, as opaque text.

A cursor names its list, so that a cursor of another list is refused. It grants no access.
"""

import base64
import hashlib
from collections.abc import Iterable

import msgspec

from instruments.keys import InstrumentKey
from quotes.errors import BadHistoryQuery, quoted

_MAX_LENGTH = 500
# A page begins after its cursor: one more is still a number of the database.
_MOST = 2**63 - 2


class PagePosition(msgspec.Struct, frozen=True, array_like=True):
    """The position of the last row of a page.

    Attributes:
        list_id: see `list_id`.
        key: the instrument's.
        timestamp: of the tick, or the start of the candle; Unix milliseconds.
        position: of the tick; 0 for a candle.
    """

    list_id: str
    key: str
    timestamp: int
    position: int = 0


def list_id(name: str, keys: Iterable[InstrumentKey]) -> str:
    """Return a short digest of a list: of its name (`ticks`, `1m`) and instruments."""
    text = "\n".join([name, *map(str, keys)])
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def encode_cursor(position: PagePosition) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def decode_cursor(text: str, *, list_id: str) -> PagePosition:
    """Return the position that a cursor holds.

    Raises:
        BadHistoryQuery: the text is not a cursor, or a cursor of another list.
    """
    try:
        if len(text) > _MAX_LENGTH:
            raise ValueError
        padded = text.encode() + b"=" * (-len(text) % 4)
        position = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=PagePosition)
        if abs(position.timestamp) > _MOST or abs(position.position) > _MOST:
            raise ValueError
    except (ValueError, msgspec.MsgspecError) as error:
        raise BadHistoryQuery(f"not a cursor, got {quoted(text)}") from error
    if position.list_id != list_id:
        raise BadHistoryQuery(
            f"the cursor belongs to another list: use next unchanged, got {quoted(text)}"
        )
    return position
