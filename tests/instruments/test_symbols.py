from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.errors import AmbiguousSymbol, BadSymbol
from instruments.symbols import MONTHLY, Contract, build, is_day, is_root, parse, readings
from tests.instruments.dumps import DERIVATIVES, EQUITIES, SLICE, needs_dumps, read_dump


def future(root: str, year: int, month: int) -> Contract:
    return Contract(underlying=root, instrument_type="FUT", year=year, month=month)


def option(
    root: str, year: int, month: int, strike: str, side: str, day: int | None = None
) -> Contract:
    return Contract(
        underlying=root,
        instrument_type=side,
        year=year,
        month=month,
        day=day,
        strike=Decimal(strike),
    )


WRITTEN = [
    ("RELIANCE24APRFUT", future("RELIANCE", 2024, 4)),
    ("NIFTY24APR18000CE", option("NIFTY", 2024, 4, "18000", "CE")),
    ("USDINR24APR83.5CE", option("USDINR", 2024, 4, "83.5", "CE")),
    ("USDINR24APR83.25PE", option("USDINR", 2024, 4, "83.25", "PE")),
    ("NATURALGAS24APR0.5PE", option("NATURALGAS", 2024, 4, "0.5", "PE")),
    ("CRUDEOIL24APRFUT", future("CRUDEOIL", 2024, 4)),
    ("NIFTY2441118000CE", option("NIFTY", 2024, 4, "18000", "CE", day=11)),
    ("NIFTY20D1713600CE", option("NIFTY", 2020, 12, "13600", "CE", day=17)),
    ("SENSEX26O0181800PE", option("SENSEX", 2026, 10, "81800", "PE", day=1)),
    ("BANKNIFTY24N0651000PE", option("BANKNIFTY", 2024, 11, "51000", "PE", day=6)),
    ("360ONE26AUG1100CE", option("360ONE", 2026, 8, "1100", "CE")),
    ("M&M24APRFUT", future("M&M", 2024, 4)),
    ("GVT&D26AUG1860PE", option("GVT&D", 2026, 8, "1860", "PE")),
    ("BAJAJ-AUTO26AUG11900CE", option("BAJAJ-AUTO", 2026, 8, "11900", "CE")),
    ("NIFTY 5024APRFUT", future("NIFTY 50", 2024, 4)),
    ("SENSEX5026SEP24000PE", option("SENSEX50", 2026, 9, "24000", "PE")),
    ("NIFTYNXT5026AUG78000CE", option("NIFTYNXT50", 2026, 8, "78000", "CE")),
    # The exchange's own form has one reading; another vendor's has its own module.
    ("NIFTY24OCT19400CE", option("NIFTY", 2024, 10, "19400", "CE")),
]


@pytest.mark.parametrize(("symbol", "contract"), WRITTEN)
def test_symbol_is_read_and_written(symbol: str, contract: Contract) -> None:
    """Monthly and weekly symbols of all exchanges read as their contract, which writes them."""
    assert parse(symbol) == contract
    assert build(contract) == symbol


@pytest.mark.parametrize(
    "symbol",
    [
        "RELIANCE",  # ends in CE
        "ACE",
        "PE",
        "FUT",
        "24APRFUT",
        "24APR18000CE",
        "NIFTY24APRIL18000CE",
        "NIFTY24APRCE",
        "NIFTY24APR018000CE",
        "NIFTY24APR18000.50CE",
        "NIFTY24APR18000.CE",
        "NIFTY24APR0CE",
        "NIFTY24APR-5CE",
        "nifty24apr18000ce",
        "NIFTY24APR18000CE ",
        "NIFTY24APR18000CE\n",
        "-NIFTY24APRFUT",
        "NIFTY 24APRFUT",
        "NIFTY24APR24MAYFUT",
        "NIFTY24411FUT",
        "NIFTY2443119000CE",  # 31 April
        "NIFTY40APRFUT",
        "NIFTY23229100CE",  # 29 February 2023
        "NIFTY24APR१८०००CE",
        "A" * 60 + "24APRFUT",
        "",
    ],
)
def test_other_text_has_no_reading(symbol: str) -> None:
    """What no exchange writes for a future or an option is not one."""
    assert readings(symbol) == []
    with pytest.raises(BadSymbol, match="not the symbol of a future or an option, got "):
        parse(symbol)


def test_a_symbol_with_several_readings_is_refused_with_all_of_them() -> None:
    """A root may end in digits, so the text of a weekly symbol can be cut in several places."""
    with pytest.raises(AmbiguousSymbol) as caught:
        parse("SENSEX2381161000CE")
    assert str(caught.value) == (
        "ambiguous, it can mean SENSEX 11 Aug 2023 61000 CE or "
        "SENSEX2 16 Jan 2038 1000 CE, got 'SENSEX2381161000CE'"
    )
    assert parse("SENSEX2381161000CE", roots={"SENSEX", "NIFTY"}).underlying == "SENSEX"
    assert readings("SENSEX2381161000CE", roots={"BANKEX"}) == []


