"""OpenAlgo's names of instruments, over masters."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.formats.naming import contract_symbol
from instruments.keys import InstrumentKey
from instruments.models import Instrument
from instruments.snapshot import MasterSnapshot
from quotes.openalgo.symbols import SEGMENTS, find, name_of, symbol_of
from tests.instruments.factories import (
    crudeoil_future,
    entry_of,
    equity,
    m_and_m,
    nifty50_index,
    nifty_call,
    nifty_option,
    nifty_weekly_call,
    reliance,
    reliance_future,
    sensex_index,
    snapshot_of,
    usdinr_call,
)


def contract(
    segment: str, root: str, expiry: date, strike: str | None, kind: str, *, weekly: bool = False
) -> Instrument:
    price = None if strike is None else Decimal(strike)
    return Instrument(
        segment_id=segment,
        symbol=contract_symbol(root, expiry, price, kind, weekly=weekly),
        instrument_type=kind,
        underlying=root,
        expiry=expiry,
        strike=price,
    )


def bse_index(symbol: str) -> Instrument:
    return Instrument(segment_id="BSE_INDEX", symbol=symbol, instrument_type="INDEX")


@pytest.mark.parametrize(
    ("instrument", "exchange", "symbol"),
    [
        (reliance(), "NSE", "RELIANCE"),
        (reliance("BSE_EQ"), "BSE", "RELIANCE"),
        (m_and_m(), "NSE", "M&M"),
        (nifty50_index(), "NSE_INDEX", "NIFTY"),
        (nifty50_index(symbol="NIFTY BANK"), "NSE_INDEX", "BANKNIFTY"),
        (nifty50_index(symbol="NIFTY MID SELECT"), "NSE_INDEX", "MIDCPNIFTY"),
        (nifty50_index(symbol="INDIA VIX"), "NSE_INDEX", "INDIAVIX"),
        (nifty50_index(symbol="NIFTY GS 10YR CLN"), "NSE_INDEX", "NIFTYGS10YRCLN"),
        (nifty50_index(symbol="HANGSENG BEES-NAV"), "NSE_INDEX", "HANGSENGBEESNAV"),
        (sensex_index(), "BSE_INDEX", "SENSEX"),
        (bse_index("SNSX50"), "BSE_INDEX", "SENSEX50"),
        (bse_index("METAL"), "BSE_INDEX", "BSEMETAL"),
        (reliance_future(), "NFO", "RELIANCE25APR24FUT"),
        (nifty_call(), "NFO", "NIFTY25APR2418000CE"),
        (nifty_weekly_call(), "NFO", "NIFTY11APR2418000CE"),
        (usdinr_call(), "CDS", "USDINR26APR2483.5CE"),
        (crudeoil_future(), "MCX", "CRUDEOIL19APR24FUT"),
        # The strike is that of OpenAlgo's example: VEDL at 292.50.
        (contract("NFO", "VEDL", date(2024, 4, 25), "292.50", "CE"), "NFO", "VEDL25APR24292.5CE"),
        # Roots that end in digits.
        (contract("BFO", "SENSEX50", date(2024, 4, 26), None, "FUT"), "BFO", "SENSEX5026APR24FUT"),
        (
            contract("CDS", "726GS2033", date(2024, 4, 25), "97", "PE"),
            "CDS",
            "726GS203325APR2497PE",
        ),
        (contract("NFO", "360ONE", date(2024, 4, 5), "1", "CE"), "NFO", "360ONE05APR241CE"),
        # A weekly future, as currencies have.
        (
            contract("CDS", "USDINR", date(2026, 9, 4), None, "FUT", weekly=True),
            "CDS",
            "USDINR04SEP26FUT",
        ),
    ],
)
def test_names_are_read_and_written_by_the_master(
    instrument: Instrument, exchange: str, symbol: str
) -> None:
    """An instrument has the name that OpenAlgo gives it, and is found by it."""
    snapshot = snapshot_of(instrument)
    assert name_of(snapshot, instrument.key) == (exchange, symbol)
    found = find(snapshot, exchange, symbol)
    assert found is not None and found.key == instrument.key


@pytest.mark.parametrize(
    ("exchange", "symbol"),
    [
        ("NSE", "reliance"),
        ("NSE", "RELIANCE-EQ"),
        ("NSE", "INE002A01018"),
        ("NSE", "2885"),
        ("BSE", "RELIANCE"),
        ("NSE", "NIFTY"),
        ("NSE_INDEX", "NIFTY 50"),
        ("NSE_INDEX", "NIFTY50"),
        ("NSE_INDEX", "nifty"),
        ("NFO", "NIFTY24APR18000CE"),
        ("NFO", "NIFTY25APR2418000.0CE"),
        ("NFO", "NIFTY26APR2418000CE"),
        ("NFO", "NIFTY31APR2418000CE"),
        ("BFO", "NIFTY25APR2418000CE"),
        ("NFO", ""),
    ],
)
def test_other_spellings_are_not_found(exchange: str, symbol: str) -> None:
    """A client would look for its prices under a name that no message has."""
    assert find(snapshot_of(reliance(), nifty50_index(), nifty_call()), exchange, symbol) is None


def test_day_in_a_name_precedes_the_exchanges_own_reading() -> None:
    """`NIFTY24OCT19400CE` is 24 October 2019 at 400, and a monthly symbol of the exchange's."""
    monthly = nifty_option("NIFTY24OCT19400CE", date(2024, 10, 31), "19400")
    dated = nifty_option("NIFTY19OCT400CE", date(2019, 10, 24), "400")
    snapshot = snapshot_of(monthly, dated)
    found = find(snapshot, "NFO", "NIFTY24OCT19400CE")
    assert found is not None and found.key == dated.key
    assert find(snapshot_of(monthly), "NFO", "NIFTY24OCT19400CE") is None


