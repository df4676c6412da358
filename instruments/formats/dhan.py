"""Dhan's security master: `api-scrip-master.csv` and `api-scrip-master-detailed.csv`.

Columns of both as documented at dhanhq.co/docs/v2/instruments. Tick sizes are in paise, strikes in
rupees (-0.01 for futures); a contract is `NIFTY-Aug2026-24000-CE`, without the day, and the expiry
flag tells weekly (W) from monthly (M) ones. The security ids are the exchanges' tokens, but for
indices. Lots of currencies and commodities are 1 throughout. Shares of NSE have their series
beside the symbol.
"""

from instruments.formats import building
from instruments.formats.cells import (
    Fields,
    day,
    decimal,
    positive,
    segment_of,
    spaced,
    text,
    token,
    whole,
)
from instruments.formats.indices import index_symbol
from instruments.formats.rows import CASH, INDICES, MasterRow, Unnamed, isin_or_none

# what the detailed file calls a column -> what the compact one does
COMPACT = {
    "EXCH_ID": "SEM_EXM_EXCH_ID",
    "SEGMENT": "SEM_SEGMENT",
    "SECURITY_ID": "SEM_SMST_SECURITY_ID",
    "INSTRUMENT": "SEM_INSTRUMENT_NAME",
    "DISPLAY_NAME": "SEM_CUSTOM_SYMBOL",
    "SYMBOL_NAME": "SM_SYMBOL_NAME",
    "SERIES": "SEM_SERIES",
    "LOT_SIZE": "SEM_LOT_UNITS",
    "SM_EXPIRY_DATE": "SEM_EXPIRY_DATE",
    "STRIKE_PRICE": "SEM_STRIKE_PRICE",
    "OPTION_TYPE": "SEM_OPTION_TYPE",
    "TICK_SIZE": "SEM_TICK_SIZE",
    "EXPIRY_FLAG": "SEM_EXPIRY_FLAG",
}
COMPACT_COLUMNS = frozenset((*COMPACT.values(), "SEM_TRADING_SYMBOL"))
DETAILED_COLUMNS = frozenset((*COMPACT, "ISIN", "UNDERLYING_SYMBOL"))

# exchange and segment -> our segment
SEGMENTS = {
    "NSE E": "NSE_EQ",
    "BSE E": "BSE_EQ",
    "NSE D": "NFO",
    "BSE D": "BFO",
    "NSE C": "CDS",
    "BSE C": "BCD",
    "MCX M": "MCX",
    "NSE I": "NSE_INDEX",
    "BSE I": "BSE_INDEX",
}
OTHERS = frozenset(("NSE M", "BSE M", "MCX I", "NCDEX M", "ICEX M"))
WEEKLY = {"W": True, "M": False}


def parse_compact(fields: Fields) -> MasterRow | Unnamed | None:
    """Return the instrument of a row of the compact file, or None if it is not ours."""
    symbol = text(fields, "SEM_TRADING_SYMBOL")
    is_future = text(fields, "SEM_INSTRUMENT_NAME").startswith("FUT")
    # ROOT-Aug2026-FUT or ROOT-Aug2026-24000-CE; the root may hold dashes itself.
    underlying = symbol.rsplit("-", 2 if is_future else 3)[0]
    detailed = {column: fields.get(compact) for column, compact in COMPACT.items()}
    return parse(detailed, symbol=symbol, underlying=underlying)


def parse_detailed(fields: Fields) -> MasterRow | Unnamed | None:
    """Return the instrument of a row of the detailed file, or None if it is not ours."""
    symbol = text(fields, "UNDERLYING_SYMBOL")
    return parse(fields, symbol=symbol, underlying=symbol)


def parse(fields: Fields, *, symbol: str, underlying: str) -> MasterRow | Unnamed | None:
    codes = f"{text(fields, 'EXCH_ID')} {text(fields, 'SEGMENT')}"
    segment = segment_of(codes, SEGMENTS, OTHERS, column="exchange and segment")
    if segment is None:
        return None
    if segment in INDICES:
        name = spaced(fields, "DISPLAY_NAME")
        return building.index(segment, symbol=index_symbol(segment, name or symbol), name=name)
    lot_size = whole(fields, "LOT_SIZE")
    tick_size = positive(fields, "TICK_SIZE", divisor=100)
    exchange_token = token(fields, "SECURITY_ID")
    if segment in CASH:
        return building.share(
            segment,
            symbol=symbol,
            series=text(fields, "SERIES"),
            name=spaced(fields, "SYMBOL_NAME"),
            lot_size=lot_size,
            tick_size=tick_size,
            exchange_token=exchange_token,
            isin=isin_or_none(text(fields, "ISIN")),
        )
    vendor_type = text(fields, "INSTRUMENT")
    return Unnamed(
        building.contract(
            segment,
            symbol=symbol,
            instrument_type="FUT" if vendor_type.startswith("FUT") else text(fields, "OPTION_TYPE"),
            underlying=underlying,
            expiry=day(fields, "SM_EXPIRY_DATE"),
            strike=decimal(fields, "STRIKE_PRICE"),
            name=underlying,
            lot_size=building.told_lot(segment, lot_size),
            tick_size=tick_size,
            exchange_token=exchange_token,
        ),
        WEEKLY.get(text(fields, "EXPIRY_FLAG")),
    )
