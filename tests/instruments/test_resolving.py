from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.errors import (
    AmbiguousSymbol,
    BadSegment,
    BadSymbol,
    InstrumentsError,
    UnknownSymbol,
)
from instruments.keys import InstrumentKey
from instruments.market import CODES
from instruments.resolving import resolve
from instruments.snapshot import MasterSnapshot
from quotes.store.group_names import key_of_price_group, price_group
from tests.instruments.factories import (
    crudeoil_future,
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

EMPTY = MasterSnapshot()
MASTER = snapshot_of(
    reliance(),
    reliance("BSE_EQ"),
    m_and_m(),
    equity("TCS", "BSE_EQ"),
    equity("BAJAJ-AUTO"),
    nifty50_index(),
    nifty50_index(symbol="NIFTY REALTY", exchange_token=1004, instrument_token=257025),
    sensex_index(),
    nifty_call(),
    nifty_weekly_call(),
    reliance_future(),
    usdinr_call(),
    crudeoil_future(),
)

# What both know, and how everyone calls it.
NAMES = [
    ("RELIANCE", "", "NSE_EQ:RELIANCE"),
    ("NSE:RELIANCE", "", "NSE_EQ:RELIANCE"),
    ("NSE_EQ:RELIANCE", "", "NSE_EQ:RELIANCE"),
    ("NSE:RELIANCE-EQ", "", "NSE_EQ:RELIANCE"),
    ("RELIANCE-EQ", "", "NSE_EQ:RELIANCE"),
    ("NSE_EQ|INE002A01018", "", "NSE_EQ:RELIANCE"),
    ("BSE_EQ|INE002A01018", "", "BSE_EQ:RELIANCE"),
    ("INE002A01018", "", "NSE_EQ:RELIANCE"),
    ("NSE_EQ|2885", "", "NSE_EQ:RELIANCE"),
    ("2885", "NSE_EQ", "NSE_EQ:RELIANCE"),
    ("2885", "1", "NSE_EQ:RELIANCE"),
    ("500325", "BSE_EQ", "BSE_EQ:RELIANCE"),
    ("500325", "3", "BSE_EQ:RELIANCE"),
    ("RELIANCE", "BSE_EQ", "BSE_EQ:RELIANCE"),
    ("RELIANCE", "BSE", "BSE_EQ:RELIANCE"),
    ("RELIANCE", "C", "NSE_EQ:RELIANCE"),
    ("TCS", "C", "BSE_EQ:TCS"),
    ("TCS", "", "BSE_EQ:TCS"),
    ("BSE:TCS-A", "", "BSE_EQ:TCS"),
    ("BSE:RELIANCE", "", "BSE_EQ:RELIANCE"),
    ("NSE_EQ:RELIANCE", "BSE_EQ", "NSE_EQ:RELIANCE"),
    ("M&M", "", "NSE_EQ:M&M"),
    ("NSE:M&M", "", "NSE_EQ:M&M"),
    ("BAJAJ-AUTO", "", "NSE_EQ:BAJAJ-AUTO"),
    ("NIFTY 50", "", "NSE_INDEX:NIFTY 50"),
    ("NSE:NIFTY 50", "", "NSE_INDEX:NIFTY 50"),
    ("NSE:NIFTY50-INDEX", "", "NSE_INDEX:NIFTY 50"),
    ("NIFTY50-INDEX", "", "NSE_INDEX:NIFTY 50"),
    ("NSE_INDEX|Nifty 50", "", "NSE_INDEX:NIFTY 50"),
    ("NSE_INDEX|Nifty Realty", "", "NSE_INDEX:NIFTY REALTY"),
    ("NSE:NIFTYREALTY-INDEX", "", "NSE_INDEX:NIFTY REALTY"),
    ("NIFTY", "IDX_I", "NSE_INDEX:NIFTY 50"),
    ("SENSEX", "IDX_I", "BSE_INDEX:SENSEX"),
    ("1035", "9", "BSE_INDEX:SENSEX"),
    ("BSE:SENSEX-INDEX", "", "BSE_INDEX:SENSEX"),
    ("NIFTY24APR18000CE", "", "NFO:NIFTY24APR18000CE"),
    ("NSE:NIFTY24APR18000CE", "", "NFO:NIFTY24APR18000CE"),
    ("NFO:NIFTY24APR18000CE", "", "NFO:NIFTY24APR18000CE"),
    ("NSE_FO|58072", "", "NFO:NIFTY24APR18000CE"),
    ("NIFTY24APR18000CE", "O", "NFO:NIFTY24APR18000CE"),
    ("NIFTY24APR18000CE", "FO", "NFO:NIFTY24APR18000CE"),
    ("NIFTY24APR18000CE", "NFO-OPT", "NFO:NIFTY24APR18000CE"),
    ("NIFTY25APR2418000CE", "", "NFO:NIFTY24APR18000CE"),
    ("NIFTY25APR2418000CE", "NFO", "NFO:NIFTY24APR18000CE"),
    ("NIFTY11APR2418000CE", "2", "NFO:NIFTY2441118000CE"),
    ("RELIANCE24APRFUT", "F", "NFO:RELIANCE24APRFUT"),
    ("RELIANCE24APRFUT", "FO", "NFO:RELIANCE24APRFUT"),
    ("RELIANCE25APR24FUT", "nse_fo", "NFO:RELIANCE24APRFUT"),
    ("NSE:USDINR24APR83.5CE", "", "CDS:USDINR24APR83.5CE"),
    ("USDINR24APR83.5CE", "NCD_FO", "CDS:USDINR24APR83.5CE"),
    ("USDINR24APR83.5CE", "3", "CDS:USDINR24APR83.5CE"),
    ("CRUDEOIL24APRFUT", "MCX_COMM", "MCX:CRUDEOIL24APRFUT"),
    ("CRUDEOIL24APRFUT", "5", "MCX:CRUDEOIL24APRFUT"),
    ("MCX:CRUDEOIL24APRFUT", "", "MCX:CRUDEOIL24APRFUT"),
]


@pytest.mark.parametrize(("name", "segment", "key"), NAMES)
def test_every_name_of_an_instrument_reaches_its_one_key(name: str, segment: str, key: str) -> None:
    """Bare, with any code in front or beside, in a vendor's spelling, by token or by ISIN."""
    assert str(resolve(MASTER, name, segment=segment)) == key
    assert str(resolve(MASTER, name, segment=segment, strict=True)) == key


UNKNOWN = [
    ("AAPL", "", "AAPL"),
    ("C:EURUSD", "", "C:EURUSD"),
    ("BINANCE:BTCUSDT", "", "BINANCE:BTCUSDT"),
    ("738561", "", "738561"),
    ("Nifty Foo", "", "Nifty Foo"),
    ("Nifty 50", "", "Nifty 50"),
    ("TCS-A", "", "TCS-A"),
    # Bare, it stays its own stream, whatever it looks like.
    ("BANKNIFTY24APR48000CE", "", "BANKNIFTY24APR48000CE"),
    ("SENSEX2381161000CE", "", "SENSEX2381161000CE"),
    # With a segment it is of that segment.
    ("NSE_EQ:AAPL", "", "NSE_EQ:AAPL"),
    ("AAPL", "NSE_EQ", "NSE_EQ:AAPL"),
    ("AAPL", "C", "NSE_EQ:AAPL"),
    ("NSE:AAPL", "", "NSE_EQ:AAPL"),
    ("NSE:AAPL-EQ", "", "NSE_EQ:AAPL"),
    ("NFO:SENSEX2381161000CE", "", "NFO:SENSEX2381161000CE"),
    # Where a code leaves several segments open, the grammar tells.
    ("NSE:BANKNIFTY24APR48000CE", "", "NFO:BANKNIFTY24APR48000CE"),
    ("NSE:INFY24APRFUT", "", "NFO:INFY24APRFUT"),
    ("NSE:EURINR24APRFUT", "", "CDS:EURINR24APRFUT"),
    ("BSE:SENSEX2381161000CE", "", "BFO:SENSEX2381161000CE"),
    ("SENSEX24APR75000CE", "FO", "BFO:SENSEX24APR75000CE"),
    ("INFY24APR1500CE", "O", "NFO:INFY24APR1500CE"),
    ("INFY", "FO", "NFO:INFY"),
    ("NSE:NIFTYBANK-INDEX", "", "NSE_INDEX:NIFTY BANK"),
    ("BSE:BANKEX-INDEX", "", "BSE_INDEX:BANKEX"),
    ("NSE_INDEX|Nifty Bank", "", "NSE_INDEX:NIFTY BANK"),
]


@pytest.mark.parametrize("snapshot", [EMPTY, MASTER], ids=["empty", "master"])
@pytest.mark.parametrize(("name", "segment", "key"), UNKNOWN)
def test_unknown_names_are_streams_too(
    snapshot: MasterSnapshot, name: str, segment: str, key: str
) -> None:
    """What no master has is its own stream, the same one with a master and without."""
    assert str(resolve(snapshot, name, segment=segment)) == key
    with pytest.raises(UnknownSymbol, match=r"not in the instrument master, got "):
        resolve(snapshot, name, segment=segment, strict=True)


@pytest.mark.parametrize(
    ("name", "segment"),
    [
        ("NSE:RELIANCE", ""),
        ("NSE_EQ:M&M", ""),
        ("NSE:RELIANCE-EQ", ""),
        ("RELIANCE", "BSE_EQ"),
        ("RELIANCE", "C"),
        ("NSE:NIFTY50-INDEX", ""),
        ("NSE_INDEX|Nifty 50", ""),
        ("NSE:NIFTY24APR18000CE", ""),
        ("NSE:NIFTY2441118000CE", ""),
        ("NIFTY24APR18000CE", "O"),
        ("RELIANCE24APRFUT", "F"),
        ("NSE:USDINR24APR83.5CE", ""),
        ("CRUDEOIL24APRFUT", "MCX_COMM"),
    ],
)
def test_names_with_a_segment_keep_their_stream_when_the_master_comes(
    name: str, segment: str
) -> None:
    """Before the first reading of the master these names already mean what they will mean."""
    assert resolve(EMPTY, name, segment=segment) == resolve(MASTER, name, segment=segment)


@pytest.mark.parametrize(
    ("name", "segment", "error", "text"),
    [
        ("", "", BadSymbol, "a symbol must have 1 to 64 characters"),
        ("A" * 65, "", BadSymbol, "a symbol must have 1 to 64 characters"),
        ("NSE:", "", BadSymbol, "a symbol must have 1 to 64 characters"),
        ("NSE:*", "", BadSymbol, "not a symbol"),
        ("NSE:*-EQ", "", BadSymbol, "not a symbol"),
        ("NSE:X -EQ", "", BadSymbol, "not a symbol"),
        ("NSE: -INDEX", "", BadSymbol, "not a symbol"),
        ("A\nB", "", BadSymbol, "printable"),
        ("RELIANCE", "NYSE", BadSegment, "not a segment, got 'NYSE'"),
        ("RELIANCE", "nse", BadSegment, "not a segment, got 'nse'"),
        ("NIFTY24APR18000CE", "F", UnknownSymbol, "not the symbol of a future"),
        ("RELIANCE24APRFUT", "O", UnknownSymbol, "not the symbol of an option"),
        ("INFY24APRFUT", "NFO-OPT", UnknownSymbol, "not the symbol of an option"),
        ("XYZ26810311501CE", "O", AmbiguousSymbol, "XYZ 10 Aug 2026"),
        (
            "RELIANCE",
            "5",
            AmbiguousSymbol,
            "5 means another segment to each vendor: use BFO or MCX",
        ),
    ],
)
def test_names_that_mean_nothing_are_refused(
    name: str, segment: str, error: type[InstrumentsError], text: str
) -> None:
    """What can be no symbol, no segment, another product, or more than one thing."""
    with pytest.raises(error, match=text):
        resolve(MASTER, name, segment=segment)


def test_a_code_that_vendors_disagree_on_needs_the_master() -> None:
    """`3` is BSE's shares to Angel and NSE's currencies to Kite: what the master has decides."""
    assert resolve(MASTER, "TCS", segment="3") == InstrumentKey("BSE_EQ", "TCS")
    assert resolve(MASTER, "USDINR24APR83.5CE", segment="3").segment == "CDS"
    both = snapshot_of(
        equity("TWIN", "BSE_EQ", exchange_token=7), usdinr_call(), equity("OTHER", "BSE_EQ")
    )
    assert resolve(both, "7", segment="3") == InstrumentKey("BSE_EQ", "TWIN")
    with pytest.raises(AmbiguousSymbol):
        resolve(EMPTY, "TCS", segment="3")
    with pytest.raises(UnknownSymbol):
        resolve(EMPTY, "TCS", segment="3", strict=True)


def test_the_exchanges_form_comes_before_a_vendors() -> None:
    """`NIFTY24OCT19400CE` is October 2024 at 19400, even if a contract at 400 expired in 2019."""
    angel_only = snapshot_of(nifty_option("NIFTY19OCT400CE", date(2019, 10, 24), "400"))
    assert str(resolve(angel_only, "NIFTY24OCT19400CE")) == "NFO:NIFTY19OCT400CE"
    both = snapshot_of(
        nifty_option("NIFTY19OCT400CE", date(2019, 10, 24), "400"),
        nifty_option("NIFTY24OCT19400CE", date(2024, 10, 31), "19400"),
    )
    assert str(resolve(both, "NIFTY24OCT19400CE")) == "NFO:NIFTY24OCT19400CE"


def test_known_underlyings_leave_one_reading() -> None:
    """With its root in the master, a new weekly symbol is told from others that it could be."""
    snapshot = snapshot_of(
        nifty_option("XYZ26AUG5000CE", date(2026, 8, 25), "5000", underlying="XYZ")
    )
    key = resolve(snapshot, "XYZ26810311501CE", segment="O")
    assert key == InstrumentKey("NFO", "XYZ26810311501CE")


def test_a_share_in_two_series_is_named_by_the_plain_symbol() -> None:
    """One ISIN may have two symbols; the shorter one is the share as most trade it."""
    series = equity("RELIANCE-BE", isin="INE002A01018")
    for rows in ([reliance(), series], [series, reliance()]):
        key = resolve(snapshot_of(*rows), "NSE_EQ|INE002A01018")
        assert key == InstrumentKey("NSE_EQ", "RELIANCE")


CODES_AND_JUNK = st.sampled_from(["", "X", *{code for codes in CODES.values() for code in codes}])
PIECES = ["RELIANCE", "NIFTY", "M&M", "-EQ", "-INDEX", "-A", "24APR", "25APR24", "24411", "18000"]
ODD_PIECES = ["83.5", "CE", "FUT", ":", "|", " ", "2885", "INE002A01018"]
names = st.lists(st.sampled_from(PIECES + ODD_PIECES), max_size=6).map("".join)


@given(
    CODES_AND_JUNK,
    st.sampled_from(["", ":", "|"]),
    names | st.text(max_size=70),
    CODES_AND_JUNK,
    st.booleans(),
    st.sampled_from([EMPTY, MASTER]),
)
def test_any_name_has_a_sound_key_or_an_error_of_ours(
    code: str, separator: str, rest: str, segment: str, strict: bool, snapshot: MasterSnapshot
) -> None:
    """Whatever a client sends: a key whose group is legal and resolves to itself, or an error."""
    try:
        key = resolve(snapshot, f"{code}{separator}{rest}", segment=segment, strict=strict)
    except InstrumentsError:
        return
    assert key_of_price_group(price_group(key)) == key
    assert resolve(snapshot, str(key)) == key


def test_contract_terms_are_compared_exactly() -> None:
    """A dated name reaches a contract only if day, strike and side are its own."""
    for name in ("NIFTY24APR2418000CE", "NIFTY25APR2418000PE", "NIFTY25APR2418000.5CE"):
        with pytest.raises(UnknownSymbol):
            resolve(MASTER, name, segment="NFO", strict=True)
    assert MASTER.contract("NFO", "NIFTY", date(2024, 4, 25), Decimal("18000.0"), "CE")
