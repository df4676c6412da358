import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quotes.errors import BadTick
from quotes.ticks import (
    KNOWN_FIELDS,
    MAX_TICK_BYTES,
    USUAL_TICK,
    Tick,
    encode_tick,
    is_each_once,
    make_tick,
    parse_any_tick,
    parse_tick,
    segment_text,
    usual_frame,
    usual_head,
)
from tests.ticks import MOMENT, message
from tests.usual_messages import good_and_nearly_good

NOW = MOMENT + 1000

prices = st.decimals(
    allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9
)
names = st.text(
    st.characters(categories=["L", "N"], include_characters="&-_ "), min_size=1, max_size=30
).filter(lambda name: name == name.strip() and len(name.encode()) <= 64 and name.isprintable())
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=8,
)


@given(
    names,
    prices,
    st.integers(10**11, NOW),
    st.dictionaries(st.from_regex(r"x_[a-z]{1,8}", fullmatch=True), json_values, max_size=4),
    st.integers(0, 10**12),
)
def test_parse_then_encode_is_the_identity(
    symbol: str, price: Decimal, timestamp: int, others: dict[str, object], volume: int
) -> None:
    """What an encoder of compact JSON writes in the contract's order comes out byte for byte."""
    text = message(symbol, str(price), timestamp, volume=volume, **others)
    compact = json.dumps(
        json.loads(text, parse_float=str), separators=(",", ":"), ensure_ascii=False
    )
    assert compact  # the text is JSON
    tick = parse_tick(text.encode(), now_ms=NOW)
    assert tick.price == price and tick.timestamp == timestamp and tick.symbol == symbol
    frame = encode_tick(tick)
    assert parse_tick(frame, now_ms=NOW) == tick
    assert encode_tick(parse_tick(frame, now_ms=NOW)) == frame
    assert json.loads(frame) == json.loads(text)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_tick_or_a_bad_tick(payload: bytes) -> None:
    """Nothing but BadTick comes out of the parser, and what passes is JSON."""
    try:
        tick = parse_tick(payload, now_ms=NOW, symbol="X")
    except BadTick:
        return
    json.loads(encode_tick(tick).decode())


@given(
    st.recursive(
        st.floats() | st.text() | st.none() | st.integers(),
        lambda c: (
            st.lists(c)
            | st.dictionaries(
                st.sampled_from(["symbol", "price", "timestamp", "volume", "type", "x"]), c
            )
        ),
    )
)
def test_any_json_is_a_tick_or_a_bad_tick(value: object) -> None:
    """JSON of any shape, NaN included, is a tick or a BadTick."""
    try:
        tick = parse_tick(json.dumps(value).encode(), now_ms=NOW, symbol="X")
    except BadTick:
        return
    frame = json.loads(encode_tick(tick))
    assert list(frame)[:3] == ["symbol", "price", "timestamp"] and "type" not in frame


@pytest.mark.parametrize(
    "digits", ["189.45", "189.450", "0.05", "-37.63", "1e3", "123456789012345678.123456789", "100"]
)
def test_price_keeps_its_digits(digits: str) -> None:
    """A price leaves with the digits that came in, as a number or in quotes."""
    assert f'"price":{digits},'.encode() in encode_tick(
        parse_tick(message(price=digits).encode(), now_ms=NOW)
    )
    quoted = message(price=f'"{digits}"').encode()
    assert f'"price":{digits},'.encode() in encode_tick(parse_tick(quoted, now_ms=NOW))


def test_missing_timestamp_is_the_time_of_arrival() -> None:
    """A tick without a time, or with null, happened when it came."""
    assert parse_tick(b'{"symbol":"A","price":1}', now_ms=NOW).timestamp == NOW
    assert parse_tick(b'{"symbol":"A","price":1,"timestamp":null}', now_ms=NOW).timestamp == NOW


def test_missing_symbol_is_the_channels() -> None:
    """A tick without a symbol is of the name under which it came."""
    assert parse_tick(b'{"price":1}', now_ms=NOW, symbol="TCS").symbol == "TCS"


