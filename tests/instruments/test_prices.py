"""Which prices an instrument can have."""

from datetime import date
from decimal import Decimal

import pytest

from instruments.index import index
from instruments.keys import InstrumentKey
from instruments.models import Instrument
from instruments.prices import can_trade_at
from tests.instruments.factories import nifty_option, snapshot_of


@pytest.mark.parametrize(
    ("name", "is_above_zero"),
    [
        ("NSE_EQ:RELIANCE", True),
        ("BSE_EQ:M&M", True),
        ("NSE_INDEX:NIFTY 50", True),
        ("BSE_INDEX:SENSEX", True),
        ("NFO:NIFTY24APR18000CE", True),
        ("NFO:NIFTY2441118000PE", True),
        ("CDS:USDINR24APR83.5CE", True),
        ("MCX:CRUDEOIL24APR5500PE", True),
        ("MCX:CRUDEOIL24APRFUT", False),
        ("CDS:USDINR26904FUT", False),
        ("NFO:RELIANCE24APRFUT", False),
        ("MCX:SOMETHING ELSE", False),
        ("AAPL", False),
        ("RELIANCE", False),
        ("NIFTY24APR18000CE", False),
    ],
)
def test_price_of_zero_by_type_of_instrument(name: str, is_above_zero: bool) -> None:
    """Futures, and names without a segment, can be at 0 and below; nothing else can."""
    key = InstrumentKey.parse(name)
    for price in ("0", "0.00", "-0", "-37.63", "0e5"):
        assert can_trade_at(key, Decimal(price)) is not is_above_zero
    for price in ("0.05", "1", "1e-9"):
        assert can_trade_at(key, Decimal(price))


def test_master_decides_where_a_symbol_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option of any spelling is one; a future is none, even if its symbol looks like one."""
    expiry = date(2024, 4, 19)
    option = nifty_option("NIFTY 18000 CALL", expiry, "18000")
    future = Instrument(
        segment_id="MCX",
        symbol="PEPPER24APR5CE",
        instrument_type="FUT",
        underlying="PEPPER",
        expiry=expiry,
    )
    monkeypatch.setattr(index, "_snapshot", snapshot_of(option, future))
    assert not can_trade_at(option.key, Decimal(0))
    assert can_trade_at(future.key, Decimal(0))
