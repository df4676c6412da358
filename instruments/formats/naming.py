"""Exchange symbols for the derivatives of vendors that write them in their own way.

The exchange's symbol holds the day of expiry for weekly contracts only. Where a file does not say
which contracts are weekly, the last expiry of a month in the file is the monthly one: exchanges
list the monthly contract before the weekly ones of its month.
"""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

import msgspec

from instruments.formats.rows import OPTIONS, MasterRow, Unnamed
from instruments.symbols import MONTHS, WEEKLY_MONTHS, format_strike

# segment, underlying, options or futures, year, month -> the last expiry of it
MonthEnds = dict[tuple[str, str, bool, int, int], date]


def contract_symbol(
    underlying: str, expiry: date, strike: Decimal | None, instrument_type: str, *, weekly: bool
) -> str:
    """Return the symbol as the exchange writes it: `NIFTY26AUGFUT`, `NIFTY2681124000CE`.

    `symbols.build` does so too and proves that the symbol can be read again, which takes longer
    than all else that a row needs; and it has no weekly futures, which currencies have
    (`USDINR26904FUT`).
    """
    month = WEEKLY_MONTHS[expiry.month - 1] if weekly else MONTHS[expiry.month - 1]
    written = f"{underlying}{expiry:%y}{month}{f'{expiry.day:02}' if weekly else ''}"
    price = "" if strike is None else format_strike(strike)
    return f"{written}{price}{instrument_type}"


def underlying_of(
    symbol: str, expiry: date | None, strike: Decimal | None, instrument_type: str
) -> str:
    """Return what comes before the date in an exchange symbol; empty if the symbol is not one.

    The columns of the row leave a single reading, where the symbol alone may have several.
    """
    if expiry is None:
        return ""
    for weekly in (False, True):
        ending = contract_symbol("", expiry, strike, instrument_type, weekly=weekly)
        if symbol.endswith(ending):
            return symbol.removesuffix(ending)
    return ""


def month_of(row: MasterRow, expiry: date) -> tuple[str, str, bool, int, int]:
    is_option = row.instrument_type in OPTIONS
    return row.segment, row.underlying, is_option, expiry.year, expiry.month


def month_ends(rows: Iterable[Unnamed]) -> MonthEnds:
    """Return the last expiry in each month of each underlying's futures and options."""
    ends: MonthEnds = {}
    for unnamed in rows:
        row = unnamed.row
        if unnamed.weekly is None and row.expiry is not None:
            month = month_of(row, row.expiry)
            ends[month] = max(row.expiry, ends.get(month, row.expiry))
    return ends


def named(unnamed: Unnamed, ends: MonthEnds) -> MasterRow:
    """Return the row with the symbol that the exchange gives it.

    A symbol that the file already writes as the exchange does stays as it is.

    Args:
        ends: what `month_ends` found in the same file.
    """
    row = unnamed.row
    if row.expiry is None:
        return row
    monthly, weekly = (
        contract_symbol(
            row.underlying, row.expiry, row.strike, row.instrument_type, weekly=is_weekly
        )
        for is_weekly in (False, True)
    )
    if row.symbol in (monthly, weekly):
        return row
    is_weekly = unnamed.weekly
    if is_weekly is None:
        is_weekly = ends.get(month_of(row, row.expiry), row.expiry) != row.expiry
    return msgspec.structs.replace(row, symbol=weekly if is_weekly else monthly)
