"""Any tick becomes a quote of Kite's shape."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from instruments.renderers import ENCODER
from quotes.errors import BadTick
from quotes.kite.rest.quote_fields import quote_of
from quotes.ticks import KNOWN_FIELDS, parse_tick
from tests.kite.test_rest import shape

NOW = 1_780_000_000_000
EXAMPLE = json.loads(
    (Path(__file__).parent / "data" / "quote.json").read_text(), parse_float=Decimal
)
SHAPE: Any = shape(EXAMPLE["data"]["NSE:INFY"])

numbers = (
    st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(-(10**9), 10**9, places=4).map(str)
)
anything = st.recursive(
    numbers | st.none() | st.booleans() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
levels = st.lists(
    st.fixed_dictionaries({"price": numbers, "quantity": numbers}, optional={"orders": numbers}),
    max_size=7,
)
depths = st.fixed_dictionaries({}, optional={"buy": levels, "sell": levels}) | anything
others = st.dictionaries(
    st.sampled_from(
        ["lower_circuit_limit", "upper_circuit_limit", "oi_day_high", "oi_day_low", "change"]
    ),
    anything,
)


@given(st.dictionaries(st.sampled_from(sorted(KNOWN_FIELDS)), numbers), others, depths)
def test_any_tick_is_a_quote(fields: dict[str, Any], more: dict[str, Any], depth: Any) -> None:
    """Keys and kinds of values are those of Kite's published answer, whatever a publisher sends."""
    values = {"symbol": "INFY", "price": "1412.950", "timestamp": NOW, **fields, **more}
    try:
        tick = parse_tick(json.dumps({**values, "depth": depth}).encode(), now_ms=NOW)
    except BadTick:
        return
    text = ENCODER.encode(quote_of(408065, tick, tick.fields))
    quote = json.loads(text, parse_float=Decimal, parse_constant=fail)
    assert str(quote["last_price"]) == "1412.950"
    if quote["last_trade_time"] is None:
        quote["last_trade_time"] = ""
    assert shape(quote) == SHAPE
    for name in ("volume", "oi", "last_quantity", "buy_quantity", "sell_quantity"):
        assert isinstance(quote[name], int)


def fail(text: str) -> None:
    raise AssertionError(f"not JSON: {text}")
