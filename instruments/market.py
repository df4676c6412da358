"""The Indian market in constants: exchanges, segments and what vendors call them.

The tables are filled from here when a database is made, and operators may edit the rows since; a
change here needs a migration that brings it to the databases that exist. Names are resolved with
these constants until the tables have been read.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class SegmentFacts(NamedTuple):
    """One segment; `price_divisor` is that of Kite's binary feed."""

    code: str
    exchange: str
    kind: str
    description: str
    price_divisor: int
    decimals: int


class Alias(NamedTuple):
    """A vendor's code for a segment; the product is F (futures only), O (options only) or ""."""

    vendor: str
    code: str
    segment: str
    product: str


class Route(NamedTuple):
    """Where a code leads: segments, the preferred one first, and the product they narrow to."""

    segments: tuple[str, ...]
    product: str = ""


EXCHANGES = (
    ("NSE", "National Stock Exchange of India"),
    ("BSE", "BSE (Bombay Stock Exchange)"),
    ("MCX", "Multi Commodity Exchange of India"),
)

# In the precedence of a name that several have: cash, index, derivatives; NSE before BSE.
SEGMENT_FACTS = (
    SegmentFacts("NSE_EQ", "NSE", "equity", "NSE cash equity", 100, 2),
    SegmentFacts("BSE_EQ", "BSE", "equity", "BSE cash equity", 100, 2),
    SegmentFacts("NSE_INDEX", "NSE", "index", "NSE indices, not tradable", 100, 2),
    SegmentFacts("BSE_INDEX", "BSE", "index", "BSE indices, not tradable", 100, 2),
    SegmentFacts("NFO", "NSE", "derivatives", "NSE equity futures and options", 100, 2),
    SegmentFacts("BFO", "BSE", "derivatives", "BSE equity futures and options", 100, 2),
    SegmentFacts("CDS", "NSE", "currency", "NSE currency derivatives", 10_000_000, 4),
    SegmentFacts("BCD", "BSE", "currency", "BSE currency derivatives", 10_000, 4),
    SegmentFacts("MCX", "MCX", "commodity", "MCX commodity derivatives", 100, 2),
)
PRECEDENCE = tuple(facts.code for facts in SEGMENT_FACTS)

CASH_SEGMENTS = ("NSE_EQ", "BSE_EQ")
INDEX_SEGMENTS = ("NSE_INDEX", "BSE_INDEX")
DERIVATIVE_SEGMENTS = ("NFO", "BFO", "CDS", "BCD", "MCX")

# What the low byte of Kite's instrument token says; the rest is the exchange's token.
KITE_SEGMENTS = {
    1: ("NSE_EQ",),
    2: ("NFO",),
    3: ("CDS",),
    4: ("BSE_EQ",),
    5: ("BFO",),
    6: ("BCD",),
    7: ("MCX",),
    9: INDEX_SEGMENTS,
}

