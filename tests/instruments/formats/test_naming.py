"""Exchange symbols are built for contracts that a vendor writes in its own way."""

from datetime import date
from decimal import Decimal

import pytest

from instruments.formats.indices import index_symbol
from instruments.formats.naming import contract_symbol, month_ends, named, underlying_of
from instruments.formats.rows import MasterRow, Unnamed


def option(expiry: date, *, symbol: str = "", weekly: bool | None = None) -> Unnamed:
    row = MasterRow(
        segment="NFO",
        symbol=symbol,
        instrument_type="CE",
        underlying="NIFTY",
        expiry=expiry,
        strike=Decimal("24000.0"),
    )
    return Unnamed(row, weekly)


@pytest.mark.parametrize(
    ("root", "expiry", "strike", "kind", "weekly", "symbol"),
    [
        ("RELIANCE", date(2024, 4, 25), None, "FUT", False, "RELIANCE24APRFUT"),
        ("NIFTY", date(2024, 4, 25), "18000.00", "CE", False, "NIFTY24APR18000CE"),
        ("NIFTY", date(2024, 4, 11), "18000", "CE", True, "NIFTY2441118000CE"),
        ("NIFTY", date(2024, 10, 3), "19400", "PE", True, "NIFTY24O0319400PE"),
        ("USDINR", date(2024, 4, 26), "83.50", "CE", False, "USDINR24APR83.5CE"),
        ("USDINR", date(2026, 9, 4), None, "FUT", True, "USDINR26904FUT"),
        ("M&M", date(2026, 12, 29), "3E+3", "PE", False, "M&M26DEC3000PE"),
    ],
)
def test_contract_symbol_is_the_exchanges(
    root: str, expiry: date, strike: str | None, kind: str, weekly: bool, symbol: str
) -> None:
    """A contract's symbol is written as the exchange does, and its root is read from it."""
    price = Decimal(strike) if strike else None
    assert contract_symbol(root, expiry, price, kind, weekly=weekly) == symbol
    assert underlying_of(symbol, expiry, price, kind) == root


def test_last_expiry_of_a_month_is_the_monthly_one() -> None:
    """Where a file does not say which contracts are weekly, its other rows do."""
    days = [date(2026, 8, 18), date(2026, 8, 25), date(2026, 9, 1), date(2026, 9, 29)]
    options = [option(day) for day in days]
    ends = month_ends(options)
    assert [named(unnamed, ends).symbol for unnamed in options] == [
        *("NIFTY2681824000CE", "NIFTY26AUG24000CE", "NIFTY2690124000CE", "NIFTY26SEP24000CE"),
    ]


@pytest.mark.parametrize("symbol", ["NIFTY2681824000CE", "NIFTY26AUG24000CE"])
@pytest.mark.parametrize("weekly", [True, False, None])
def test_symbol_that_is_the_exchanges_stays(symbol: str, weekly: bool | None) -> None:
    """What a vendor writes as the exchange does is believed before any flag."""
    assert named(option(date(2026, 8, 18), symbol=symbol, weekly=weekly), {}).symbol == symbol


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("Nifty 50", "NIFTY 50"),
        ("NIFTY50", "NIFTY 50"),
        ("NIFTY", "NIFTY 50"),
        ("NIFTYBANK", "NIFTY BANK"),
        ("FINNIFTY", "NIFTY FIN SERVICE"),
        ("India VIX", "INDIA VIX"),
        ("Nifty  New Thing", "NIFTY NEW THING"),
    ],
)
def test_index_is_known_by_what_vendors_call_it(name: str, symbol: str) -> None:
    """Vendors' names of an index of NSE come to the exchange's."""
    assert index_symbol("NSE_INDEX", name) == symbol


def test_index_names_of_bse_are_its_own() -> None:
    """An index of BSE is not taken for one of NSE."""
    assert index_symbol("BSE_INDEX", "Sensex") == "SENSEX"
