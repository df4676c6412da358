"""Instrument keys: what one stream of prices is called, as text and as a channel-layer group.

What a name means (aliases, primary listings, the master) is not here but in `instruments/index.py`.
"""

import base64
import re
from dataclasses import dataclass

from instruments.errors import BadSymbol, quoted

MAX_SYMBOL_LENGTH = 64

# The codes of our segments; the rows of the Segment table describe them.
SEGMENTS = ("NSE_EQ", "BSE_EQ", "NFO", "BFO", "CDS", "BCD", "MCX", "NSE_INDEX", "BSE_INDEX")

# Group names: letters, digits, - and _ stand for themselves, "." introduces two hex digits,
# ".." what is base64. Channels allows fewer than 100 characters.
MAX_GROUP_LENGTH = 99
PLAIN = re.compile(rb"[^A-Za-z0-9_-]")
ESCAPED = re.compile(r"\.([0-9a-f]{2})")


def check_symbol(symbol: str) -> str:
    """Return the symbol, or raise BadSymbol.

    A symbol has 1 to 64 printable characters (at most 64 bytes of UTF-8), is not `*`, and neither
    begins nor ends with a space.
    """
    if not symbol or len(symbol.encode("utf-8", "surrogatepass")) > MAX_SYMBOL_LENGTH:
        raise BadSymbol(
            f"a symbol must have 1 to {MAX_SYMBOL_LENGTH} characters, was {quoted(symbol)}"
        )
    if not symbol.isprintable():
        raise BadSymbol(f"a symbol must have printable characters only, was {quoted(symbol)}")
    if symbol == "*" or symbol[0] == " " or symbol[-1] == " ":
        raise BadSymbol(f"not a symbol, was {quoted(symbol)}")
    return symbol


@dataclass(frozen=True, slots=True)
class InstrumentKey:
    """One instrument's lasting name: a segment's code and the symbol as the exchange writes it.

    A name that the master does not know is a stream of its own with an empty segment.
    `str()` gives `NSE_EQ:M&M`, or `AAPL` without a segment; `parse` is the inverse.
    """

    segment: str
    symbol: str

    @classmethod
    def parse(cls, text: str) -> "InstrumentKey":
        """Return the key that prints as `text`; raise BadSymbol."""
        segment, colon, symbol = text.partition(":")
        if colon and segment in SEGMENTS:
            return cls(segment, check_symbol(symbol))
        return cls("", check_symbol(text))

    def __str__(self) -> str:
        return f"{self.segment}:{self.symbol}" if self.segment else self.symbol

    @property
    def group_name(self) -> str:
        """The channel-layer group of this instrument; `from_group_name` is the inverse."""
        symbol = self.symbol.encode()
        escaped = PLAIN.sub(lambda match: b".%02x" % match.group()[0], symbol).decode()
        name = f"{self.segment}.-{escaped}"
        if len(name) > MAX_GROUP_LENGTH:
            name = f"{self.segment}..{base64.urlsafe_b64encode(symbol).decode().rstrip('=')}"
        return name

    @classmethod
    def from_group_name(cls, name: str) -> "InstrumentKey":
        """Return the key whose group name this is; raise BadSymbol for any other text."""
        segment, dot, rest = name.partition(".")
        try:
            if rest.startswith("-"):
                text = ESCAPED.sub(lambda match: chr(int(match.group(1), 16)), rest[1:])
                symbol = text.encode("latin-1").decode()
            else:
                padded = rest[1:] + "=" * (-len(rest[1:]) % 4)
                symbol = base64.urlsafe_b64decode(padded).decode()
            key = cls(segment, check_symbol(symbol))
        except (BadSymbol, ValueError) as error:
            raise BadSymbol(f"not a group of an instrument, was {quoted(name)}") from error
        if not dot or key.group_name != name:
            raise BadSymbol(f"not a group of an instrument, was {quoted(name)}")
        return key
