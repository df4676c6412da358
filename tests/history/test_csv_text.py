"""CSV of history: what a spreadsheet would run is text."""

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.keys import InstrumentKey
from quotes.history.formats.csv_text import csv_text, plain_name
from quotes.history.rows import TickRow

NAMES = st.text(st.sampled_from("'=+-@\t\r\n,\"A1"), min_size=1, max_size=8)


def cells(name: str, **fields: Any) -> dict[str, str]:
    """Return the cells of a tick of an instrument, as a spreadsheet reads them."""
    values = {"price": "-1.50", "volume": None, "oi": None, "rest": None, **fields}
    row = TickRow(InstrumentKey("", name), 1_700_000_000_000, -5, 1, 1, True, **values)
    text = b"".join(csv_text([[row]], ticks=True, times="ms")).decode()
    return next(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n", "'="])
def test_name_is_never_a_formula(first: str) -> None:
    """It has an apostrophe before it; numbers are as they are."""
    found = cells(f"{first}HYPERLINK(1)")
    assert found["instrument"] == f"'{first}HYPERLINK(1)"
    assert (found["price"], found["position"]) == ("-1.50", "-5")


@given(NAMES)
def test_every_name_comes_back(name: str) -> None:
    """What an export wrote, an import reads."""
    assert plain_name(cells(name)["instrument"]) == name


@pytest.mark.parametrize("name", ["NSE_EQ:M&M", "AAPL", "'AAPL", "A=B", "A-B"])
def test_other_names_stay(name: str) -> None:
    """Those of the exchanges, above all."""
    assert cells(name)["instrument"] == plain_name(name) == name
