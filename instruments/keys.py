"""Instrument keys: the lasting name of an instrument, which is also the name of its stream.

What a name means (aliases, primary listings, the master) is not here but in `instruments/index.py`.
"""

from dataclasses import dataclass

from instruments.errors import BadSymbol, quoted

MAX_SYMBOL_LENGTH = 64

# The codes of our segments; the rows of the Segment table describe them.
SEGMENTS = ("NSE_EQ", "BSE_EQ", "NFO", "BFO", "CDS", "BCD", "MCX", "NSE_INDEX", "BSE_INDEX")


def check_symbol(symbol: str) -> str:
    """Return the symbol, or raise BadSymbol.

    A symbol has 1 to 64 printable characters (at most 64 bytes of UTF-8), is not `*`, and neither
    begins nor ends with a space.
    """
    if not symbol or len(symbol.encode("utf-8", "surrogatepass")) > MAX_SYMBOL_LENGTH:
        raise BadSymbol(
            f"a symbol must have 1 to {MAX_SYMBOL_LENGTH} characters, got {quoted(symbol)}"
        )
    if not symbol.isprintable():
        raise BadSymbol(f"a symbol must have printable characters only, got {quoted(symbol)}")
    if symbol == "*" or symbol[0] == " " or symbol[-1] == " ":
        raise BadSymbol(f"not a symbol, got {quoted(symbol)}")
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
