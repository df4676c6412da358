"""Names of channel-layer groups: the group of an instrument's prices, and that of its candles.

Channels allows letters, digits, `-`, `_` and `.`, and fewer than 100 characters; symbols such as
`M&M` and `NIFTY 50` need more, so names are escaped and can be read back.
"""

import base64
import re
from hashlib import sha256

from instruments.errors import BadSymbol, quoted
from instruments.keys import InstrumentKey, check_symbol

MAX_GROUP_LENGTH = 99
# Letters, digits, - and _ stand for themselves, "." introduces two hex digits, ".." base64.
_OTHERS = re.compile(rb"[^A-Za-z0-9_-]")
_ESCAPED = re.compile(r"\.([0-9a-f]{2})")
_CANDLES = "candles."


def price_group(key: InstrumentKey) -> str:
    """Return the group of an instrument's prices; `key_of_price_group` is the inverse."""
    symbol = key.symbol.encode()
    escaped = _OTHERS.sub(lambda match: b".%02x" % match.group()[0], symbol).decode()
    name = f"{key.segment}.-{escaped}"
    if len(name) > MAX_GROUP_LENGTH:
        name = f"{key.segment}..{base64.urlsafe_b64encode(symbol).decode().rstrip('=')}"
    return name


def key_of_price_group(name: str) -> InstrumentKey:
    """Return the key whose price group has this name; raise BadSymbol for any other text."""
    segment, dot, rest = name.partition(".")
    try:
        if rest.startswith("-"):
            text = _ESCAPED.sub(lambda match: chr(int(match.group(1), 16)), rest[1:])
            symbol = text.encode("latin-1").decode()
        else:
            padded = rest[1:] + "=" * (-len(rest[1:]) % 4)
            symbol = base64.urlsafe_b64decode(padded).decode()
        key = InstrumentKey(segment, check_symbol(symbol))
    except (BadSymbol, ValueError) as error:
        raise BadSymbol(f"not a group of an instrument, got {quoted(name)}") from error
    if not dot or price_group(key) != name:
        raise BadSymbol(f"not a group of an instrument, got {quoted(name)}")
    return key


def candle_group(key: InstrumentKey) -> str:
    """Return the group of an instrument's candles; longer names are hashed."""
    group = price_group(key)
    name = _CANDLES + group
    if len(name) > MAX_GROUP_LENGTH:
        name = f"{_CANDLES}.{sha256(group.encode()).hexdigest()}"
    return name