def test_null_optional_field_is_left_out() -> None:
    """A null in a known field drops it; a null in another field passes through."""
    tick = parse_tick(message(volume=None, bid=None, x=None).encode(), now_ms=NOW)
    assert dict(tick.fields) == {"x": b"null"}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "JSON"),
        (b"price", "JSON"),
        (b"[1]", "JSON object"),
        (b"5", "JSON object"),
        (b'{"symbol":"A"}', "no price"),
        (b'{"symbol":"A","price":null}', "finite number"),
        (b'{"symbol":"A","price":NaN}', "finite number"),
        (b'{"symbol":"A","price":"NaN"}', "finite number"),
        (b'{"symbol":"A","price":Infinity}', "finite number"),
        (b'{"symbol":"A","price":""}', "finite number"),
        (b'{"symbol":"A","price":1,"x":nan}', "JSON"),
        (b'{"symbol":"A","price":"-Infinity"}', "finite number"),
        (b'{"symbol":"A","price":"12,5"}', "finite number"),
        (b'{"symbol":"A","price":"1_0"}', "finite number"),
        (b'{"symbol":"A","price":"\xd9\xa1"}', "finite number"),
        (b'{"symbol":"A","price":1e400}', "digits"),
        (b'{"symbol":"A","price":1' + b"0" * 40 + b"}", "digits"),
        (b'{"symbol":"A","price":true}', "finite number"),
        (b'{"symbol":"A","price":1,"volume":"many"}', "volume"),
        (b'{"symbol":"A","price":1,"bid":[1]}', "bid"),
        (b'{"symbol":"A","price":1,"timestamp":1712331900}', "milliseconds, not seconds"),
        (b'{"symbol":"A","price":1,"timestamp":-5}', "milliseconds"),
        (b'{"symbol":"A","price":1,"timestamp":"now"}', "milliseconds"),
        (b'{"symbol":"A","price":1,"timestamp":""}', "milliseconds"),
        (b'{"symbol":"A","price":1,"timestamp":1.5}', "milliseconds"),
        (b'{"symbol":"A","price":1,"timestamp":1e30}', "milliseconds"),
        (b'{"symbol":"A","price":1,"timestamp":1e999}', "milliseconds"),
        (b'{"symbol":"A","price":1,"timestamp":-1712331900000.0}', "milliseconds"),
        (b'{"symbol":"A","price":1,"timestamp":1912331900000.0}', "ahead"),
        (b'{"symbol":"A","price":1,"timestamp":1912331900000}', "ahead"),
        (b'{"symbol":5,"price":1}', "symbol must be text"),
        (b'{"symbol":"*","price":1}', "symbol"),
        (b'{"symbol":"","price":1}', "symbol"),
        (b'{"symbol":"A","segment":7,"price":1}', "segment must be text"),
        (b'{"symbol":"A","price":1,"x":"\x01"}', "JSON"),
        (b'{"symbol":"A","price":1,"x":"\xff"}', "JSON"),
        (b'{"symbol":"A","price":1,"x":' + b"[" * 5000 + b"]" * 5000 + b"}", "JSON"),
        (b'{"symbol":"A","price":1,"x":"' + b"y" * MAX_TICK_BYTES + b'"}', "at most"),
    ],
)
def test_what_is_no_tick_is_refused_with_a_reason(payload: bytes, reason: str) -> None:
    """Each kind of rubbish is refused, and the text says what is wrong."""
    with pytest.raises(BadTick, match=reason):
        parse_tick(payload, now_ms=NOW)


@pytest.mark.parametrize(
    "timestamp",
    ["1712331900000.0", "1712331900000.999", "1.7123319e12", "17123319e5", '"1712331900000.0"'],
)
def test_time_of_a_float_is_cut_to_the_millisecond(timestamp: str) -> None:
    """Programs that compute with floats write a time with a fraction or an exponent."""
    text = f'{{"symbol":"A","price":1,"timestamp":{timestamp}}}'
    tick = parse_tick(text.encode(), now_ms=NOW)
    assert tick.timestamp == 1712331900000