@pytest.mark.parametrize(
    "contract",
    [
        Contract(underlying="NIFTY", instrument_type="CE", year=2024, month=4),
        Contract(
            underlying="NIFTY", instrument_type="FUT", year=2024, month=4, strike=Decimal(18000)
        ),
        Contract(underlying="NIFTY", instrument_type="FUT", year=2024, month=4, day=11),
        future("NIFTY", 1999, 4),
        future("NIFTY", 2040, 4),
        future("NIFTY", 2024, 0),
        future("NIFTY", 2024, 13),
        future("nifty", 2024, 4),
        future("", 2024, 4),
        future("NIFTY24APR", 2024, 4),
        option("NIFTY", 2024, 2, "18000", "CE", day=30),
        option("NIFTY", 2024, 2, "0", "CE"),
        option("NIFTY", 2024, 2, "-5", "CE"),
        option("NIFTY", 2024, 2, "NaN", "CE"),
        option("NIFTY", 2024, 2, "sNaN", "CE"),
        option("NIFTY", 2024, 2, "Infinity", "CE"),
        option("NIFTY", 2024, 2, "1E+70", "CE"),
    ],
)
def test_what_cannot_be_written_is_refused(contract: Contract) -> None:
    """build gives only what reads as the contract."""
    with pytest.raises(BadSymbol):
        build(contract)


roots = (
    st.sampled_from(
        ["NIFTY", "SENSEX50", "360ONE", "M&M", "BAJAJ-AUTO", "NIFTY 50", "USDINR", "A1O2N3"]
    )
    | st.text("ACEFOPTUND0123456789&- ", min_size=1, max_size=20)
).filter(is_root)
strikes = st.decimals("0.0001", "9999999", places=4)


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    kind = draw(st.sampled_from(["FUT", "CE", "PE"]))
    expiry = draw(st.dates(date(2000, 1, 1), date(2039, 12, 31)))
    return Contract(
        underlying=draw(roots),
        instrument_type=kind,
        year=expiry.year,
        month=expiry.month,
        day=None if kind == "FUT" or draw(st.booleans()) else expiry.day,
        strike=None if kind == "FUT" else draw(strikes),
    )


@given(contracts())
def test_what_is_built_reads_as_what_it_was_built_of(contract: Contract) -> None:
    """Among the readings of a built symbol is its contract, and with its root known no other is.

    Unless the root holds a monthly code, which no root does: such a contract is not built.
    """
    try:
        symbol = build(contract)
    except BadSymbol:
        assert MONTHLY.search(f"{contract.underlying}1CE")
        return
    assert contract in readings(symbol)
    assert parse(symbol, roots={contract.underlying}) == contract
    assert all(build(reading) == symbol for reading in readings(symbol))


@given(st.text("NIFTYAPR0123456789.CEPFUT&- ", max_size=40))
def test_any_text_is_read_or_not(text: str) -> None:
    """No text makes the grammar fail, and every reading of it writes it."""
    for reading in readings(text):
        assert build(reading) == text
        assert is_day(reading.year, reading.month, reading.day or 1)


def check_rows(rows: list[dict[str, str]]) -> int:
    """Check every row's symbol against its columns; return how many have several readings."""
    known = {row["name"] for row in rows}
    several = 0
    for row in rows:
        symbol, expiry = row["tradingsymbol"], date.fromisoformat(row["expiry"])
        right = [
            reading
            for reading in readings(symbol)
            if reading.underlying == row["name"]
            and reading.instrument_type == row["instrument_type"]
            and (reading.strike or 0) == Decimal(row["strike"])
            and reading.expires_on(expiry)
        ]
        assert len(right) == 1, f"{symbol}: {readings(symbol)}"
        assert build(right[0]) == symbol
        assert readings(symbol, roots=known) == right
        several += len(readings(symbol)) > 1
    return several


def test_recorded_symbols_read_as_their_columns() -> None:
    """A slice of a real dump: odd roots, decimal strikes, weeklies with one or two readings."""
    rows = read_dump(SLICE)
    assert len(rows) == 64
    assert check_rows(rows) == 9


@needs_dumps
def test_every_symbol_of_the_dump_reads_as_its_columns() -> None:
    """All 39,941 symbols have the right reading, and with the underlyings known no other.

    Without them 50 cannot be told, all of them among the 1,936 weekly options: the day and the
    strike can be cut so that a longer root has another date, as in NIFTY268 28 Feb 2018 50 CE for
    NIFTY2681822850CE. None of the monthly symbols is among them.
    """
    rows = read_dump(DERIVATIVES)
    assert len(rows) == 39_941
    assert check_rows(rows) == 50
    ambiguous = [row for row in rows if len(readings(row["tradingsymbol"])) > 1]
    assert {row["name"] for row in ambiguous} == {"NIFTY"}
    assert not any(MONTHLY.search(row["tradingsymbol"]) for row in ambiguous)


@needs_dumps
def test_no_share_reads_as_a_contract() -> None:
    """None of the 7,930 names of NSE's shares, bonds and indices is the symbol of a contract."""
    rows = read_dump(EQUITIES)
    assert len(rows) == 7_930
    assert [row["tradingsymbol"] for row in rows if readings(row["tradingsymbol"])] == []
