"""Kite's instruments dump: `https://api.kite.trade/instruments`, one CSV for all exchanges.

Columns as documented at kite.trade/docs/connect/v3/market-quotes/#instruments: prices in rupees,
`name` the company of a share and the underlying of a derivative (empty in old dumps). Indices have
the segment INDICES, the type EQ and no tick size.
"""

from instruments.formats.cells import Fields, day, positive, segment_of, spaced, text, token, whole
from instruments.formats.naming import underlying_of
from instruments.formats.rows import DERIVATIVES, INDICES, OPTIONS, BadRow, MasterRow

COLUMNS = frozenset(
    (
        *("instrument_token", "exchange_token", "tradingsymbol", "name", "expiry", "strike"),
        *("tick_size", "lot_size", "instrument_type", "segment", "exchange"),
    )
)

# segment and exchange -> our segment
SEGMENTS = {
    "INDICES NSE": "NSE_INDEX",
    "INDICES BSE": "BSE_INDEX",
    "NSE NSE": "NSE_EQ",
    "BSE BSE": "BSE_EQ",
    **{
        f"{exchange}-{product} {exchange}": exchange
        for exchange in ("NFO", "BFO", "CDS", "BCD", "MCX")
        for product in ("FUT", "OPT")
    },
}
# NSE's commodities, GIFT City and the indices of others.
OTHERS = frozenset(
    (
        *("NCO-FUT NCO", "NCO-OPT NCO", "NCO NCO", "GLOBAL GLOBAL", "INDICES GLOBAL"),
        *("NSEIX NSEIX", "NSEIX-FUT NSEIX", "NSEIX-OPT NSEIX", "INDICES NSEIX"),
        *("INDICES MCX", "INDICES CDS", "INDICES NCO"),
    )
)


def parse(fields: Fields) -> MasterRow | None:
    """Return the instrument of a row, or None if it is of no segment of ours."""
    codes = f"{text(fields, 'segment')} {text(fields, 'exchange')}"
    segment = segment_of(codes, SEGMENTS, OTHERS, column="segment and exchange")
    if segment is None:
        return None
    kind = text(fields, "instrument_type")
    is_index = segment in INDICES
    if is_index and kind != "EQ":
        raise BadRow(f"an index must have instrument_type EQ, got {kind!r:.40}")
    is_derivative = kind in DERIVATIVES
    symbol, name = text(fields, "tradingsymbol"), spaced(fields, "name")
    expiry = day(fields, "expiry") if is_derivative else None
    strike = positive(fields, "strike") if kind in OPTIONS else None
    return MasterRow(
        segment=segment,
        symbol=symbol,
        instrument_type="INDEX" if is_index else kind,
        name=name,
        underlying=(name or underlying_of(symbol, expiry, strike, kind)) if is_derivative else "",
        expiry=expiry,
        strike=strike,
        lot_size=None if is_index else whole(fields, "lot_size"),
        tick_size=None if is_index else positive(fields, "tick_size"),
        exchange_token=token(fields, "exchange_token"),
        instrument_token=token(fields, "instrument_token"),
    )
