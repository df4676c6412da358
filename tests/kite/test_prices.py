"""From prices to packets: any tick that a door accepts, whatever stands in its fields."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.index import index
from quotes.errors import BadTick
from quotes.kite.packets import is_index
from quotes.kite.ticker.framing import KiteFraming
from quotes.ticks import KNOWN_FIELDS, encode_tick, parse_tick
from quotes.websocket.delivery.day_fields import day_fields
from quotes.websocket.delivery.price_message import DELAYED, TICK, PriceMessage
from quotes.websocket.protocol import ErrorCode, frame
from quotes.websocket.transports.base import BINARY, TEXT
from tests.instruments.factories import snapshot_of
from tests.kite.client import LENGTHS, read_frame
from tests.kite.instruments import CRUDEOIL, listed, many, token_of
from tests.ticks import MOMENT

ENTRIES = {str(row.instrument_token): row for row in listed() if row.instrument_token}
MODES = ("ltp", "quote", "full")

numbers = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9)).map(str),
    st.sampled_from(["0", "-0", "0.0", "1e3", "1E-7", "-1e29", "2147483648", "9" * 30, "1e30"]),
)
anything = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["buy", "sell", "x"]), inner)
    ),
)
entries = st.fixed_dictionaries(
    {"price": numbers, "quantity": numbers}, optional={"orders": numbers}
)
depths = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("buy", "sell"), st.lists(entries, max_size=6))
)
fields = st.dictionaries(st.sampled_from(sorted(KNOWN_FIELDS)), numbers, max_size=16)
other_fields = st.dictionaries(
    st.sampled_from(["oi_day_high", "oi_day_low", "depth", "change", "x", "bid"]), anything
)


class Transport:
    """Keeps frames as they are."""

    form = "test"

    def frame(self, opcode: int, payload: bytes) -> tuple[int, bytes]:
        return opcode, payload


def framing() -> KiteFraming:
    return KiteFraming(Transport())  # type: ignore[arg-type]


@pytest.fixture(scope="module", autouse=True)
def master() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "_snapshot", snapshot_of(*listed(), *many(1200)))
        yield
    day_fields.keep(set())


@given(
    st.sampled_from([token for token in ENTRIES if token != str(77 << 8 | 12)]),
    numbers,
    st.integers(10**11, 10**14),
    fields,
    other_fields,
    depths | st.none(),
    st.booleans(),
    st.sampled_from([TICK, DELAYED]),
)
def test_any_tick_becomes_packets_of_legal_lengths(
    token: str,
    price: str,
    timestamp: int,
    known: dict[str, str],
    others: dict[str, Any],
    depth: dict[str, Any] | None,
    has_day: bool,
    kind: int,
) -> None:
    """What the bridge accepts is a packet in each mode, which an independent decoder reads."""
    row = ENTRIES[token]
    key = f"{row.segment_id}:{row.symbol}"
    values = {**others, **known, **({"depth": depth} if depth is not None else {})}
    text = json.dumps({"price": price, "timestamp": timestamp, **values})
    try:
        tick = parse_tick(text.encode(), now_ms=10**14, symbol=row.symbol)
    except BadTick:
        return
    day_fields.keep(set())
    if has_day:
        # Of the day of a time that many examples have.
        day = {"date": "1973-03-03", "open": 1, "high": 2, "low": 0.5, "prev_close": 1.25}
        day_fields.take(key, json.dumps({**day, "volume": 5}).encode())
    price_frame = encode_tick(tick, segment=row.segment_id)
    message = PriceMessage(key, 1, 1, timestamp, price_frame, kind=kind)
    one = framing()
    for mode in MODES:
        one.set_mode(mode)
        payload = one.payload(message)
        assert payload is one.payload(message)
        opcode, data = one.frame(message)
        assert opcode == BINARY and data == b"\0\1" + payload
        assert len(payload) - 2 in LENGTHS
        (found,) = read_frame(data)
        assert (found["instrument_token"], found["mode"]) == (int(token), mode)
        assert found["tradable"] is not is_index(int(token))
        expected = Decimal(tick.price_text)
        if abs(expected) < 200:
            assert abs(Decimal(repr(found["last_price"])) - expected) <= Decimal("0.005")


def price_message(number: int = 0, **values: Any) -> PriceMessage:
    text = json.dumps({"symbol": f"S{number}", "price": 1.5, "timestamp": MOMENT, **values})
    tick = parse_tick(text.encode(), now_ms=MOMENT)
    return PriceMessage(f"NSE_EQ:S{number}", 1, 1, MOMENT, encode_tick(tick, segment="NSE_EQ"))


def test_a_packet_is_made_once_for_all_clients() -> None:
    """Clients of one mode share the packet, and those with the same prices the frame as well."""
    messages = [price_message(n) for n in range(3)]
    first, second, other = framing(), framing(), framing()
    other.set_mode("full")
    payloads = [list(map(one.payload, messages)) for one in (first, second, other)]
    assert all(one is two for one, two in zip(*payloads[:2], strict=True))
    assert len({len(one) for one in payloads[2]} | {46}) == 2
    assert first.arrays(payloads[0])[0] is second.arrays(payloads[1])[0]
    assert other.arrays(payloads[2])[0] != first.arrays(payloads[0])[0]


def test_long_lists_are_cut_into_frames() -> None:
    """A frame has at most 500 packets, in order; instruments without a token are left out."""
    one = framing()
    payloads = [one.payload(price_message(n)) for n in range(1200)]
    nothing = one.payload(PriceMessage("NSE_EQ:NOTOKEN", 1, 1, MOMENT, price_message(0).frame))
    unlisted = one.payload(PriceMessage("AAPL", 1, 1, MOMENT, price_message(0).frame))
    assert nothing == unlisted == b""
    frames = [data for _, data in one.arrays([nothing, *payloads, unlisted])]
    assert [int.from_bytes(data[:2]) for data in frames] == [500, 500, 200]
    tokens = [tick["instrument_token"] for data in frames for tick in read_frame(data)]
    assert tokens == [token_of(n) for n in range(1200)]
    assert one.arrays([nothing]) == []


def test_a_frame_of_the_previous_release_is_a_packet() -> None:
    """Bridges of the release before pass on any depth: it is left out, and the price is sent."""
    for depth in ("5", '"x"', "[[1,2]]", '{"buy":[{"price":"x"}]}', '{"buy":[{"price":1e400}]}'):
        frame_text = f'{{"symbol":"S1","price":1.5,"timestamp":{MOMENT},"depth":{depth}}}'
        one = framing()
        one.set_mode("full")
        _, data = one.frame(PriceMessage("NSE_EQ:S1", 1, 1, MOMENT, frame_text.encode()))
        (tick,) = read_frame(data)
        assert tick["last_price"] == 1.5 and tick["depth"]["buy"][0]["price"] == 0


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        (MOMENT + 999, MOMENT // 1000),
        (MOMENT + 0.5, MOMENT // 1000),
        (MOMENT // 1000, 0),  # in seconds
        (-5, 0),
        (10**17, 2**31 - 1),
        (10**25, 0),
    ],
)
def test_last_trade_time_is_cut_to_the_second(moment: float, seconds: int) -> None:
    """A time that cannot be in milliseconds counts as unknown."""
    one = framing()
    one.set_mode("full")
    (tick,) = read_frame(one.frame(price_message(last_trade_time=moment))[1])
    assert tick["last_trade_time"] == seconds


def test_a_future_may_be_negative_and_its_day_too() -> None:
    """Crude oil once was: prices and the day's fields are signed."""
    values = {"open": 10.5, "high": 11, "low": -40.32, "prev_close": 18.27}
    text = json.dumps({"symbol": "C", "price": -37.63, "timestamp": MOMENT, **values})
    tick = parse_tick(text.encode(), now_ms=MOMENT)
    one = framing()
    message = PriceMessage("MCX:CRUDEOIL99APRFUT", 1, 1, MOMENT, encode_tick(tick))
    (found,) = read_frame(one.frame(message)[1])
    assert (found["instrument_token"], found["last_price"]) == (CRUDEOIL, -37.63)
    assert found["ohlc"] == {"open": 10.5, "high": 11.0, "low": -40.32, "close": 18.27}


def test_control_frames_are_heartbeats_or_texts() -> None:
    """What Kite's protocol has no words for is not sent."""
    one = framing()
    assert one.control(frame("heartbeat", timestamp=1)) == (BINARY, b"\0")
    assert one.control(frame("error", code=ErrorCode.BAD_REQUEST, message="no")) == (
        TEXT,
        b'{"type":"error","data":"no"}',
    )
    for silent in (
        frame("subscribed", symbols=["A"], rejected=[]),
        frame("unsubscribed", symbols=[], rejected=[{"symbol": "A", "message": "no"}]),
        frame("status", status="entitlements_changed", segments=["NSE_EQ"], dropped=[]),
        *(frame(kind) for kind in ("authenticated", "pong", "conflated", "market_status")),
    ):
        assert one.control(silent) is None
