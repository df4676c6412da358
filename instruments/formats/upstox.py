"""Upstox's instrument files: `complete.json.gz` and its parts, and the older CSV files.

Fields as documented at upstox.com/developer/api-documentation/instruments. In JSON the tick size
is in paise, strikes are in rupees, `expiry` is the last second of the day in India in
milliseconds, and the symbol of a contract is words (`NIFTY 19650 CE 15 FEB 24`), where `weekly`
says how the exchange writes it. A lot of a currency pair is 1 with a multiplier of 1,000 units.
In CSV prices are in rupees and symbols are the exchange's.
"""

from instruments.formats import building
from instruments.formats.cells import (
    Fields,
    day,
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
from instruments.formats.naming import underlying_of
from instruments.formats.rows import CASH, INDICES, BadRow, MasterRow, Unnamed, isin_or_none

# The one field that each record has.
COLUMNS = frozenset(("instrument_key",))
CSV_COLUMNS = frozenset(
    (
        *("instrument_key", "exchange_token", "tradingsymbol", "expiry", "strike", "tick_size"),
        *("lot_size", "instrument_type", "option_type", "exchange"),
    )
)
SEGMENTS = {
    "NSE_EQ": "NSE_EQ",
    "BSE_EQ": "BSE_EQ",
    "NSE_FO": "NFO",
    "BSE_FO": "BFO",
    "NCD_FO": "CDS",
    "BCD_FO": "BCD",
    "MCX_FO": "MCX",
    "NSE_INDEX": "NSE_INDEX",
    "BSE_INDEX": "BSE_INDEX",
}
# NSE's commodities, indices of others; mutual funds have no segment at all.
OTHERS = frozenset(("NSE_COM", "MCX_INDEX", "GLOBAL_INDEX", "GLOBAL_INDICATOR", ""))


def parse(fields: Fields) -> MasterRow | Unnamed | None:
    """Return the instrument of a JSON record, or None if it is of no segment of ours."""
    segment = segment_of(text(fields, "segment"), SEGMENTS, OTHERS, column="segment")
    if segment is None:
        return None
    symbol, name = text(fields, "trading_symbol"), spaced(fields, "name")
    if segment in INDICES:
        # trading_symbol is the name of some indices and NIFTY for one; the key names all.
        named = text(fields, "instrument_key").partition("|")[2]
        return building.index(segment, symbol=index_symbol(segment, named or symbol), name=name)
    kind = text(fields, "instrument_type")
    lot_size = whole(fields, "lot_size")
    tick_size = positive(fields, "tick_size", divisor=100)
    exchange_token = token(fields, "exchange_token")
    if segment in CASH:
        return building.share(
            segment,
            symbol=symbol,
            series=kind,
            name=name,
            lot_size=lot_size,
            tick_size=tick_size,
            exchange_token=exchange_token,
            isin=isin_or_none(text(fields, "isin")),
        )
    if lot_size and segment in ("CDS", "BCD"):
        lot_size *= whole(fields, "qty_multiplier") or 1
    weekly = fields.get("weekly")
    if weekly is not None and not isinstance(weekly, bool):
        raise BadRow(f"weekly must be true or false, got {weekly!r:.40}")
    return Unnamed(
        building.contract(
            segment,
            symbol=symbol,
            instrument_type=kind,
            underlying=text(fields, "underlying_symbol") or text(fields, "asset_symbol"),
            expiry=day_of_instant(fields, "expiry", per_second=1000),
            strike=decimal(fields, "strike_price"),
            name=name,
            lot_size=lot_size,
            tick_size=tick_size,
            exchange_token=exchange_token,
        ),
        weekly,
    )


def parse_csv(fields: Fields) -> MasterRow | None:
    """Return the instrument of a CSV row, or None if it is of no segment of ours."""
    segment = segment_of(text(fields, "exchange"), SEGMENTS, OTHERS, column="exchange")
    if segment is None:
        return None
    symbol, name = text(fields, "tradingsymbol"), spaced(fields, "name")
    key = text(fields, "instrument_key").partition("|")[2]
    if segment in INDICES:
        return building.index(segment, symbol=index_symbol(segment, key or symbol), name=name)
    lot_size, tick_size = whole(fields, "lot_size"), positive(fields, "tick_size")
    exchange_token = token(fields, "exchange_token")
    if segment in CASH:
        return building.share(
            segment,
            symbol=symbol,
            series="",
            name=name,
            lot_size=lot_size,
            tick_size=tick_size,
            exchange_token=exchange_token,
            isin=isin_or_none(key),
        )
    option = text(fields, "option_type")
    kind = option if option in ("CE", "PE") else text(fields, "instrument_type")[:3]
    expiry, strike = day(fields, "expiry"), decimal(fields, "strike")
    return building.contract(
        segment,
        symbol=symbol,
        instrument_type=kind,
        underlying=underlying_of(symbol, expiry, None if kind == "FUT" else strike, kind),
        expiry=expiry,
        strike=strike,
        name=name,
        lot_size=lot_size,
        tick_size=tick_size,
        exchange_token=exchange_token,
    )
