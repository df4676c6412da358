"""The instruments of the simulated market: names, tick sizes, lots, weights in indices.

Prices are starting points and resemble no particular day; `market.py` moves them. `master.py` puts
the instruments into a master that has no others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

# Every monthly contract trades until the 20th, whatever weekday it expires on. After that the next
# month's is used, so no calendar of expiries is needed.
LAST_DAY_OF_NEAR_MONTH = 20

NIFTY_LEVEL = 26_000
BANK_LEVEL = 58_500
STRIKES_EACH_SIDE = 5
EXPIRIES = 3  # months of which contracts are listed; the last one's are futures alone

# Root of the contracts -> index, its level, and the distance of the strikes.
INDEX_ROOTS = {
    "NIFTY": ("NIFTY 50", NIFTY_LEVEL, 100),
    "BANKNIFTY": ("NIFTY BANK", BANK_LEVEL, 500),
}


class Share(NamedTuple):
    """A share of the cash market.

    Attributes:
        nifty, bank: its weight, in percent, among the simulated members of the two indices.
        busy: how often it trades, relative to others.
        volume: shares traded on a usual day.
        lot: lot size of its future; 0 where none is simulated.
    """

    symbol: str
    price: float
    tick_size: str
    nifty: float
    bank: float
    busy: float
    volume: int
    lot: int = 0


SHARES = (
    Share("HDFCBANK", 995.0, "0.05", 12.8, 28.0, 3, 18_000_000, 550),
    Share("ICICIBANK", 1374.0, "0.10", 8.6, 24.0, 3, 11_000_000),
    Share("RELIANCE", 1478.0, "0.10", 8.4, 0, 3, 12_000_000, 500),
    Share("INFY", 1502.0, "0.10", 5.0, 0, 3, 8_000_000, 400),
    Share("BHARTIARTL", 2108.0, "0.10", 4.6, 0, 2, 5_000_000),
    Share("LT", 3985.0, "0.10", 3.9, 0, 2, 2_000_000),
    Share("ITC", 404.0, "0.05", 3.4, 0, 2, 14_000_000),
    Share("SBIN", 968.0, "0.05", 3.2, 10.0, 3, 13_000_000),
    Share("AXISBANK", 1236.0, "0.10", 3.0, 9.5, 2, 6_000_000),
    Share("M&M", 3702.0, "0.10", 2.7, 0, 2, 2_500_000, 200),
    Share("KOTAKBANK", 2091.0, "0.10", 2.6, 9.0, 2, 3_000_000),
    Share("TCS", 3046.0, "0.10", 2.6, 0, 3, 2_800_000, 175),
    Share("BAJFINANCE", 1006.0, "0.05", 2.3, 0, 2, 7_000_000),
    Share("HINDUNILVR", 2433.0, "0.10", 1.9, 0, 1, 1_500_000),
    Share("MARUTI", 15_860.0, "1.00", 1.8, 0, 1, 400_000),
    Share("SUNPHARMA", 1752.0, "0.10", 1.6, 0, 1, 2_000_000),
    Share("TITAN", 3870.0, "0.10", 1.4, 0, 1, 900_000),
    Share("NTPC", 327.0, "0.05", 1.4, 0, 1, 9_000_000),
    Share("TATASTEEL", 172.4, "0.01", 1.2, 0, 2, 25_000_000),
    Share("ASIANPAINT", 2874.0, "0.10", 1.0, 0, 1, 1_200_000),
    Share("BAJAJ-AUTO", 8890.0, "0.50", 0.9, 0, 1, 350_000),
    Share("WIPRO", 244.6, "0.01", 0.7, 0, 2, 10_000_000),
)


@dataclass(frozen=True)
class SimulatedInstrument:
    """One instrument of the simulated market.

    Attributes:
        underlying: symbol of the share or index that it follows; its own for these two.
        kind: EQ, INDEX, FUT, CE or PE.
        lot: smallest quantity traded; 0: not traded.
        volume: traded on a usual day.
        root: how the symbol begins, of futures and options.
    """

    symbol: str
    underlying: str
    kind: str
    tick_size: Decimal
    lot: int
    busy: float
    volume: int = 0
    strike: int = 0
    expiry: date | None = None
    root: str = ""


def simulated_instruments(today: date) -> Iterator[SimulatedInstrument]:
    """Yield every instrument of the simulated market on a day."""
    paise5 = Decimal("0.05")
    for share in SHARES:
        tick_size = Decimal(share.tick_size)
        yield SimulatedInstrument(
            share.symbol, share.symbol, "EQ", tick_size, 1, share.busy, share.volume
        )
    for index in ("NIFTY 50", "NIFTY BANK"):
        yield SimulatedInstrument(index, index, "INDEX", paise5, 0, 4)
    month = near_month(today)
    for ahead in range(EXPIRIES):
        yield from _contracts(month, busy=1 / (1 + ahead), options=ahead < EXPIRIES - 1)
        month = (month + timedelta(days=31)).replace(day=1)


def _contracts(month: date, *, busy: float, options: bool) -> Iterator[SimulatedInstrument]:
    """Yield the contracts that expire in a month.

    Args:
        busy: how often they trade, relative to those of the near month.
    """
    code = f"{month:%y%b}".upper()
    expiry = month.replace(day=25)
    tenth = Decimal("0.10")
    futures = [("NIFTY", "NIFTY 50", 65, tenth), ("BANKNIFTY", "NIFTY BANK", 30, Decimal("0.20"))]
    futures += [
        (share.symbol, share.symbol, share.lot, Decimal(share.tick_size))
        for share in SHARES
        if share.lot
    ]
    for root, underlying, lot, tick_size in futures:
        yield SimulatedInstrument(
            symbol=f"{root}{code}FUT",
            underlying=underlying,
            kind="FUT",
            tick_size=tick_size,
            lot=lot,
            busy=3 * busy,
            volume=round(120_000 * busy) * lot,
            expiry=expiry,
            root=root,
        )
        if not options or root not in INDEX_ROOTS:
            continue
        for strike in strikes(root):
            for kind in ("CE", "PE"):
                yield SimulatedInstrument(
                    symbol=f"{root}{code}{strike}{kind}",
                    underlying=underlying,
                    kind=kind,
                    tick_size=Decimal("0.05"),
                    lot=lot,
                    busy=busy,
                    volume=round(400_000 * busy) * lot,
                    strike=strike,
                    expiry=expiry,
                    root=root,
                )


def near_month(today: date) -> date:
    """Return the first day of the month whose contracts are the nearest on a day."""
    first = today.replace(day=1)
    if today.day <= LAST_DAY_OF_NEAR_MONTH:
        return first
    return (first + timedelta(days=31)).replace(day=1)


def strikes(root: str) -> list[int]:
    """Return the strikes of the options of an index, around its level."""
    _, level, step = INDEX_ROOTS[root]
    middle = round(level / step) * step
    return [middle + each * step for each in range(-STRIKES_EACH_SIDE, STRIKES_EACH_SIDE + 1)]


def showcase(today: date) -> list[str]:
    """Return a few symbols of each kind for a first look."""
    code = f"{near_month(today):%y%b}".upper()
    names = ["RELIANCE", "HDFCBANK", "TCS", "INFY", "M&M", "BAJAJ-AUTO", "NIFTY 50", "NIFTY BANK"]
    return [*names, f"NIFTY{code}FUT", f"NIFTY{code}{NIFTY_LEVEL}CE"]
