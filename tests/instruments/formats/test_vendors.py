"""Each vendor's file means the same instruments, whatever its columns and units are."""

import gzip
import io
from collections import Counter
from datetime import date
from decimal import Decimal

import pytest

from instruments.formats.reading import MasterFile, Rejection
from instruments.formats.rows import MasterRow
from tests.instruments import data

AUG_18, AUG_20, AUG_25, AUG_27 = (date(2026, 8, day) for day in (18, 20, 25, 27))
SEP_4, SEP_21, SEP_28 = (date(2026, 9, day) for day in (4, 21, 28))

# key -> type, underlying, expiry, strike, tick size, Kite token
EXPECTED = {
    "NSE_EQ:RELIANCE": ("EQ", "", None, None, "0.1", 738561),
    "NSE_EQ:M&M": ("EQ", "", None, None, "0.1", 519937),
    "NSE_EQ:BAJAJ-AUTO": ("EQ", "", None, None, "0.5", 4267265),
    "NSE_EQ:CHOLAFIN": ("EQ", "", None, None, "0.1", 175361),
    "NSE_EQ:CHOLAFIN-D1": ("EQ", "", None, None, "0.05", 4929793),
    "BSE_EQ:RELIANCE": ("EQ", "", None, None, "0.05", 128083204),
    "NFO:NIFTY26AUGFUT": ("FUT", "NIFTY", AUG_25, None, "0.1", 14866434),
    "NFO:M&M26AUGFUT": ("FUT", "M&M", AUG_25, None, "0.1", 14925314),
    "NFO:NIFTY2681824000CE": ("CE", "NIFTY", AUG_18, "24000", "0.05", 11542018),
    "NFO:NIFTY26AUG24000CE": ("CE", "NIFTY", AUG_25, "24000", "0.05", 15767810),
    "NFO:ASHOKLEY26AUG172.5CE": ("CE", "ASHOKLEY", AUG_25, "172.5", "0.01", 21671426),
    "NFO:BAJAJ-AUTO26AUG10000CE": ("CE", "BAJAJ-AUTO", AUG_25, "10000", "0.05", 18858242),
    "BFO:SENSEX2682080000CE": ("CE", "SENSEX", AUG_20, "80000", "0.05", 218900485),
    "BFO:SENSEX26AUG80000CE": ("CE", "SENSEX", AUG_27, "80000", "0.05", 210979333),
    "CDS:USDINR26904FUT": ("FUT", "USDINR", SEP_4, None, "0.0025", 684547),
    "CDS:USDINR26SEP83.25CE": ("CE", "USDINR", SEP_28, "83.25", "0.0025", 452867),
    "MCX:CRUDEOIL26SEPFUT": ("FUT", "CRUDEOIL", SEP_21, None, "1", 144870151),
    "NSE_INDEX:NIFTY 50": ("INDEX", "", None, None, None, 256265),
    "NSE_INDEX:NIFTY BANK": ("INDEX", "", None, None, None, 260105),
    "NSE_INDEX:INDIA VIX": ("INDEX", "", None, None, None, 264969),
    "BSE_INDEX:SENSEX": ("INDEX", "", None, None, None, None),
}
FILES = [
    ("kite.csv", "kite", {"NSE_INDEX": 3, "NSE_EQ": 5, "NFO": 6, "BFO": 2}, 0),
    (
        "upstox.json",
        "upstox",
        {"NSE_EQ": 3, "BSE_EQ": 1, "NSE_INDEX": 1, "BSE_INDEX": 1, "NFO": 3, "CDS": 1, "MCX": 1},
        2,
    ),
    ("upstox.csv", "upstox", {"NSE_EQ": 1, "NSE_INDEX": 1, "NFO": 2}, 0),
    (
        "angel.json",
        "angel",
        {
            **{"NSE_EQ": 3, "BSE_EQ": 1, "NSE_INDEX": 1, "BSE_INDEX": 1},
            **{"NFO": 4, "BFO": 1, "CDS": 2, "MCX": 1},
        },
        2,
    ),
    (
        "dhan.csv",
        "dhan",
        {"NSE_EQ": 3, "BSE_EQ": 1, "NSE_INDEX": 1, "BSE_INDEX": 1, "NFO": 4, "CDS": 1, "MCX": 1},
        1,
    ),
    ("dhan-detailed.csv", "dhan", {"NSE_EQ": 2, "NSE_INDEX": 1, "NFO": 2, "MCX": 1}, 0),
    (
        "fyers.csv",
        "fyers",
        {"NSE_EQ": 3, "BSE_EQ": 1, "NSE_INDEX": 1, "BSE_INDEX": 1, "NFO": 3, "CDS": 1, "MCX": 1},
        1,
    ),
    ("fyers.json", "fyers", {"NSE_EQ": 1, "CDS": 1, "MCX": 1}, 0),
]


