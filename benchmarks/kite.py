"""What Kite's clients need of a benchmark: instruments with tokens, and packets that are countable.

`python -m benchmarks.kite FILE` writes a master of all symbols in Kite's format.
"""

import sys
from pathlib import Path

from benchmarks.ticks import symbol_names

SYMBOLS = 1000  # most that a workload with these clients has
# The first byte of every token. No number that the publisher sends has it behind a packet's length.
FIRST_BYTE = 0x5A
# A packet of mode quote begins with its length, 44, and the token: counting these three bytes
# counts packets. They are ASCII, as the steps of clients are.
QUOTE_START = bytes((0, 44, FIRST_BYTE))
_HEAD = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,"
    "lot_size,instrument_type,segment,exchange"
)


def exchange_token(number: int) -> int:
    return (FIRST_BYTE << 16) + number


def token_of(symbol: str) -> int:
    """Return the instrument token of one of the publisher's symbols."""
    return exchange_token(int(symbol.removeprefix("BENCH"))) << 8 | 1


def master() -> str:
    """Return the instruments in the format of Kite's dump."""
    rows = [
        f"{token_of(name)},{token_of(name) >> 8},{name},{name},0,,0,0.05,1,EQ,NSE,NSE"
        for name in symbol_names(SYMBOLS)
    ]
    return "\n".join([_HEAD, *rows]) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(master())
