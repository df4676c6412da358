"""A stored tick gives back the frame that was logged."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.keys import InstrumentKey
from quotes.history.rows import TickRow, contents_of
from quotes.ticks import Tick, encode_tick, parse_tick

numbers = st.one_of(
    st.integers(-(10**9), 10**9).map(str),
    st.decimals(-1000, 1000, places=3).map(lambda number: f"{number:f}"),
    st.sampled_from(["0", "0.0", "-0.50", "1e3", "1.20E-5", "5.00"]),
)
quantities = st.one_of(st.integers(0, 10**18).map(str), numbers)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10).map(json.dumps)
names = st.sampled_from(["volume", "oi", "bid", "note", "open", "vwap"])
symbols = st.sampled_from(["RELIANCE", "M&M", "NIFTY 50", 'a"b', "back\\slash", "₹"])


@given(
    symbols,
    st.sampled_from(["", "NSE_EQ"]),
    numbers,
    st.dictionaries(names, st.one_of(quantities, texts), max_size=4),
)
def test_contents_and_frame_are_inverse(
    symbol: str, segment: str, price: str, fields: dict[str, str]
) -> None:
    """Whatever a frame holds, its row gives it back byte for byte."""
    parts = [f'"price":{price}', *(f'"{name}":{text}' for name, text in fields.items())]
    published = "{" + ",".join(parts) + "}"
    try:
        tick = parse_tick(published.encode(), now_ms=10**13, symbol=symbol)
    except ValueError:
        return  # no tick
    frame = encode_tick(tick, segment=segment)
    key = InstrumentKey(segment, symbol)
    row = TickRow(key, tick.timestamp, 1, 1, 1, True, *contents_of(frame))
    assert row.frame == frame


@pytest.mark.parametrize(
    ("others", "volume", "oi", "rest"),
    [
        (b"", None, None, None),
        (b',"volume":0', 0, None, None),
        (b',"volume":120', 120, None, None),
        (b',"volume":12.0', 12, None, ',"volume":12.0'),
        (b',"volume":1.5', None, None, ',"volume":1.5'),
        (b',"volume":-1', None, None, ',"volume":-1'),
        (b',"volume":1e3', 1000, None, ',"volume":1e3'),
        (b',"volume":9999999999999999999', None, None, ',"volume":9999999999999999999'),
        (b',"oi":7,"volume":120', 120, 7, ',"oi":7,"volume":120'),
        (b',"note":"}","volume":3', 3, None, ',"note":"}","volume":3'),
        (b',"note":{"volume":9}', None, None, ',"note":{"volume":9}'),
    ],
)
def test_volume_and_open_interest_are_found(
    others: bytes, volume: int | None, oi: int | None, rest: str | None
) -> None:
    """Whole numbers that fit a column; what the volume alone does not say is kept as it is."""
    frame = encode_tick(Tick("A", "1", 10**12, "NSE_EQ", others))
    assert contents_of(frame) == ("1", volume, oi, rest)
