"""Which prices an instrument can have: the one rule, for live prices and for history.

A share, an index or an option is never traded at 0 or below: feeds write 0 where there was no
trade yet. A future may be (crude oil has been). The master says what an instrument is, or else its
segment and its symbol, so that the answer is the same after a contract has expired. A name without
a segment may have any price.
"""

from decimal import Decimal

from instruments.index import index
from instruments.keys import InstrumentKey
from instruments.market import CASH_SEGMENTS, INDEX_SEGMENTS
from instruments.snapshot import OPTIONS
from instruments.symbols import readings


def is_above_zero(key: InstrumentKey) -> bool:
    """Return whether all prices of an instrument are above 0."""
    if not key.segment:
        return False
    if key.segment in CASH_SEGMENTS or key.segment in INDEX_SEGMENTS:
        return True
    entry = index.describe(key)
    if entry is not None:
        return entry.instrument_type in OPTIONS
    return any(contract.instrument_type in OPTIONS for contract in readings(key.symbol))


def can_trade_at(key: InstrumentKey, price: Decimal) -> bool:
    """Return whether an instrument can be traded at a price, in rupees."""
    return price > 0 or not is_above_zero(key)
