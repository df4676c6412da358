import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.errors import BadSymbol
from instruments.keys import SEGMENTS, InstrumentKey
from quotes.store.group_names import key_of_price_group, price_group
from tests.instruments.test_keys import symbols

GROUP = re.compile(r"^[a-zA-Z0-9\-_.]{1,99}$")  # channels.layers.BaseChannelLayer


@given(st.sampled_from(("", *SEGMENTS)), symbols)
def test_group_name_is_reversible_and_legal(segment: str, symbol: str) -> None:
    """Every key has a legal group name, and the group name gives the key back."""
    key = InstrumentKey(segment, symbol)
    assert GROUP.match(price_group(key))
    assert key_of_price_group(price_group(key)) == key


@pytest.mark.parametrize(
    "name", ["", "AAPL", "NSE_EQ.", "NSE_EQ.-", ".-a.2", ".-.41", "..!", "..QQ"]
)
def test_other_text_is_no_group_of_an_instrument(name: str) -> None:
    """Only what price_group makes is read back."""
    with pytest.raises(BadSymbol):
        key_of_price_group(name)
