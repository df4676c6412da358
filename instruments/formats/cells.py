"""Reading single cells of a vendor's row: text, whole numbers, decimals and days.

A cell is text in a CSV file and any JSON value in the others; floats arrive as Decimal.
"""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TypeGuard

from instruments.errors import quoted
from instruments.formats.rows import BadRow
from instruments.sessions import IST
from instruments.symbols import MONTHS

Fields = Mapping[str, object]

# Few enough digits for decimal arithmetic to keep all of them.
NUMBER = re.compile(r"[+-]?[0-9]{1,14}(\.[0-9]{0,10})?")
TOKEN = re.compile(r"[0-9]{1,18}")
# Days of expiry beyond these are slips of a file, and no date type need hold them.
FIRST_DAY, LAST_DAY = date(1990, 1, 1), date(2099, 12, 31)
# What vendors write into a cell that has nothing to say.
EMPTY = frozenset(("", "NA", "None", "null", "-"))


def text(fields: Fields, column: str) -> str:
    """Return the cell without the space around it; empty for an absent cell."""
    value = fields.get(column)
    if value is None:
        return ""
    if isinstance(value, str):
        value = value.strip()
        return "" if value in EMPTY else value
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise BadRow(f"{column} must be text, got {quoted(value)}")
    return str(value)


def spaced(fields: Fields, column: str) -> str | None:
    """Return the cell with single spaces between its words, or None for an empty cell."""
    return " ".join(text(fields, column).split()) or None


def decimal(fields: Fields, column: str) -> Decimal | None:
    """Return the number in the cell, exactly; None for an empty cell."""
    value = fields.get(column)
    written = f"{value:f}" if is_plain(value) else text(fields, column)
    if not written:
        return None
    if not NUMBER.fullmatch(written):
        raise BadRow(f"{column} must be a number, got {quoted(written)}")
    return Decimal(written)


def is_plain(value: object) -> TypeGuard[Decimal]:
    """Tell whether a float of a JSON file can be written without an exponent."""
    return isinstance(value, Decimal) and value.is_finite() and -20 < value.adjusted() < 20


def positive(fields: Fields, column: str, *, divisor: int = 1) -> Decimal | None:
    """Return the number divided, or None for an empty cell or for 0, which means unknown."""
    value = decimal(fields, column)
    if not value:
        return None
    if value < 0:
        raise BadRow(f"{column} must not be negative, got {quoted(str(value))}")
    return value / divisor


def whole(fields: Fields, column: str) -> int | None:
    """Return the whole number, or None for an empty cell or for 0, which means unknown."""
    value = positive(fields, column)
    if value is None:
        return None
    if value != value.to_integral_value():
        raise BadRow(f"{column} must be a whole number, got {quoted(str(value))}")
    return int(value)


def token(fields: Fields, column: str) -> int | None:
    """Return the exchange's token, or None where the cell holds something else than a number."""
    written = text(fields, column)
    return int(written) or None if TOKEN.fullmatch(written) else None


def day(fields: Fields, column: str) -> date | None:
    """Return the day of `2026-08-25`, `2026-08-25 14:30:00` or `25AUG2026`; None when empty."""
    written = text(fields, column)
    if not written or written.startswith("0001-01-01"):
        return None
    try:
        if written[2:5].upper() in MONTHS and len(written) == 9:
            month = MONTHS.index(written[2:5].upper()) + 1
            found = date(int(written[5:]), month, int(written[:2]))
        else:
            found = date.fromisoformat(written[:10])
    except ValueError as error:
        raise BadRow(f"{column} must be a day, got {quoted(written)}") from error
    return checked_day(column, found)


def day_of_instant(fields: Fields, column: str, *, per_second: int) -> date | None:
    """Return the day in India of an instant, given in parts of a second since 1970."""
    instant = decimal(fields, column)
    if not instant:
        return None
    if not 0 < instant < 10**11 * per_second:
        raise BadRow(f"{column} must be an instant, got {quoted(str(instant))}")
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(instant // per_second))
    return checked_day(column, moment.astimezone(IST).date())


def checked_day(column: str, value: date) -> date:
    if not FIRST_DAY <= value <= LAST_DAY:
        raise BadRow(f"{column} must be a day of 1990 to 2099, got {value}")
    return value


def segment_of(
    found: str, ours: Mapping[str, str], others: Collection[str], *, column: str
) -> str | None:
    """Return our segment for a vendor's code; None for what trades in no segment of ours.

    A code that is neither is more likely a broken row than news, and is refused.
    """
    if found in others:
        return None
    if found not in ours:
        raise BadRow(f"{column} is not a segment, got {quoted(found)}")
    return ours[found]
