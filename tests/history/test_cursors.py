"""Cursors of pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.keys import InstrumentKey
from quotes.errors import BadHistoryQuery
from quotes.history.queries.cursors import PagePosition, decode_cursor, encode_cursor, list_id


@given(st.integers(-(2**63) + 2, 2**63 - 2), st.integers(-(2**63) + 2, 2**63 - 2))
def test_cursors_come_back(timestamp: int, position: int) -> None:
    """A cursor is the position that it was made of, in its own list only."""
    mine = list_id("ticks", [InstrumentKey("NSE_EQ", "M&M")])
    cursor = PagePosition(mine, "NSE_EQ:M&M", timestamp, position)
    assert decode_cursor(encode_cursor(cursor), list_id=mine) == cursor
    with pytest.raises(BadHistoryQuery, match="another list"):
        decode_cursor(encode_cursor(cursor), list_id=list_id("1m", []))


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63) + 1, 2**63, 10**30])
def test_number_beyond_those_of_a_database_is_no_cursor(number: int) -> None:
    """Nor is the last of them, after which no page can begin."""
    mine = list_id("1m", [])
    for position in (PagePosition(mine, "TCS", number), PagePosition(mine, "TCS", 1, number)):
        with pytest.raises(BadHistoryQuery, match="not a cursor"):
            decode_cursor(encode_cursor(position), list_id=mine)
