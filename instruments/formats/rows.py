"""The row that every vendor's file is turned into, and the rules that each row keeps."""

import re
from datetime import date
from decimal import Decimal

import msgspec

from instruments.errors import BadSymbol, quoted
from instruments.keys import check_symbol
from instruments.market import CASH_SEGMENTS, INDEX_SEGMENTS, KITE_SEGMENTS

# The rules of the table's constraints, told before the database would tell them.
MAX_NAME_LENGTH = 200
MAX_STRIKE = Decimal(10) ** 10
MAX_TICK_SIZE = Decimal(10) ** 8
MAX_DECIMALS = 4
MAX_LOT_SIZE = 2**31 - 1
MAX_TOKEN = 2**63 - 1
ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")

CASH = frozenset(CASH_SEGMENTS)
INDICES = frozenset(INDEX_SEGMENTS)
OPTIONS = frozenset(("CE", "PE"))
DERIVATIVES = frozenset(("FUT", "CE", "PE"))

# Kite's token of an instrument is the exchange's token * 256 + this; all indices share 9 and are
# left out: other vendors number indices as they like.
LOW_BYTES = {
    segments[0]: low_byte for low_byte, segments in KITE_SEGMENTS.items() if len(segments) == 1
}


class BadRow(ValueError):
    """A row of a file cannot be an instrument; the text says why."""


class MasterRow(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument as a file describes it. Prices are in rupees.

    None stands for what the file does not say; an import then keeps what the master has.
    """

    segment: str
    symbol: str
    instrument_type: str
    name: str | None = None
    underlying: str = ""
    expiry: date | None = None
    strike: Decimal | None = None
    lot_size: int | None = None
    tick_size: Decimal | None = None
    exchange_token: int | None = None
    instrument_token: int | None = None
    isin: str | None = None


class Unnamed(msgspec.Struct, frozen=True):
    """A derivative whose symbol the file writes in the vendor's own way.

    `weekly` tells whether the exchange writes the day of expiry into the symbol; None when the
    file does not say it, see `naming.py`.
    """

    row: MasterRow
    weekly: bool | None


def isin_or_none(text: str) -> str | None:
    """Return the text if it has the shape of an ISIN: vendors write NA, or names of their own."""
    return text if ISIN.fullmatch(text) else None


def check_row(row: MasterRow) -> MasterRow:
    """Return the row, or raise BadRow if the master could not hold it."""
    kind = row.instrument_type
    if kind not in ("EQ", "INDEX", "FUT", "CE", "PE"):
        raise BadRow(f"not an instrument type, got {quoted(kind)}")
    if (row.segment in CASH) != (kind == "EQ") or (row.segment in INDICES) != (kind == "INDEX"):
        raise BadRow(f"{row.segment} has no instruments of type {kind}")
    try:
        check_symbol(row.symbol)
        if kind in DERIVATIVES:
            check_symbol(row.underlying)
    except BadSymbol as error:
        raise BadRow(str(error)) from error
    if row.name is not None and (not row.name.isprintable() or len(row.name) > MAX_NAME_LENGTH):
        raise BadRow(
            f"a name must be printable and at most 200 characters long, got {quoted(row.name)}"
        )
    if kind in DERIVATIVES and row.expiry is None:
        raise BadRow("a future or an option needs an expiry")
    if kind in OPTIONS:
        if row.strike is None or row.strike <= 0:
            raise BadRow(f"an option needs a positive strike, got {quoted(str(row.strike))}")
        check_price("strike", row.strike, MAX_STRIKE)
    if row.tick_size is not None:
        check_price("tick size", row.tick_size, MAX_TICK_SIZE)
    for what, value, most in (
        ("lot size", row.lot_size, MAX_LOT_SIZE),
        ("exchange token", row.exchange_token, MAX_TOKEN),
        ("instrument token", row.instrument_token, MAX_TOKEN),
    ):
        if value is not None and not 0 < value <= most:
            raise BadRow(f"the {what} must be from 1 to {most}, got {quoted(value)}")
    return row


def check_price(what: str, value: Decimal, most: Decimal) -> None:
    """Raise BadRow unless the value is positive and the table can hold each of its digits."""
    exponent = value.normalize().as_tuple().exponent
    if not 0 < value < most or not isinstance(exponent, int) or exponent < -MAX_DECIMALS:
        raise BadRow(
            f"the {what} must be positive, with at most {MAX_DECIMALS} decimals, got {value!s:.40}"
        )
