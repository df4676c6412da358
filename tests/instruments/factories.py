"""Instruments that people know, as rows that are not saved yet, and snapshots made of such rows."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from instruments.loading import FIELDS
from instruments.models import Instrument
from instruments.snapshot import MasterEntry, MasterSnapshot, SnapshotBuilder


def equity(symbol: str, segment: str = "NSE_EQ", **terms: Any) -> Instrument:
    values: dict[str, Any] = {
        "instrument_type": "EQ",
        "tick_size": Decimal("0.05"),
        "lot_size": 1,
    }
    return Instrument(segment_id=segment, symbol=symbol, **values | terms)


def reliance(segment: str = "NSE_EQ", **terms: Any) -> Instrument:
    token = 2885 if segment == "NSE_EQ" else 500325
    values: dict[str, Any] = {
        "name": "RELIANCE INDUSTRIES",
        "exchange_token": token,
        "instrument_token": token * 256 + (1 if segment == "NSE_EQ" else 4),
        "isin": "INE002A01018",
    }
    return equity("RELIANCE", segment, **values | terms)


def m_and_m(**terms: Any) -> Instrument:
    values: dict[str, Any] = {
        "name": "MAHINDRA & MAHINDRA",
        "exchange_token": 2031,
        "instrument_token": 519937,
    }
    return equity("M&M", **values | terms)


def nifty50_index(**terms: Any) -> Instrument:
    values: dict[str, Any] = {
        "symbol": "NIFTY 50",
        "name": "NIFTY 50",
        "exchange_token": 1001,
        "instrument_token": 256265,
    }
    return Instrument(segment_id="NSE_INDEX", instrument_type="INDEX", **values | terms)


def sensex_index() -> Instrument:
    return Instrument(
        segment_id="BSE_INDEX",
        symbol="SENSEX",
        name="SENSEX",
        instrument_type="INDEX",
        exchange_token=1035,
        instrument_token=264969,
    )


def nifty_option(
    symbol: str, expiry: date, strike: str, side: str = "CE", **terms: Any
) -> Instrument:
    values: dict[str, Any] = {
        "underlying": "NIFTY",
        "name": "NIFTY",
        "tick_size": Decimal("0.05"),
        "lot_size": 65,
    }
    return Instrument(
        segment_id="NFO",
        symbol=symbol,
        instrument_type=side,
        expiry=expiry,
        strike=Decimal(strike),
        **values | terms,
    )


def nifty_call(**terms: Any) -> Instrument:
    """The monthly call at 18000 of April 2024."""
    values: dict[str, Any] = {"exchange_token": 58072, "instrument_token": 58072 * 256 + 2}
    return nifty_option("NIFTY24APR18000CE", date(2024, 4, 25), "18000", **values | terms)


def nifty_weekly_call() -> Instrument:
    return nifty_option("NIFTY2441118000CE", date(2024, 4, 11), "18000")


def reliance_future() -> Instrument:
    return Instrument(
        segment_id="NFO",
        symbol="RELIANCE24APRFUT",
        instrument_type="FUT",
        underlying="RELIANCE",
        expiry=date(2024, 4, 25),
        lot_size=250,
    )


def crudeoil_future() -> Instrument:
    return Instrument(
        segment_id="MCX",
        symbol="CRUDEOIL24APRFUT",
        instrument_type="FUT",
        underlying="CRUDEOIL",
        expiry=date(2024, 4, 19),
        lot_size=100,
        tick_size=Decimal(1),
    )


def usdinr_call() -> Instrument:
    return Instrument(
        segment_id="CDS",
        symbol="USDINR24APR83.5CE",
        instrument_type="CE",
        underlying="USDINR",
        expiry=date(2024, 4, 26),
        strike=Decimal("83.5"),
        lot_size=1,
        tick_size=Decimal("0.0025"),
    )


def nifty_chain(expiry: date, strikes: Iterable[int]) -> list[Instrument]:
    """The monthly calls and puts of an expiry at these strikes."""
    month = f"{expiry:%y%b}".upper()
    return [
        nifty_option(f"NIFTY{month}{strike}{side}", expiry, str(strike), side)
        for strike in strikes
        for side in ("PE", "CE")
    ]


def entry_of(instrument: Instrument) -> MasterEntry:
    """The entry that the index makes of a row."""
    values = {field: getattr(instrument, field) for field in FIELDS}
    return MasterEntry(
        segment=values.pop("segment_id"),
        **values | {"id": instrument.pk or 0},
    )


def snapshot_of(*instruments: Instrument) -> MasterSnapshot:
    """A snapshot that has these instruments and the aliases that every database begins with."""
    builder = SnapshotBuilder()
    for instrument in instruments:
        builder.put(entry_of(instrument))
    return builder.finish(lambda: None)
