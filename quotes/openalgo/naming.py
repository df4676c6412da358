"""From the names of OpenAlgo's clients to names by which every door finds an instrument.

A name that the master does not have is a stream of its own, as at every door, unless the master has
its instrument under another spelling: a client looks for prices under the name that it sent.
"""

from instruments.errors import UnknownSymbol, quoted
from instruments.index import index
from instruments.keys import InstrumentKey, check_symbol
from quotes.openalgo.symbols import SEGMENTS, find, name_of


def requested_name(exchange: str, symbol: str) -> str:
    """Return the name by which `index.resolve` and Redis find an instrument; no I/O.

    Args:
        exchange: one of SEGMENTS.

    Raises:
        BadSymbol: the text can be no symbol.
        UnknownSymbol: the master has the instrument, but OpenAlgo names it otherwise.
    """
    snapshot = index.snapshot
    entry = find(snapshot, exchange, symbol)
    if entry is not None:
        return str(entry.key)
    segment = SEGMENTS[exchange]
    check_symbol(symbol)
    # A price that was published without a segment counts as one of NSE.
    name = symbol if exchange == "NSE" else f"{segment}:{symbol}"
    key = index.resolve(name)
    meant = [key] if index.describe(key) is not None else index.spellings(symbol, segment=segment)
    if meant:
        other = name_of(snapshot, meant[0])
        raise UnknownSymbol(
            f"not a symbol of {exchange}: write {other.symbol} of {other.exchange}, "
            f"got {quoted(symbol)}"
        )
    if exchange == "NSE" and key != InstrumentKey("", symbol):
        raise UnknownSymbol(f"not a symbol of {exchange}, got {quoted(symbol)}")
    return name
