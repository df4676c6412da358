"""Instruments that have Kite's tokens, for tests of its protocols."""

from datetime import date
from decimal import Decimal

from instruments.models import Instrument
from tests.instruments.factories import equity, m_and_m, nifty50_index, nifty_call, reliance

RELIANCE = 738561
RELIANCE_BSE = 500325 << 8 | 4
M_AND_M = 519937
NIFTY = 256265
NIFTY_CALL = 58072 << 8 | 2
USDINR = 1234 << 8 | 3
BSE_USDINR = 1235 << 8 | 6
CRUDEOIL = 2345 << 8 | 7
UNSERVED = 77 << 8 | 12


def _future(segment: str, symbol: str, token: int) -> Instrument:
    return Instrument(
        segment_id=segment,
        symbol=symbol,
        instrument_type="FUT",
        underlying=symbol.removesuffix("99APRFUT"),
        expiry=date(2099, 4, 19),
        lot_size=1,
        tick_size=Decimal("0.0025"),
        exchange_token=token >> 8,
        instrument_token=token,
    )


def listed() -> list[Instrument]:
    """One instrument of each kind, each with its token; and one that has none."""
    return [
        reliance(),
        reliance("BSE_EQ"),
        m_and_m(),
        nifty50_index(),
        nifty_call(),
        _future("CDS", "USDINR99APRFUT", USDINR),
        _future("BCD", "USDINR99APRFUT", BSE_USDINR),
        _future("MCX", "CRUDEOIL99APRFUT", CRUDEOIL),
        equity("NOTOKEN"),
        equity("ODD", exchange_token=77, instrument_token=UNSERVED),
    ]


def many(count: int) -> list[Instrument]:
    """So many shares, `S0`, `S1`, ..., with tokens from 1000 << 8 | 1 on."""
    return [
        equity(f"S{n}", exchange_token=1000 + n, instrument_token=token_of(n)) for n in range(count)
    ]


def token_of(number: int) -> int:
    """Return the token of a share of `many`."""
    return 1000 + number << 8 | 1
