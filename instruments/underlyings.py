"""Underlyings of futures and options: the index or share whose price is theirs; pure.

`NIFTY` is how the symbols of its contracts begin; the index itself is `NSE_INDEX:NIFTY 50`.
"""

from datetime import date

from instruments import market
from instruments.sessions import today_in_india
from instruments.snapshot import MasterEntry, MasterSnapshot
from instruments.vendors import INDEX_SYMBOLS, SEPARATOR, squeeze

_SPOT_SEGMENTS = (*market.INDEX_SEGMENTS, *market.CASH_SEGMENTS)
_BSE_DERIVATIVES = ("BFO", "BCD")


def spot(snapshot: MasterSnapshot, segment: str, underlying: str) -> MasterEntry | None:
    """Return the index or share on which contracts are written; None: the master has neither.

    Args:
        segment: of the contracts; what their own exchange lists comes first.
        underlying: as the contracts' symbols begin.
    """
    if segment not in market.DERIVATIVE_SEGMENTS or segment == "MCX":
        return None  # GOLD is a commodity there, though a share may have its name
    exchange = "BSE" if segment in _BSE_DERIVATIVES else "NSE"
    squeezed = squeeze(underlying)
    name = INDEX_SYMBOLS.get(squeezed, underlying)
    for code in sorted(_SPOT_SEGMENTS, key=lambda one: not one.startswith(exchange)):
        symbols = snapshot.symbols.get(code, {})
        if code in market.CASH_SEGMENTS:
            found = symbols.get(underlying)
        else:
            found = symbols.get(name) or snapshot.squeezed.get(code, {}).get(squeezed)
        if found is not None:
            return found
    return None


def nearest_futures(
    snapshot: MasterSnapshot, segment: str, underlying: str, today: date | None = None
) -> list[MasterEntry]:
    """Return the futures of an underlying in one segment that are not past, the nearest first."""
    first = today or today_in_india()
    entries = snapshot.chains.get(segment, {}).get(underlying, ())
    return [  # a chain is in the order of expiry
        one for one in entries if one.instrument_type == "FUT" and (one.expiry or first) >= first
    ]


def root_of(snapshot: MasterSnapshot, segment: str, name: str) -> str:
    """Return how the symbols of an underlying's contracts begin in a segment; the name if unknown.

    Args:
        name: the beginning itself, in any case, or a name of the index or share: `NIFTY 50`,
            `NSE_INDEX:NIFTY 50`, `NSE:RELIANCE`.
    """
    roots = snapshot.chains.get(segment, {})
    upper = name.upper()
    if name in roots or not roots:
        return name
    if upper in roots:
        return upper
    text = SEPARATOR.split(upper)[-1]
    if text in roots:
        return text
    squeezed = squeeze(text)
    if not any(squeezed in snapshot.squeezed.get(code, {}) for code in market.INDEX_SEGMENTS):
        return name
    for root in roots:
        entry = spot(snapshot, segment, root)
        if entry is not None and squeeze(entry.symbol) == squeezed:
            return root
    return name
