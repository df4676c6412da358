"""Whatever the parser takes can be framed, in every mode and encoding."""

import json
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from quotes.errors import BadTick
from quotes.ticks import (
    KNOWN_FIELDS,
    MAX_DEPTH,
    depth_of,
    encode_tick,
    parse_tick,
    read_frame,
)
from quotes.websocket.delivery.day_fields import day_fields
from quotes.websocket.delivery.framing import payload
from quotes.websocket.delivery.price_message import PriceMessage
from tests.ticks import MOMENT

NUMBERS = st.from_regex(
    r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,25})?", fullmatch=True
)
LEAVES = (
    NUMBERS | st.text(max_size=8).map(json.dumps) | st.sampled_from(["null", "true", '"\\ud800"'])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda some: f"[{','.join(some)}]")
        | st.lists(st.tuples(st.text(max_size=3), inner), max_size=3).map(
            lambda some: "{" + ",".join(f"{json.dumps(k)}:{v}" for k, v in some) + "}"
        )
    ),
    max_leaves=6,
) | st.tuples(st.integers(0, 1200), st.sampled_from(["[", '{"a":'])).map(
    lambda one: one[1] * one[0] + "1" + {"[": "]", '{"a":': "}"}[one[1]] * one[0]
)
NAMES = st.sampled_from([*sorted(KNOWN_FIELDS), "change", "x", "segment"]) | st.text(max_size=4)


@given(NUMBERS, st.dictionaries(NAMES, VALUES, max_size=4), st.sampled_from(["", "NSE_EQ"]))
@example("1e29", {"prev_close": "1e-29"}, "")
@example("1", {"x": '"' + "y" * 16_340 + '"'}, "NSE_EQ")
@example("1", {"volume": "9" * 30}, "")
def test_tick_that_is_taken_can_be_framed(price: str, others: dict[str, str], segment: str) -> None:
    """Nothing raises; every product has the price, and MessagePack has the same keys as JSON."""
    tail = "".join(f",{json.dumps(name)}:{value}" for name, value in others.items())
    text = f'{{"symbol":"A","price":{price},"timestamp":{MOMENT}{tail}}}'.encode()
    try:
        tick = parse_tick(text, now_ms=MOMENT)
    except BadTick:
        return
    frame = encode_tick(tick, segment=segment)
    again = parse_tick(frame, now_ms=MOMENT)  # what our own publishers were given is taken
    assert encode_tick(again) == frame == encode_tick(read_frame(frame))
    check_all(frame)


def check_all(frame: bytes) -> None:
    message = PriceMessage("A", 1, 2, MOMENT, frame)
    for mode in ("ltp", "quote", "full", "full#", "quote#"):
        text = json.loads(payload(message, "json", mode), parse_float=str, parse_int=str)
        packed: dict[str, Any] = msgspec.msgpack.decode(payload(message, "msgpack", mode))
        assert list(packed) == list(text) and "price" in packed
    day_fields.keep(set())


@given(st.integers(0, 900))
def test_frame_of_the_previous_release_can_be_framed(depth: int) -> None:
    """A value that is nested deeper than is taken today is text in MessagePack."""
    value = "[" * depth + "]" * depth or "1"
    frame = f'{{"symbol":"A","price":1,"timestamp":{MOMENT},"x":{value},"y":{"7" * 30}}}'.encode()
    check_all(frame)
    packed = msgspec.msgpack.decode(payload(PriceMessage("A", 1, 2, 3, frame), "msgpack", "full"))
    assert (packed["x"] == value) is (depth > MAX_DEPTH) and packed["y"] == "7" * 30


@given(VALUES)
def test_depth_is_that_of_the_decoded_value(text: str) -> None:
    """Brackets in strings do not count; those behind a key that comes twice do."""

    def depth(value: Any) -> int:
        return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0

    def values(pairs: list[tuple[str, Any]]) -> list[Any]:
        return [value for _, value in pairs]

    if text.count("[") + text.count("{") < 100:
        decoded = json.loads(text, parse_float=str, parse_int=str, object_pairs_hook=values)
        assert depth_of(text.encode()) == depth(decoded)
