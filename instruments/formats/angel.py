"""Angel One's scrip master: `OpenAPIScripMaster.json`, one JSON array of texts for all exchanges.

Fields as SmartAPI's documents and public readers of the file have them. Strikes and tick sizes are
in paise, strikes of currencies in rupees * 10,000,000. Contracts are written with the whole day
(`NIFTY25AUG2624000CE`), on BSE and MCX sometimes as the exchange does; nothing says which are
weekly. Shares of NSE end in their series (`RELIANCE-EQ`), indices are of the type AMXIDX, and the
name is no more than the root of the symbol.
"""

from instruments.formats import building
from instruments.formats.cells import (
    Fields,
    day,
    decimal,
    positive,
    segment_of,
    text,
    token,
    whole,
)
from instruments.formats.indices import index_symbol
from instruments.formats.rows import CASH, MasterRow, Unnamed

COLUMNS = frozenset(
    ("token", "symbol", "expiry", "strike", "lotsize", "instrumenttype", "exch_seg")
)
SEGMENTS = {
    "NSE": "NSE_EQ",
    "BSE": "BSE_EQ",
    "NFO": "NFO",
    "BFO": "BFO",
    "CDS": "CDS",
    "BCD": "BCD",
    "MCX": "MCX",
}
OTHERS = frozenset(("NCDEX", "NCO"))
INDEX_TYPES = frozenset(("AMXIDX", "INDEX"))


def parse(fields: Fields) -> MasterRow | Unnamed | None:
    """Return the instrument of a record; None if it is of no segment of ours, or no contract."""
    segment = segment_of(text(fields, "exch_seg"), SEGMENTS, OTHERS, column="exch_seg")
    if segment is None:
        return None
    symbol = text(fields, "symbol")
    vendor_type = text(fields, "instrumenttype")
    lot_size = whole(fields, "lotsize")
    tick_size = positive(fields, "tick_size", divisor=100)
    exchange_token = token(fields, "token")
    if segment in CASH:
        if vendor_type in INDEX_TYPES:
            indices = segment.replace("EQ", "INDEX")
            return building.index(indices, symbol=index_symbol(indices, symbol), name=None)
        return building.share(
            segment,
            symbol=symbol.removesuffix("-EQ") if segment == "NSE_EQ" else symbol,
            series="",
            name=None,
            lot_size=lot_size,
            tick_size=tick_size,
            exchange_token=exchange_token,
        )
    if not vendor_type.startswith(("FUT", "OPT")):
        return None  # what contracts are about: UNDCUR, COMDTY and the like
    underlying = text(fields, "name")
    strike = decimal(fields, "strike")
    if strike is not None:
        strike /= 10_000_000 if segment in ("CDS", "BCD") else 100
    return Unnamed(
        building.contract(
            segment,
            symbol=symbol,
            instrument_type="FUT" if vendor_type.startswith("FUT") else symbol[-2:],
            underlying=underlying,
            expiry=day(fields, "expiry"),
            strike=strike,
            name=underlying,
            lot_size=lot_size,
            tick_size=tick_size,
            exchange_token=exchange_token,
        ),
        None,
    )
