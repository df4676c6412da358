"""Fyers' symbol masters: `NSE_CM.csv` and its like without a header, and `*_sym_master.json`.

Columns and codes as documented at myapi.fyers.in (symbol master, appendix). Prices are in rupees,
strike -1 means none, the expiry is in seconds since 1970 (a time of the day of expiry in India),
and the tickers of contracts are the exchange's symbols: `NSE:NIFTY26AUG24000CE`. Lots of currencies
and commodities are right in the JSON files only, as lot size * quantity multiplier: the CSV files
have 1 throughout.
"""

from instruments.formats import building
from instruments.formats.cells import (
    Fields,
    day_of_instant,
    decimal,
    positive,
    segment_of,
    spaced,
    text,
    token,
    whole,
)
from instruments.formats.indices import index_symbol
from instruments.formats.rows import CASH, MasterRow, isin_or_none

# The CSV columns by their names in the JSON files; the last three mean nothing yet.
CSV_COLUMNS = (
    *("fyToken", "symDetails", "exInstType", "minLotSize", "tickSize", "isin", "tradingSession"),
    *("lastUpdate", "expiryDate", "symTicker", "exchange", "segment", "exToken", "underSym"),
    *("underExToken", "strikePrice", "optType", "underFyTok"),
)
COLUMNS = frozenset(("fyToken", "symTicker", "exchange", "segment"))

# exchange and segment -> our segment
SEGMENTS = {
    "10 10": "NSE_EQ",
    "12 10": "BSE_EQ",
    "10 11": "NFO",
    "12 11": "BFO",
    "10 12": "CDS",
    "12 12": "BCD",
    "11 20": "MCX",
}
OTHERS = frozenset(("10 20", "12 20"))
INDEX_TYPE = "10"


def parse(fields: Fields) -> MasterRow | None:
    """Return the instrument of a row; None if it is of no segment of ours, or no contract."""
    codes = f"{text(fields, 'exchange')} {text(fields, 'segment')}"
    segment = segment_of(codes, SEGMENTS, OTHERS, column="exchange and segment")
    if segment is None:
        return None
    ticker = text(fields, "symTicker").partition(":")[2]
    lot_size = whole(fields, "minLotSize")
    tick_size = positive(fields, "tickSize")
    exchange_token = token(fields, "exToken")
    if segment in CASH:
        if text(fields, "exInstType") == INDEX_TYPE:
            indices = segment.replace("EQ", "INDEX")
            symbol = index_symbol(indices, ticker.removesuffix("-INDEX"))
            return building.index(indices, symbol=symbol, name=None)
        # The ending is the series on NSE and the group on BSE, where symbols do without.
        symbol, _, series = ticker.rpartition("-")
        return building.share(
            segment,
            symbol=symbol or series,
            series=series if symbol else "",
            name=spaced(fields, "symDetails"),
            lot_size=lot_size,
            tick_size=tick_size,
            exchange_token=exchange_token,
            isin=isin_or_none(text(fields, "isin")),
        )
    option = text(fields, "optType")
    expiry = day_of_instant(fields, "expiryDate", per_second=1)
    if expiry is None and option == "XX":
        return None  # what contracts are about: a currency pair, a commodity
    if lot_size:
        lot_size *= whole(fields, "qtyMultiplier") or 1
    underlying = text(fields, "underSym")
    return building.contract(
        segment,
        symbol=ticker,
        instrument_type="FUT" if option == "XX" else option,
        underlying=underlying,
        expiry=expiry,
        strike=decimal(fields, "strikePrice"),
        name=underlying,
        lot_size=building.told_lot(segment, lot_size),
        tick_size=tick_size,
        exchange_token=exchange_token,
    )