@pytest.mark.parametrize(
    ("key", "exchange"),
    [("AAPL", "NSE"), ("NSE_EQ:NEW", "NSE"), ("BSE_EQ:NEW", "BSE"), ("NFO:ODD24APRFUT", "NFO")],
)
def test_unlisted_streams_keep_their_symbols(key: str, exchange: str) -> None:
    """A stream that the master does not have is named by its symbol."""
    one = InstrumentKey.parse(key)
    assert name_of(MasterSnapshot(), one) == (exchange, one.symbol)


def test_every_segment_has_an_exchange() -> None:
    """OpenAlgo names each of our segments."""
    assert len(set(SEGMENTS.values())) == len(SEGMENTS) == 9


roots = st.from_regex(r"[A-Z0-9][A-Z0-9&-]{0,7}[A-Z][0-9]{0,4}", fullmatch=True).filter(
    lambda root: not any(root.endswith(one) for one in ("CE", "PE", "FUT"))
)
strikes = st.decimals("0.05", "200000", places=4).map(
    lambda number: (
        number.normalize().quantize(Decimal(1))
        if number == number.to_integral_value()
        else number.normalize()
    )
)


@st.composite
def contracts(draw: st.DrawFn) -> Instrument:
    kind = draw(st.sampled_from(["FUT", "CE", "PE"]))
    return contract(
        draw(st.sampled_from(["NFO", "BFO", "CDS", "MCX"])),
        draw(roots),
        draw(st.dates(date(2024, 1, 1), date(2039, 12, 31))),
        None if kind == "FUT" else f"{draw(strikes):f}",
        kind,
        weekly=draw(st.booleans()),
    )


@given(st.lists(contracts(), max_size=12), st.data())
def test_every_instrument_is_found_by_its_name(
    found: list[Instrument], data: st.DataObject
) -> None:
    """Over any master, an instrument's name leads back to it."""
    shares = data.draw(st.lists(roots, max_size=4, unique=True))
    indices = data.draw(
        st.lists(st.sampled_from(["NIFTY 50", "NIFTY IT", "NIFTY100 LIQ 15"]), unique=True)
    )
    rows: Iterable[Instrument] = [
        *unambiguous(found),
        *(equity(symbol) for symbol in shares),
        *(nifty50_index(symbol=symbol) for symbol in indices),
    ]
    snapshot = snapshot_of(*rows)
    for row in rows:
        again = find(snapshot, *name_of(snapshot, row.key))
        assert again is not None and again.key == row.key


def unambiguous(rows: list[Instrument]) -> list[Instrument]:
    """Leave out contracts whose terms or symbols another has: no master has both."""
    terms = {(row.segment_id, symbol_of(entry_of(row))): row for row in rows}
    return list({row.key: row for row in terms.values()}.values())
