"""Rows of history in a backup's files, in both formats, come back with every digit and text."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instruments.errors import BadSymbol
from instruments.keys import InstrumentKey
from quotes.backup.history_restoring import candle_of, tick_of
from quotes.history.candles.intervals import STORED
from quotes.history.files.import_files import HistoryFile
from quotes.history.formats.arrow import available, parquet_file
from quotes.history.formats.csv_text import csv_text
from quotes.history.queries.stored import StoredCandle
from quotes.history.rows import TickRow

WHOLE = st.integers(0, 2**63 - 1)
MOMENTS = st.integers(1, 253_402_280_000_000)
# As JSON writes numbers, trailing zeros and exponents included.
PRICES = st.from_regex(
    r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?", fullmatch=True
)


def key(text: str) -> InstrumentKey | None:
    try:
        found = InstrumentKey.parse(text)
    except BadSymbol:
        return None
    return found if str(found) == text else None


KEYS = st.one_of(
    st.sampled_from(["NSE_EQ:M&M", "=1+1", "'=1", "-A", 'A"B', "A,B"]), st.text(min_size=1)
).map(key)
OTHERS = st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.none()), max_size=3).map(
    lambda fields: f",{msgspec.json.encode(fields).decode()[1:-1]}" if fields else None
)
TICKS = st.builds(
    TickRow,
    key=KEYS.filter(lambda one: one is not None),
    timestamp=MOMENTS,
    position=st.integers(-(2**40), 2**62),
    epoch=WHOLE,
    seq=WHOLE,
    shown=st.booleans(),
    price=PRICES,
    volume=st.none() | WHOLE,
    oi=st.none() | WHOLE,
    rest=OTHERS,
)
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, places=5)
CANDLES = st.builds(
    StoredCandle,
    key=KEYS.filter(lambda one: one is not None),
    interval=st.sampled_from(STORED),
    start=MOMENTS,
    ends=MOMENTS,
    **dict.fromkeys(("open", "high", "low", "close"), NUMBERS),
    volume=st.none() | WHOLE,
    oi=st.none() | WHOLE,
    ticks=WHOLE,
    final=st.booleans(),
    revised=st.booleans(),
    day_volume=WHOLE,
    fallen_from=WHOLE,
)
FORMATS = [
    "csv",
    pytest.param(
        "parquet", marks=pytest.mark.skipif(not available(), reason="install pyarrow: make parquet")
    ),
]


def read_back(
    path: Path, rows: Sequence[Any], form: str, read: Callable[[Any], Any], *, ticks: bool
) -> Iterator[Any]:
    """Write rows into a file, and yield what is read of it."""
    pieces = (
        csv_text([rows], ticks=ticks, times="ms", stored=True)
        if form == "csv"
        else parquet_file([rows], ticks=ticks, stored=True)
    )
    path.write_bytes(b"".join(pieces))
    return (read(cells) for _, cells in HistoryFile(path).rows())


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=30)
@given(rows=st.lists(TICKS, min_size=1, max_size=5))
def test_ticks_come_back(
    tmp_path_factory: pytest.TempPathFactory, form: str, rows: list[TickRow]
) -> None:
    """Byte for byte, so that history has the frames that clients got."""
    path = tmp_path_factory.getbasetemp() / f"ticks.{form}"
    found = list(read_back(path, rows, form, tick_of, ticks=True))
    assert found == [(str(row.key), tuple(row[1:])) for row in rows]


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=30)
@given(rows=st.lists(CANDLES, min_size=1, max_size=5))
def test_candles_come_back(
    tmp_path_factory: pytest.TempPathFactory, form: str, rows: list[StoredCandle]
) -> None:
    """With the state of the day's volume, and the digits of prices."""
    path = tmp_path_factory.getbasetemp() / f"candles.{form}"
    for row, (name, interval, bar) in zip(
        rows, read_back(path, rows, form, candle_of, ticks=False), strict=True
    ):
        assert (name, interval) == (str(row.key), row.interval)
        assert (bar.start, bar.ends, bar.volume, bar.oi, bar.ticks) == (
            *(row.start, row.ends, row.volume, row.oi, row.ticks),
        )
        prices = (bar.open, bar.high, bar.low, bar.close)
        assert [str(price) for price in prices] == [f"{one:f}" for one in row[4:8]]
        assert bar.volume_state == (row.day_volume, row.fallen_from)
        assert (bar.final, bar.revised) == (row.final, row.revised)
        assert all(isinstance(price, Decimal) for price in prices)
