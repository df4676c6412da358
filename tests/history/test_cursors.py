"""Cursors of pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.keys import InstrumentKey
from quotes.errors import BadHistoryQuery
from quotes.history.queries.cursors import PagePosition, decode_cursor, encode_cursor, list_id


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.integers(-(2**63) + 1, 2**63 - 1))
def test_cursors_come_back(timestamp: int, position: int) -> None:
    """A cursor is the position that it was made of, in its own list only."""
    mine = list_id("ticks", [InstrumentKey("NSE_EQ", "M&M")])
    cursor = PagePosition(mine, "NSE_EQ:M&M", timestamp, position)
    assert decode_cursor(encode_cursor(cursor), list_id=mine) == cursor
    with pytest.raises(BadHistoryQuery, match="another list"):
        decode_cursor(encode_cursor(cursor), list_id=list_id("1m", []))
