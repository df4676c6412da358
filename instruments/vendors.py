"""How vendors write names that exchanges write otherwise; pure, without the instrument master.

Fyers   NSE:RELIANCE-EQ, BSE:RELIANCE-A, NSE:NIFTY24APR18000CE, NSE:NIFTY50-INDEX
Upstox  NSE_EQ|INE002A01018, NSE_FO|58072, NSE_INDEX|Nifty 50
Angel   RELIANCE-EQ, NIFTY11APR2418000CE, and tokens within a segment
Dhan    tokens within a segment
"""

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from instruments.symbols import MONTH, MONTHS, SIDE, STRIKE, is_day, is_root

# The indices that vendors name each in their own way, squeezed -> the exchange's name.
INDEX_SYMBOLS = {
    "NIFTY": "NIFTY 50",
    "NIFTY50": "NIFTY 50",
    "BANKNIFTY": "NIFTY BANK",
    "NIFTYBANK": "NIFTY BANK",
    "FINNIFTY": "NIFTY FIN SERVICE",
    "NIFTYFINSERVICE": "NIFTY FIN SERVICE",
    "MIDCPNIFTY": "NIFTY MID SELECT",
    "NIFTYMIDSELECT": "NIFTY MID SELECT",
    "NIFTYNXT50": "NIFTY NEXT 50",
    "NIFTYNEXT50": "NIFTY NEXT 50",
    "INDIAVIX": "INDIA VIX",
    "SENSEX": "SENSEX",
    "BANKEX": "BANKEX",
    "SENSEX50": "SENSEX50",
}

# BSE's groups of shares, which Fyers appends to the symbol.
BSE_GROUPS = frozenset(
    ("A", "B", "E", "F", "G", "M", "MS", "MT", "P", "R", "T", "TS", "W", "X", "XT", "Z", "ZP")
)

MAX_TOKEN_DIGITS = 12
ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]", re.ASCII)
DATED = re.compile(
    rf"(?P<day>[0-9]{{2}}){MONTH}(?P<year>[0-9]{{2}})(?:FUT|{STRIKE}{SIDE})\Z", re.ASCII
)
SEPARATOR = re.compile(r"[:|]")


@dataclass(frozen=True, slots=True)
class DatedContract:
    """A future or an option with its day of expiry; the strike is in rupees, None for futures."""

    underlying: str
    expiry: date
    instrument_type: str
    strike: Decimal | None


def split(name: str) -> tuple[str, str]:
    """Return what precedes the first `:` or `|` and what follows; ("", name) without one.

    Whether the first part is the code of a segment is not known here.
    """
    separator = SEPARATOR.search(name)
    if separator is None:
        return "", name
    return name[: separator.start()], name[separator.end() :]


def cash_symbol(text: str) -> str:
    """Return a share's symbol without the series EQ, which exchanges leave out."""
    while text.endswith("-EQ") and len(text) > 3:
        text = text[:-3]
    return text


def bse_symbol(text: str) -> str:
    """Return a share's symbol without BSE's group; `BAJAJ-AUTO` and the like stay as they are."""
    symbol, _, group = text.rpartition("-")
    return symbol if symbol and group in BSE_GROUPS else text


def squeeze(text: str) -> str:
    """Return an index's name in the form in which vendors' spellings agree: `NIFTY50`."""
    return plain_index(text).replace(" ", "").upper()


def plain_index(text: str) -> str:
    """Return an index's name without what says that it is one."""
    while text.endswith("-INDEX") and len(text) > 6:
        text = text[:-6]
    return text


def index_symbol(text: str) -> str:
    """Return an index's name as the exchange writes it, as far as that is known here."""
    return INDEX_SYMBOLS.get(squeeze(text), plain_index(text))


def token(text: str) -> int | None:
    """Return the exchange's token that the text is, if it is a number."""
    if len(text) <= MAX_TOKEN_DIGITS and text.isascii() and text.isdigit():
        return int(text)
    return None


def is_isin(text: str) -> bool:
    """Return whether the text is an ISIN with the right check digit (ISO 6166)."""
    if len(text) != 12 or not ISIN.fullmatch(text):
        return False
    digits = "".join(str(int(character, 36)) for character in text)
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + position % 2)
        total += value // 10 + value % 10
    return total % 10 == 0


def dated_contract(text: str) -> DatedContract | None:
    """Return the contract that Angel's ROOT DD MMM YY form means, None for any other text.

    Such a name may also be a monthly symbol: `NIFTY24OCT19400CE` is October 2024 at 19400 as the
    exchange writes it and 24 October 2019 at 400 as Angel does. Only the master can tell.
    """
    match = DATED.search(text)
    if match is None or not is_root(text[: match.start()]):
        return None
    year, month, day = (
        2000 + int(match["year"]),
        MONTHS.index(match["month"]) + 1,
        int(match["day"]),
    )
    if not is_day(year, month, day):
        return None
    strike = match["strike"]
    return DatedContract(
        underlying=text[: match.start()],
        expiry=date(year, month, day),
        instrument_type=match["side"] or "FUT",
        strike=None if strike is None else Decimal(strike),
    )