def read(content: bytes, *, vendor: str = "") -> tuple[list[MasterRow], int]:
    """Return the rows of a file without a bad one, and how many are of other segments."""
    found = list(MasterFile(io.BytesIO(content), vendor=vendor, max_bytes=10**6))
    assert not [entry for entry in found if isinstance(entry, Rejection)]
    rows = [entry[1] for entry in found if not isinstance(entry, Rejection)]
    return [row for row in rows if row], rows.count(None)


@pytest.mark.parametrize(("file", "vendor", "segments", "others"), FILES)
def test_file_is_recognised_and_means_the_instruments(
    file: str, vendor: str, segments: dict[str, int], others: int
) -> None:
    """Every vendor's file gives exchange symbols, rupees, days and Kite's tokens."""
    content = (data.FOLDER / file).read_bytes()
    assert MasterFile(io.BytesIO(content), max_bytes=10**6).vendor == vendor
    rows, outside = read(content)
    assert Counter(row.segment for row in rows) == segments
    assert outside == others
    for row in rows:
        key = f"{row.segment}:{row.symbol}"
        kind, underlying, expiry, strike, tick_size, token = EXPECTED[key]
        assert (row.instrument_type, row.underlying, row.expiry) == (kind, underlying, expiry), key
        assert row.strike == (Decimal(strike) if strike else None), key
        assert row.tick_size == (Decimal(tick_size) if tick_size else None), key
        assert row.instrument_token in (token, None), key
        assert row.instrument_token or kind == "INDEX", key


@pytest.mark.parametrize("file", [file for file, *_ in FILES])
def test_packed_file_means_the_same(file: str) -> None:
    """A gzip file is read as the file in it."""
    content = (data.FOLDER / file).read_bytes()
    assert read(gzip.compress(content)) == read(content)


@pytest.mark.parametrize(("file", "vendor", "segments", "others"), FILES)
def test_file_of_another_vendor_than_said_is_refused(
    file: str, vendor: str, segments: dict[str, int], others: int
) -> None:
    """A stated format must be the file's own."""
    content = (data.FOLDER / file).read_bytes()
    assert read(content, vendor=vendor) == read(content)
    other = "kite" if vendor != "kite" else "dhan"
    with pytest.raises(ValueError, match=f"this is a file of {vendor}, not of {other}"):
        MasterFile(io.BytesIO(content), vendor=other, max_bytes=10**6)


def test_old_kite_dump_tells_underlyings_without_names() -> None:
    """A dump without names of derivatives still gives their underlyings."""
    rows, _ = read((data.FOLDER / "kite-2018.csv").read_bytes())
    assert Counter(row.segment for row in rows) == {"NSE_EQ": 55, "BSE_EQ": 19, "NFO": 25}
    roots = {row.symbol: row.underlying for row in rows if row.segment == "NFO"}
    assert roots["BANKNIFTY18JAN23500CE"] == "BANKNIFTY"
    assert all(roots.values())


def test_lots_are_of_units_or_untold() -> None:
    """Currency lots come with their multiplier; a vendor's 1 for all is no lot size."""
    lots = {}
    for file in ("upstox.json", "angel.json", "dhan.csv", "fyers.csv", "fyers.json"):
        rows, _ = read((data.FOLDER / file).read_bytes())
        lots[file] = {row.segment: row.lot_size for row in rows if row.segment in ("CDS", "MCX")}
    assert lots == {
        "upstox.json": {"CDS": 1000, "MCX": 100},
        "angel.json": {"CDS": 1000, "MCX": 100},
        "dhan.csv": {"CDS": None, "MCX": None},
        "fyers.csv": {"CDS": None, "MCX": None},
        "fyers.json": {"CDS": 1000, "MCX": 100},
    }


def test_isin_is_kept_where_it_is_one() -> None:
    """ISINs are taken over, and NA and the like are not."""
    for file in ("upstox.json", "upstox.csv", "dhan-detailed.csv", "fyers.csv", "fyers.json"):
        rows, _ = read((data.FOLDER / file).read_bytes())
        isins = {f"{row.segment}:{row.symbol}": row.isin for row in rows}
        assert isins["NSE_EQ:RELIANCE"] == "INE002A01018"
        assert {isin for isin in isins.values() if isin} <= {
            *("INE002A01018", "INE101A01026", "INE121A08PJ0")
        }