@pytest.mark.parametrize(
    "nothing",
    ["NaN", "-Infinity", "Infinity", '""', '" "', '"-"', '"NaN"', '"nan"', '"None"', '"N/A"'],
)
def test_field_without_a_number_is_unknown(nothing: str) -> None:
    """A good price is kept when a field beside it has no number; the field is dropped."""
    text = f'{{"price":1,"volume":{nothing},"bid":5.5,"x":"NaN -Infinity"}}'
    tick = parse_tick(text.encode(), now_ms=NOW, symbol="A")
    assert tick.unknown == ("volume",)
    assert tick.fields == {"bid": b"5.5", "x": b'"NaN -Infinity"'}
    json.loads(encode_tick(tick), parse_constant=pytest.fail)


def test_other_key_that_is_not_a_number_is_null() -> None:
    """Keys without a meaning here pass through as JSON that every client can read."""
    text = b'{"symbol":"A","price":1,"x":[1,NaN,{"y":-Infinity}]}'
    tick = parse_tick(text, now_ms=NOW)
    assert tick.fields == {"x": b'[1,null,{"y":null}]'}


def test_byte_order_mark_is_passed_over() -> None:
    """Editors and libraries of Windows begin a text with one."""
    text = message(volume="5").encode()
    assert parse_tick(b"\xef\xbb\xbf" + text, now_ms=NOW) == parse_tick(text, now_ms=NOW)


def test_made_tick_is_a_parsed_one() -> None:
    """Values of a program make the same tick as their text."""
    made = make_tick(
        symbol="A", price=Decimal("1.50"), volume=5, bid=None, timestamp=MOMENT, now_ms=NOW
    )
    assert made == Tick("A", "1.50", MOMENT, "", b',"volume":5')


numbers = st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str) | st.from_regex(
    r"-?0?[0-9]{1,16}(\.[0-9]{0,3})?", fullmatch=True
)


@given(
    st.from_regex(r"[A-Z&_ -]{1,66}|M&M", fullmatch=True),
    numbers,
    st.from_regex(r"0?[0-9]{10,14}", fullmatch=True),
    st.dictionaries(
        st.sampled_from([*sorted(KNOWN_FIELDS), "sent_ns", "x9", "seq"]), numbers, max_size=3
    ),
)
def test_usual_layout_is_read_like_any_other(
    symbol: str, price: str, timestamp: str, others: dict[str, str]
) -> None:
    """The short cut for the usual layout gives the tick, or the refusal, of the long way."""
    tail = "".join(f',"{name}":{value}' for name, value in others.items())
    tail += tail[: tail.find(",", 1)] if len(price) % 5 == 0 else ""  # a key that comes twice
    payload = f'{{"symbol":"{symbol}","price":{price},"timestamp":{timestamp}{tail}}}'.encode()
    try:
        expected = parse_any_tick(payload, now_ms=NOW)
    except BadTick:
        with pytest.raises(BadTick):
            parse_tick(payload, now_ms=NOW)
    else:
        assert parse_tick(payload, now_ms=NOW) == expected


