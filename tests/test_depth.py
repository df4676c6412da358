"""The depth of a tick: one form, through every door."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotes.depth import DepthEntry, depth_text, read_depth
from quotes.errors import BadTick
from quotes.ticks import encode_tick, make_tick, parse_any_tick, parse_tick, read_frame
from tests.ticks import MOMENT

NOW = MOMENT + 1000
DEPTH = (
    b'{"buy":[{"price":1573.40,"quantity":5,"orders":1},{"price":1573,"quantity":140,"orders":2}],'
    b'"sell":[{"price":1573.70,"quantity":172,"orders":3}]}'
)

texts = st.decimals(
    allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9
).map(str)
entries = st.fixed_dictionaries(
    {"price": texts, "quantity": st.integers(0, 2**40).map(str)},
    optional={"orders": st.integers(0, 10**6).map(str)},
)
depths = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("buy", "sell"), st.lists(entries, max_size=7))
)
values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["buy", "sell", "price", "quantity", "orders", "x"]), inner
        )
    ),
)


def tick(depth: bytes) -> bytes:
    """Return a message with a depth."""
    return b'{"symbol":"A","price":1573.70,"timestamp":%d,"depth":%b}' % (MOMENT, depth)


def test_usual_depth_goes_through_as_it_is() -> None:
    """The digits of a depth, and of the fields beside it, stay as they were published."""
    payload = tick(DEPTH)[:-1] + b',"buy_qty":7,"sell_qty":9.0,"last_trade_time":%d}' % MOMENT
    parsed = parse_tick(payload, now_ms=NOW)
    assert encode_tick(parsed) == payload and parsed.unknown == ()
    assert read_frame(payload) == parsed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"buy":[],"sell":[]}', b'{"buy":[],"sell":[]}'),
        (b"{}", b'{"buy":[],"sell":[]}'),
        (b'{"buy":null,"x":[{}]}', b'{"buy":[],"sell":[]}'),
        (
            b'{"sell": [{"quantity": "5", "price": "10.50"}]}',
            b'{"buy":[],"sell":[{"price":10.50,"quantity":5,"orders":0}]}',
        ),
        (
            b'{"buy":[{"price":1e2,"quantity":null,"orders":3,"broker":"x"}],"sell":[]}',
            b'{"buy":[{"price":1e2,"quantity":0,"orders":3}],"sell":[]}',
        ),
        (
            b'{"buy":[%b],"sell":[]}' % b",".join([b'{"price":-1.5,"quantity":2,"orders":1}'] * 6),
            b'{"buy":[%b],"sell":[]}' % b",".join([b'{"price":-1.5,"quantity":2,"orders":1}'] * 5),
        ),
    ],
)
def test_other_layouts_are_brought_into_form(text: bytes, expected: bytes) -> None:
    """Quotes, further keys and entries go; what is missing is 0; numbers keep their digits."""
    assert depth_text(text) == expected == depth_text(expected)
    assert parse_tick(tick(text), now_ms=NOW).fields == {"depth": expected}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'""', "buy and sell"),
        (b"5", "buy and sell"),
        (b"[]", "buy and sell"),
        (b'[{"price":1,"quantity":1}]', "buy and sell"),
        (b'{"buy":5}', "buy and sell"),
        (b'{"buy":[5]}', "buy and sell"),
        (b'{"buy":[[1573.4,5]]}', "buy and sell"),
        (b'{"buy":[{"price":1}]}', "quantity"),
        (b'{"sell":[{"quantity":1}]}', "price"),
        (b'{"sell":[{"price":"x","quantity":1}]}', "price of depth.sell must be a finite number"),
        (b'{"buy":[{"price":1,"quantity":[1]}]}', "quantity of depth.buy"),
        (b'{"buy":[{"price":1,"quantity":1,"orders":{}}]}', "orders of depth.buy"),
        (b'{"buy":[{"price":1' + b"0" * 40 + b',"quantity":1}]}', "digits"),
        (b'{"buy":[{"price":1e99,"quantity":1}]}', "digits"),
    ],
)
def test_a_bad_depth_is_dropped_with_a_reason(text: bytes, reason: str) -> None:
    """The price is published without it, and the depth is among what is unknown."""
    with pytest.raises(BadTick, match=reason):
        depth_text(text)
    parsed = parse_tick(tick(text), now_ms=NOW)
    assert parsed.unknown == ("depth",) and parsed.fields == {}


def test_no_depth_is_nothing() -> None:
    """null drops the field, as in any field with a meaning."""
    parsed = parse_tick(tick(b"null"), now_ms=NOW)
    assert parsed.fields == {} and parsed.unknown == ()


def test_a_depth_is_read() -> None:
    """Whoever encodes a depth otherwise gets the texts of its numbers."""
    depth = read_depth(DEPTH)
    assert depth.buy == (DepthEntry("1573.40", "5", "1"), DepthEntry("1573", "140", "2"))
    assert depth.sell == (DepthEntry("1573.70", "172", "3"),)


@given(depths)
def test_any_depth_keeps_its_values(depth: dict[str, list[dict[str, str]]]) -> None:
    """What goes out is what came in, up to five entries a side, in one form."""
    text = json.dumps(depth).encode()
    found = json.loads(depth_text(text), parse_float=Decimal, parse_int=Decimal)
    assert list(found) == ["buy", "sell"]
    for side, rows in found.items():
        wanted = depth.get(side, [])[:5]
        assert rows == [
            {name: Decimal(one.get(name, "0")) for name in ("price", "quantity", "orders")}
            for one in wanted
        ]
    assert depth_text(depth_text(text)) == depth_text(text)


@given(values, st.booleans())
def test_any_json_is_a_depth_or_dropped(value: object, is_compact: bool) -> None:
    """Whatever stands under `depth`, the price is published, and each reader can read the frame."""
    separators = (",", ":") if is_compact else None
    payload = tick(json.dumps(value, separators=separators).encode())
    parsed = parse_tick(payload, now_ms=NOW)
    assert parsed == parse_any_tick(payload, now_ms=NOW)
    frame = encode_tick(parsed)
    json.loads(frame, parse_constant=pytest.fail)
    if "depth" in parsed.fields:
        read_depth(parsed.fields["depth"])


def test_a_program_makes_a_tick_with_depth() -> None:
    """Values of a program become the same tick as their text."""
    made = make_tick(
        symbol="A",
        price="1573.70",
        timestamp=MOMENT,
        now_ms=NOW,
        depth={"buy": [{"price": Decimal("1.50"), "quantity": 5}], "sell": []},
    )
    assert made.fields == {"depth": b'{"buy":[{"price":1.50,"quantity":5,"orders":0}],"sell":[]}'}
