import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.errors import BadSymbol
from instruments.keys import SEGMENTS, InstrumentKey, check_symbol


def is_symbol(text: str) -> bool:
    try:
        return bool(check_symbol(text))
    except BadSymbol:
        return False


symbols = st.text(min_size=1, max_size=64).filter(is_symbol) | st.text(
    "&- .:/%|NIFTY05", min_size=1, max_size=64
).filter(is_symbol)


@given(st.sampled_from(SEGMENTS), symbols)
def test_printed_key_parses_to_itself(segment: str, symbol: str) -> None:
    """str() and parse() are inverse."""
    key = InstrumentKey(segment, symbol)
    assert InstrumentKey.parse(str(key)) == key


@pytest.mark.parametrize("name", ["M&M", "NIFTY 50", "BAJAJ-AUTO", "360ONE", "A" * 64, "₹"])
def test_symbols_of_the_market_are_symbols(name: str) -> None:
    """Names that exchanges use are accepted as they are written."""
    assert check_symbol(name) == name


@pytest.mark.parametrize(
    "name", ["", "*", "A" * 65, "A\nB", "A\x00", " A", "A ", "\ud800", "₹" * 22]
)
def test_what_is_no_symbol_is_refused(name: str) -> None:
    """Empty, too long, control characters, wildcards and lone surrogates are refused."""
    with pytest.raises(BadSymbol):
        check_symbol(name)