@given(
    st.sampled_from(["A", "NIFTY 50", "M&M", "B"]),
    st.sampled_from(["", "NSE_EQ"]),
    st.from_regex(r"-?(0|[1-9][0-9]{0,5})(\.[0-9]{1,4})?|1e5|01|\"5\"|null", fullmatch=True),
    st.sampled_from([MOMENT, MOMENT + 10**9, 5, 10**12]),
    st.lists(
        st.tuples(
            st.sampled_from(
                ["volume", "bid", "more", "x_1", "symbol", "segment", "type", "seq", "epoch"]
            ),
            st.sampled_from(["1", "2.50", "null", '"x"']),
        ),
        max_size=4,
    ),
    st.sampled_from(["", " ", "x"]),
)
def test_usual_frame_is_what_parser_and_encoder_make(
    symbol: str, segment: str, price: str, at: int, others: list[tuple[str, str]], end: str
) -> None:
    """The short way says what the long way says, or nothing."""
    keys = "".join(f',"{name}":{value}' for name, value in others)
    payload = f'{{"symbol":"{symbol}","price":{price},"timestamp":{at}{keys}}}{end}'.encode()
    found = usual_frame(payload, usual_head("A"), segment_text(segment), latest_ms=MOMENT)
    if found is not None:
        tick = parse_tick(payload, now_ms=MOMENT)
        assert found == (tick.timestamp, encode_tick(tick, symbol="A", segment=segment))


@settings(max_examples=500)
@given(good_and_nearly_good(), st.sampled_from(["", "NSE_EQ"]))
def test_usual_frame_reads_the_usual_layout_and_no_other(payload: bytes, segment: str) -> None:
    """It reads what `USUAL_TICK` matches, each field once, up to the latest time; nothing else."""
    found = usual_frame(payload, usual_head("A"), segment_text(segment), latest_ms=MOMENT)
    match = USUAL_TICK.fullmatch(payload)
    if match and match[1] == b"A" and 10**11 <= int(match[3]) <= MOMENT and is_each_once(match[4]):
        frame = payload[: match.end(3)] + segment_text(segment) + payload[match.end(3) :]
        assert found == (int(match[3]), frame)
    else:
        assert found is None


def test_usual_messages_take_the_short_way() -> None:
    """What nearly all publishers send is read by one match, with the segment in its place."""
    payload = b'{"symbol":"A","price":1.50,"timestamp":%d,"volume":7,"bid":1.45}' % MOMENT
    head = usual_head("A")
    assert usual_frame(payload, head, b"", latest_ms=MOMENT) == (MOMENT, payload)
    assert usual_frame(payload, head, segment_text("NSE_EQ"), latest_ms=MOMENT) == (
        MOMENT,
        b'{"symbol":"A","price":1.50,"timestamp":%d,"segment":"NSE_EQ","volume":7,"bid":1.45}'
        % MOMENT,
    )


@pytest.mark.parametrize("digits", ["{}", '"{}"'])
@pytest.mark.parametrize("ahead_ms", [0, 5_000, 120_000])
def test_times_are_accepted_up_to_the_tolerance(digits: str, ahead_ms: int) -> None:
    """A tick may be ahead of the clock by the tolerance, in any layout, and no further."""
    for more, is_good in ((0, True), (1, False), (86_400_000, False)):
        timestamp = NOW + ahead_ms + more
        payload = f'{{"symbol":"A","price":1,"timestamp":{digits.format(timestamp)}}}'.encode()
        if is_good:
            assert parse_tick(payload, now_ms=NOW, ahead_ms=ahead_ms).timestamp == timestamp
        else:
            with pytest.raises(BadTick, match=f"at most {ahead_ms // 1000} s ahead"):
                parse_tick(payload, now_ms=NOW, ahead_ms=ahead_ms)
        short = usual_frame(payload, usual_head("A"), b"", latest_ms=NOW + ahead_ms)
        assert is_good or short is None


@pytest.mark.parametrize(
    ("ahead", "is_said"),
    [
        (19_800_000, True),
        (19_800_000 - 119_000, True),
        (19_800_000 + 119_000, True),
        (19_800_000 - 121_000, False),
        (86_400_000, False),
        (200_000, False),
    ],
)
def test_indian_time_written_as_utc_is_named(ahead: int, is_said: bool) -> None:
    """A time 5 h 30 ahead, give or take the tolerance, is refused with its usual cause."""
    with pytest.raises(BadTick) as raised:
        parse_tick(message(timestamp=NOW + ahead).encode(), now_ms=NOW, ahead_ms=120_000)
    assert ("looks like Indian time written as UTC" in str(raised.value)) is is_said
