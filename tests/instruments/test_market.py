import pytest

from instruments import market
from instruments.keys import SEGMENTS
from instruments.market import PRECEDENCE, Alias, Route

# The table of codes, row by row: ours, Kite's low byte, Upstox, Angel, Dhan (name, number), Fyers.
CODES = [
    ("NSE_EQ", "1", "NSE_EQ", "1", "NSE_EQ", "1", "1010"),
    ("BSE_EQ", "4", "BSE_EQ", "3", "BSE_EQ", "4", "1210"),
    ("NFO", "2", "NSE_FO", "2", "NSE_FNO", "2", "1011"),
    ("BFO", "5", "BSE_FO", "4", "BSE_FNO", "8", "1211"),
    ("CDS", "3", "NCD_FO", "13", "NSE_CURRENCY", "3", "1012"),
    ("BCD", "6", "BCD_FO", "", "BSE_CURRENCY", "7", "1212"),
    ("MCX", "7", "MCX_FO", "5", "MCX_COMM", "5", "1120"),
    ("NSE_INDEX", "9", "NSE_INDEX", "1", "IDX_I", "0", "NSE"),
    ("BSE_INDEX", "9", "BSE_INDEX", "3", "IDX_I", "0", "BSE"),
]
ROUTES = market.routes(market.aliases(), PRECEDENCE)


def test_precedence_is_of_all_segments() -> None:
    """Cash comes before indices and these before derivatives, and NSE before BSE in each."""
    assert sorted(PRECEDENCE) == sorted(SEGMENTS)
    assert PRECEDENCE[:4] == (*market.CASH_SEGMENTS, *market.INDEX_SEGMENTS)
    assert PRECEDENCE[4:] == market.DERIVATIVE_SEGMENTS


@pytest.mark.parametrize(("segment", "kite", "upstox", "angel", "dhan", "number", "fyers"), CODES)
def test_every_vendor_has_a_code(
    segment: str, kite: str, upstox: str, angel: str, dhan: str, number: str, fyers: str
) -> None:
    """Each vendor's code for a segment leads to it."""
    known = {(alias.vendor, alias.code, alias.segment) for alias in market.aliases()}
    assert ("kite", kite, segment) in known
    assert ("upstox", upstox, segment) in known
    assert not angel or ("angel", angel, segment) in known
    assert ("dhan", dhan, segment) in known
    assert ("dhan", number, segment) in known
    assert ("fyers", fyers, segment) in known


@pytest.mark.parametrize(
    ("code", "routes"),
    [
        ("C", [Route(("NSE_EQ", "BSE_EQ"))]),
        ("FO", [Route(("NFO", "BFO"))]),
        ("F", [Route(("NFO", "BFO"), "F")]),
        ("O", [Route(("NFO", "BFO"), "O")]),
        ("NFO-OPT", [Route(("NFO",), "O")]),
        ("MCX-FUT", [Route(("MCX",), "F")]),
        ("NSE", [Route(("NSE_EQ", "NSE_INDEX", "NFO", "CDS"))]),
        ("NFO", [Route(("NFO",))]),
        ("NSE_EQ", [Route(("NSE_EQ",))]),
        ("1", [Route(("NSE_EQ", "NSE_INDEX"))]),
        ("3", [Route(("BSE_EQ", "BSE_INDEX")), Route(("CDS",))]),
        ("5", [Route(("BFO",)), Route(("MCX",))]),
    ],
)
def test_codes_keep_what_they_leave_open(code: str, routes: list[Route]) -> None:
    """A code of several segments prefers the first; vendors that disagree are kept apart."""
    assert list(ROUTES[code]) == routes


def test_short_codes_and_numbers_do_not_precede_a_symbol() -> None:
    """`C:EURUSD` and `3:X` are symbols of their own, `NSE:X` is not."""
    prefixes = market.prefixes(market.aliases())
    assert {"NSE", "NSE_EQ", "NSE_FO", "NSE_FNO", "NFO-OPT", "nse_cm", "BCD"} <= prefixes
    assert prefixes.isdisjoint({"C", "FO", "F", "O", "1", "13", "1010"})


def test_operators_may_add_codes() -> None:
    """A code of a table that is not ours leads to its segment; one of no segment is left out."""
    rows = [Alias("fyers", "NSEFO", "NFO", ""), Alias("fyers", "OLD", "NCDEX", "")]
    routes = market.routes(rows, PRECEDENCE)
    assert routes["NSEFO"] == (Route(("NFO",)),)
    assert "OLD" not in routes
