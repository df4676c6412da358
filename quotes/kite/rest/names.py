"""Names of instruments as Kite's REST clients write them: `NSE:INFY`, or an instrument token.

Exchanges are Kite's: indices are under NSE and BSE, as in `NSE:NIFTY 50`.
"""

from collections.abc import Sequence

from instruments import market
from instruments.index import index
from instruments.vendors import token
from quotes.store.latest import Wanted
from quotes.store.requested_names import resolve_names

# Kite's exchange -> segments
EXCHANGES: dict[str, tuple[str, ...]] = {
    "NSE": market.NSE,
    "BSE": market.BSE,
    **{segment: (segment,) for segment in market.DERIVATIVE_SEGMENTS},
}
EXCHANGE_OF = {segment: code for code, segments in EXCHANGES.items() for segment in segments}


def wanted_instruments(names: Sequence[str]) -> dict[str, Wanted]:
    """Return the instruments of names as they were written; unknown ones are left out."""
    found: dict[str, Wanted] = {}
    others = []
    for name in names:
        number = token(name)
        if number is None:
            others.append(name)
        elif (key := index.by_token(number)) is not None:
            found[name] = Wanted(key, str(key))
    found |= resolve_names(others).wanted
    return {name: found[name] for name in dict.fromkeys(names) if name in found}
