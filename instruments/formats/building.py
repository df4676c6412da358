"""Rows of the three kinds that there are: indices, shares and contracts."""

from datetime import date
from decimal import Decimal

from instruments.formats.rows import LOW_BYTES, OPTIONS, MasterRow


def kite_token(segment: str, exchange_token: int | None) -> int | None:
    """Return the Kite token of an exchange's token; the formula holds for all of Kite's dumps."""
    return None if exchange_token is None else exchange_token * 256 + LOW_BYTES[segment]


def told_lot(segment: str, lot_size: int | None) -> int | None:
    """Return the lot size, or None for the 1 of a vendor that has it for each such contract."""
    return None if lot_size == 1 and segment in ("CDS", "BCD", "MCX") else lot_size


def index(segment: str, *, symbol: str, name: str | None) -> MasterRow:
    """Return the row of an index of a vendor other than Kite, whose tokens of indices differ."""
    return MasterRow(segment=segment, symbol=symbol, instrument_type="INDEX", name=name)


def share(
    segment: str,
    *,
    symbol: str,
    series: str,
    name: str | None,
    lot_size: int | None,
    tick_size: Decimal | None,
    exchange_token: int | None,
    isin: str | None = None,
) -> MasterRow:
    """Return the row of a share, a fund or a bond.

    Args:
        series: of NSE; what is not of the series EQ has it in its symbol: `CHOLAFIN-D1`.
    """
    ending = "" if segment != "NSE_EQ" or series in ("", "EQ") else f"-{series}"
    return MasterRow(
        segment=segment,
        symbol=symbol if symbol.endswith(ending) else symbol + ending,
        instrument_type="EQ",
        name=name,
        lot_size=lot_size,
        tick_size=tick_size,
        exchange_token=exchange_token,
        instrument_token=kite_token(segment, exchange_token),
        isin=isin,
    )


def contract(
    segment: str,
    *,
    symbol: str,
    instrument_type: str,
    underlying: str,
    expiry: date | None,
    strike: Decimal | None,
    name: str | None,
    lot_size: int | None,
    tick_size: Decimal | None,
    exchange_token: int | None,
) -> MasterRow:
    """Return the row of a future or an option; a future's strike, 0 or less, is dropped."""
    return MasterRow(
        segment=segment,
        symbol=symbol,
        instrument_type=instrument_type,
        name=name,
        underlying=underlying,
        expiry=expiry,
        strike=strike if instrument_type in OPTIONS else None,
        lot_size=lot_size,
        tick_size=tick_size,
        exchange_token=exchange_token,
        instrument_token=kite_token(segment, exchange_token),
    )