# Underlyings that every master has; they tell readings apart before one is there.
WELL_KNOWN_ROOTS = {
    "NFO": frozenset(("NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "NIFTYNXT50")),
    "BFO": frozenset(("SENSEX", "BANKEX", "SENSEX50")),
    "CDS": frozenset(("USDINR", "EURINR", "GBPINR", "JPYINR", "EURUSD", "GBPUSD", "USDJPY")),
    "BCD": frozenset(("USDINR", "EURINR", "GBPINR", "JPYINR", "EURUSD", "GBPUSD", "USDJPY")),
}

NSE = ("NSE_EQ", "NSE_INDEX")
BSE = ("BSE_EQ", "BSE_INDEX")

# Vendor -> code -> segments. The numbers are those of the vendors' feeds.
CODES: dict[str, dict[str, tuple[str, ...]]] = {
    "kite": {
        "NSE": NSE,
        "BSE": BSE,
        "INDICES": INDEX_SEGMENTS,
        **{segment: (segment,) for segment in DERIVATIVE_SEGMENTS},
        **{str(low_byte): segments for low_byte, segments in KITE_SEGMENTS.items()},
    },
    "upstox": {
        "NSE_EQ": ("NSE_EQ",),
        "BSE_EQ": ("BSE_EQ",),
        "NSE_FO": ("NFO",),
        "BSE_FO": ("BFO",),
        "NCD_FO": ("CDS",),
        "BCD_FO": ("BCD",),
        "MCX_FO": ("MCX",),
        "NSE_INDEX": ("NSE_INDEX",),
        "BSE_INDEX": ("BSE_INDEX",),
    },
    "angel": {
        "NSE": NSE,
        "BSE": BSE,
        **{segment: (segment,) for segment in ("NFO", "BFO", "CDS", "MCX")},
        "nse_cm": NSE,
        "bse_cm": BSE,
        "nse_fo": ("NFO",),
        "bse_fo": ("BFO",),
        "cde_fo": ("CDS",),
        "mcx_fo": ("MCX",),
        "1": NSE,
        "2": ("NFO",),
        "3": BSE,
        "4": ("BFO",),
        "5": ("MCX",),
        "13": ("CDS",),
    },
    "dhan": {
        "NSE_EQ": ("NSE_EQ",),
        "BSE_EQ": ("BSE_EQ",),
        "NSE_FNO": ("NFO",),
        "BSE_FNO": ("BFO",),
        "NSE_CURRENCY": ("CDS",),
        "BSE_CURRENCY": ("BCD",),
        "MCX_COMM": ("MCX",),
        "IDX_I": INDEX_SEGMENTS,
        "0": INDEX_SEGMENTS,
        "1": ("NSE_EQ",),
        "2": ("NFO",),
        "3": ("CDS",),
        "4": ("BSE_EQ",),
        "5": ("MCX",),
        "7": ("BCD",),
        "8": ("BFO",),
    },
    "fyers": {
        "NSE": (*NSE, "NFO", "CDS"),
        "BSE": (*BSE, "BFO", "BCD"),
        "MCX": ("MCX",),
        "1010": NSE,
        "1011": ("NFO",),
        "1012": ("CDS",),
        "1120": ("MCX",),
        "1210": BSE,
        "1211": ("BFO",),
        "1212": ("BCD",),
    },
    "common": {
        "C": CASH_SEGMENTS,
        "FO": ("NFO", "BFO"),
        "F": ("NFO", "BFO"),
        "O": ("NFO", "BFO"),
    },
}
PRODUCTS = {"F": "F", "O": "O", "FUT": "F", "OPT": "O"}


def aliases() -> Iterator[Alias]:
    """Yield every vendor's every code, with a row for each segment that it may mean."""
    for vendor, codes in CODES.items():
        for code, segments in codes.items():
            product = PRODUCTS.get(code, "") if vendor == "common" else ""
            yield from (Alias(vendor, code, segment, product) for segment in segments)
    for segment in DERIVATIVE_SEGMENTS:
        for suffix in ("FUT", "OPT"):
            yield Alias("kite", f"{segment}-{suffix}", segment, PRODUCTS[suffix])


def routes(rows: Iterable[Alias], precedence: tuple[str, ...]) -> dict[str, tuple[Route, ...]]:
    """Return where each code leads; more than one route where vendors mean different segments.

    Vendors agree when they prefer the same segment: `NSE` is NSE_EQ and NSE_INDEX to Kite, and
    also NFO and CDS to Fyers, which is one route of four. `3` is CDS to Kite and BSE_EQ to Angel,
    which are two. A segment's own code is that segment alone, whatever a vendor means by it.
    """
    by_vendor: dict[tuple[str, str, str], set[str]] = {}  # code, product, vendor -> segments
    for row in rows:
        if row.segment in precedence:
            by_vendor.setdefault((row.code, row.product, row.vendor), set()).add(row.segment)
    merged: dict[str, dict[tuple[str, str], set[str]]] = {}  # code -> first, product -> segments
    for (code, product, _), segments in by_vendor.items():
        first = min(segments, key=precedence.index)
        merged.setdefault(code, {}).setdefault((first, product), set()).update(segments)
    found = {
        code: tuple(
            Route(tuple(sorted(segments, key=precedence.index)), product)
            for (_, product), segments in sorted(
                groups.items(), key=lambda item: precedence.index(item[0][0])
            )
        )
        for code, groups in merged.items()
    }
    return found | {segment: (Route((segment,)),) for segment in precedence}


def prefixes(rows: Iterable[Alias]) -> frozenset[str]:
    """Return the codes that may precede a symbol, as in `NSE:RELIANCE`.

    Not the short codes: `C:EURUSD` is a symbol of its own elsewhere. Nor numbers.
    """
    codes = {row.code for row in rows if row.vendor != "common" and not row.code.isdigit()}
    return frozenset(codes.union(PRECEDENCE))
