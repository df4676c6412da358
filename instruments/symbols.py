"""The grammar of trading symbols: futures and options as the exchanges write them, read and built.

    monthly   ROOT YY MMM FUT            RELIANCE24APRFUT
              ROOT YY MMM STRIKE CE|PE   NIFTY24APR18000CE, USDINR24APR83.5CE
    weekly    ROOT YY M DD STRIKE CE|PE  NIFTY2441118000CE is 11 April 2024; M is 1-9, O, N, D

A root may end in digits, so a weekly symbol can have several readings; `readings` gives all of
them. Pure: whether the instrument master has a symbol is asked elsewhere, and first.
"""

import re
from collections.abc import Container, Iterator
from datetime import date
from decimal import Decimal

import msgspec

from instruments.errors import AmbiguousSymbol, BadSymbol, quoted
from instruments.keys import MAX_SYMBOL_LENGTH

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKLY_MONTHS = "123456789OND"

# Derivatives have been traded in India since 2000, and no contract runs for more than some five
# years. A year past the last is the middle of other digits: NIFTY2441118000CE is not of 2044.
FIRST_YEAR, LAST_YEAR = 2000, 2039

# No leading zero and no trailing one after the point: a strike is written in one way only.
STRIKE = r"(?P<strike>[1-9][0-9]*(?:\.[0-9]*[1-9])?|0\.[0-9]*[1-9])"
SIDE = r"(?P<side>CE|PE)"
MONTH = rf"(?P<month>{'|'.join(MONTHS)})"

MONTHLY = re.compile(rf"(?P<year>[0-9]{{2}}){MONTH}(?:FUT|{STRIKE}{SIDE})\Z")
WEEKLY = re.compile(
    rf"(?P<year>[0-9]{{2}})(?P<month>[{WEEKLY_MONTHS}])(?P<day>[0-9]{{2}}){STRIKE}{SIDE}\Z"
)
# All that a weekly symbol has after its root, and whatever of the root looks like it.
WEEKLY_TAIL = re.compile(rf"[.0{WEEKLY_MONTHS}]+(?:CE|PE)\Z")
# With a letter in it, and not ending in a monthly code: no contract is on a contract.
ROOT = re.compile(
    r"(?![&. -])[0-9&. -]*[A-Z](?:[A-Z0-9&. -]*[A-Z0-9])?"
    rf"(?<![0-9]{{2}}(?:{'|'.join(MONTHS)}))",
    re.ASCII,
)


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """What a trading symbol says of a future or an option.

    Attributes:
        underlying: the symbol's root, `NIFTY`.
        instrument_type: FUT, CE or PE.
        year, month: of the expiry; 2000 to 2039.
        day: of the expiry, for a weekly option; a monthly symbol does not tell.
        strike: in rupees, for options.
    """

    underlying: str
    instrument_type: str
    year: int
    month: int
    day: int | None = None
    strike: Decimal | None = None

    def __str__(self) -> str:
        day = "" if self.day is None else f"{self.day} "
        terms = "FUT" if self.strike is None else f"{self.strike:f} {self.instrument_type}"
        return f"{self.underlying} {day}{MONTHS[self.month - 1].title()} {self.year} {terms}"

    def expires_on(self, expiry: date) -> bool:
        """Return whether a contract of this expiry may be the one that the symbol means."""
        return (self.year, self.month) == (expiry.year, expiry.month) and (
            self.day in (None, expiry.day)
        )


def readings(symbol: str, *, roots: Container[str] | None = None) -> list[Contract]:
    """Return every contract that the symbol can mean, the one with the shortest root first.

    Args:
        symbol: as an exchange writes it; what is no symbol of a future or option has no reading.
        roots: the underlyings that exist, where that is known; no other root is read.
    """
    return [
        reading for reading in _readings(symbol) if roots is None or reading.underlying in roots
    ]


def parse(symbol: str, *, roots: Container[str] | None = None) -> Contract:
    """Return the one contract that the symbol means.

    Args:
        symbol: as an exchange writes it.
        roots: the underlyings that exist, where that is known; no other root is read.

    Raises:
        BadSymbol: it is not the symbol of a future or an option.
        AmbiguousSymbol: more than one reading fits; the text lists them.
    """
    found = readings(symbol, roots=roots)
    if not found:
        raise BadSymbol(f"not the symbol of a future or an option, got {quoted(symbol)}")
    if len(found) > 1:
        raise ambiguous(symbol, found)
    return found[0]


def ambiguous(symbol: str, found: list[Contract]) -> AmbiguousSymbol:
    """Return the error that lists the readings of a symbol."""
    listed = " or ".join(map(str, found))
    return AmbiguousSymbol(f"ambiguous, it can mean {listed}, got {quoted(symbol)}")


def build(contract: Contract) -> str:
    """Return the trading symbol of a contract; one of its `readings` is the contract.

    Raises:
        BadSymbol: no exchange writes such a contract.
    """
    future = contract.instrument_type == "FUT"
    if future != (contract.strike is None) or (future and contract.day is not None):
        raise BadSymbol(
            f"a future has neither strike nor day, an option has a strike, got {contract!r}"
        )
    if not 1 <= contract.month <= 12:
        raise BadSymbol(f"a month is 1 to 12, got {contract!r}")
    year = f"{contract.year % 100:02}"
    if contract.day is None:
        expiry = year + MONTHS[contract.month - 1]
    else:
        expiry = f"{year}{WEEKLY_MONTHS[contract.month - 1]}{contract.day:02}"
    strike = "" if contract.strike is None else format_strike(contract.strike)
    symbol = f"{contract.underlying}{expiry}{strike}{contract.instrument_type}"
    if contract not in _readings(symbol):
        raise BadSymbol(f"no such contract can be written, got {contract!r}")
    return symbol


def format_strike(strike: Decimal) -> str:
    """Return a strike as trading symbols have it: 18000, 83.5."""
    text = f"{strike:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _readings(symbol: str) -> Iterator[Contract]:
    if len(symbol) > MAX_SYMBOL_LENGTH or not symbol.endswith(("CE", "PE", "FUT")):
        return
    monthly = MONTHLY.search(symbol)
    if monthly is not None:
        matches = [monthly]
    else:
        tail = WEEKLY_TAIL.search(symbol)
        first, last = tail.span() if tail else (0, 0)
        starts = range(first, last)
        matches = [match for start in starts if (match := WEEKLY.match(symbol, start))]
    for match in matches:
        root = symbol[: match.start()]
        day, strike, side = None, match["strike"], match["side"]
        year = FIRST_YEAR + int(match["year"])
        if year > LAST_YEAR or not is_root(root):
            continue
        if monthly is not None:
            month = MONTHS.index(match["month"]) + 1
        else:
            month, day = WEEKLY_MONTHS.index(match["month"]) + 1, int(match["day"])
            if not is_day(year, month, day):
                continue
        yield Contract(
            underlying=root,
            instrument_type=side or "FUT",
            year=year,
            month=month,
            day=day,
            strike=None if strike is None else Decimal(strike),
        )


def is_root(text: str) -> bool:
    """Return whether a trading symbol may begin with the text."""
    return ROOT.fullmatch(text) is not None


def is_day(year: int, month: int, day: int) -> bool:
    """Return whether the calendar has the day."""
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True
