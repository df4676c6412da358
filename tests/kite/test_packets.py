"""The packets of Kite's ticker: published examples, limits, and any values."""

import base64
import contextlib
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotes.kite.packets import (
    MAX_NUMBER,
    MIN_PRICE,
    BadPacket,
    Entry,
    Packet,
    decode,
    encode,
    is_served,
    join_packets,
    price_text,
    quantity,
    scale,
    scaled,
    seconds,
    split_packets,
)
from tests.kite.client import LENGTHS, read_frame, read_packet

DATA = Path(__file__).parent / "data"
INFY = 408065
NIFTY = 256265
USDINR = 1234 << 8 | 3
BSE_USDINR = 1234 << 8 | 6
CRUDEOIL = 2345 << 8 | 7

numbers = st.integers(0, MAX_NUMBER)
prices = st.integers(MIN_PRICE, MAX_NUMBER)
entries = st.builds(Entry, quantity=numbers, price=prices, orders=st.integers(0, 65_535))
sides = st.lists(entries, max_size=5).map(tuple)
tokens = st.builds(
    lambda exchange, low: exchange << 8 | low,
    st.integers(1, 2**23 - 1),
    st.sampled_from([1, 2, 3, 4, 5, 6, 7, 9]),
)
packets = st.builds(
    Packet,
    token=tokens,
    mode=st.sampled_from(["ltp", "quote", "full"]),
    last_price=prices,
    **dict.fromkeys(("avg_price", "open", "high", "low", "prev_close", "change"), prices),
    **dict.fromkeys(("last_qty", "volume", "buy_qty", "sell_qty"), numbers),
    **dict.fromkeys(("oi", "oi_high", "oi_low", "last_trade_time", "exchange_time"), numbers),
    buy=sides,
    sell=sides,
)


def example(mode: str) -> dict[str, Any]:
    """Return a published tick, its numbers as text."""
    text = (DATA / f"ticker_{mode}.json").read_text()
    found: dict[str, Any] = json.loads(text, parse_float=str, parse_int=str)
    return found


def packet_of(tick: dict[str, Any]) -> Packet:
    """Return the packet of a published tick."""
    token = int(tick["instrument_token"])
    digits = scale(token)
    depth = tick.get("depth", {"buy": [], "sell": []})

    def price(text: str) -> int:
        return scaled(text, digits)

    def side(name: str) -> tuple[Entry, ...]:
        return tuple(
            Entry(int(one["quantity"]), price(one["price"]), int(one["orders"]))
            for one in depth[name]
        )

    def moment(name: str) -> int:
        return int(datetime.fromisoformat(tick[name]).timestamp()) if name in tick else 0

    ohlc = tick.get("ohlc", dict.fromkeys(("open", "high", "low", "close"), "0"))
    return Packet(
        token=token,
        mode=tick["mode"],
        last_price=price(tick["last_price"]),
        last_qty=quantity(tick.get("last_quantity", "0")),
        avg_price=price(tick.get("average_price", "0")),
        volume=quantity(tick.get("volume", "0")),
        buy_qty=quantity(tick.get("buy_quantity", "0")),
        sell_qty=quantity(tick.get("sell_quantity", "0")),
        open=price(ohlc["open"]),
        high=price(ohlc["high"]),
        low=price(ohlc["low"]),
        prev_close=price(ohlc["close"]),
        last_trade_time=moment("last_trade_time"),
        oi=quantity(tick.get("oi", "0")),
        oi_high=quantity(tick.get("oi_day_high", "0")),
        oi_low=quantity(tick.get("oi_day_low", "0")),
        exchange_time=moment("timestamp"),
        buy=side("buy"),
        sell=side("sell"),
    )


@pytest.mark.parametrize("mode", ["quote", "full"])
def test_published_packets_are_made_byte_for_byte(mode: str) -> None:
    """A published tick becomes the published packet, and that becomes the tick."""
    packet = packet_of(example(mode))
    data = base64.b64decode((DATA / f"ticker_{mode}.packet").read_text())
    assert encode(packet) == data
    assert decode(data) == packet


def test_the_published_price_is_a_packet_of_eight_bytes() -> None:
    """The published tick of mode ltp, for which no packet was published, is token and price."""
    packet = packet_of(example("ltp"))
    assert encode(packet) == bytes.fromhex("00063a01 00026683")
    assert decode(encode(packet)) == packet


@given(packets)
def test_any_packet_is_read_back(packet: Packet) -> None:
    """A packet has a legal length, and an independent decoder reads from it what went in."""
    data = encode(packet)
    tick = read_packet(data)
    assert len(data) in LENGTHS
    divisor = 10 ** scale(packet.token)
    assert tick["instrument_token"] == packet.token and tick["mode"] == packet.mode
    assert tick["last_price"] == packet.last_price / divisor
    assert tick["tradable"] is not packet.is_index
    if packet.mode == "ltp":
        assert len(data) == 8
        return
    assert tick["ohlc"] == {
        "open": packet.open / divisor,
        "high": packet.high / divisor,
        "low": packet.low / divisor,
        "close": packet.prev_close / divisor,
    }
    if packet.is_index:
        assert len(data) == (32 if packet.mode == "full" else 28)
        assert tick["net_change"] == packet.change / divisor
        assert tick.get("exchange_timestamp", packet.exchange_time) == packet.exchange_time
        return
    assert len(data) == (184 if packet.mode == "full" else 44)
    assert tick["last_traded_quantity"] == packet.last_qty
    assert tick["average_traded_price"] == packet.avg_price / divisor
    assert tick["volume_traded"] == packet.volume
    assert tick["total_buy_quantity"] == packet.buy_qty
    assert tick["total_sell_quantity"] == packet.sell_qty
    if packet.mode == "full":
        assert tick["last_trade_time"] == packet.last_trade_time
        assert tick["exchange_timestamp"] == packet.exchange_time
        assert tick["oi"] == packet.oi
        assert (tick["oi_day_high"], tick["oi_day_low"]) == (packet.oi_high, packet.oi_low)
        for side, wanted in (("buy", packet.buy), ("sell", packet.sell)):
            read = [(one["quantity"], one["price"], one["orders"]) for one in tick["depth"][side]]
            sent = [(one.quantity, one.price / divisor, one.orders) for one in wanted]
            assert read == sent + [(0, 0.0, 0)] * (5 - len(sent))


@given(packets)
def test_decoding_gives_the_packet_again(packet: Packet) -> None:
    """What the decoder gives is encoded to the same bytes, and decoded to the same values."""
    data = encode(packet)
    again = decode(data)
    assert encode(again) == data and decode(encode(again)) == again
    assert again.last_price == packet.last_price


@given(st.lists(packets.map(encode), max_size=30))
def test_frames_hold_their_packets(made: list[bytes]) -> None:
    """The packets of a frame are read back in order, by our own and by another decoder."""
    payload = join_packets(made)
    assert split_packets(payload) == made
    assert read_frame(payload) == [read_packet(one) for one in made]


@given(st.binary(max_size=200))
def test_any_bytes_are_packets_or_refused(data: bytes) -> None:
    """Nothing but BadPacket comes out of the decoder."""
    for read in (split_packets, decode):
        with contextlib.suppress(BadPacket):
            read(data)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\0\1", "all of its packets"),
        (b"\0\1\0", "all of its packets"),
        (b"\0\1\0\x08\0", "all of its packets"),
        (b"\0\1\0\1\0\0", "has 1 more"),
        (b"\0\0\0", "has 1 more"),
    ],
)
def test_broken_frames_are_refused(payload: bytes, reason: str) -> None:
    """A frame that is cut short, or too long, is refused as a whole."""
    with pytest.raises(BadPacket, match=reason):
        split_packets(payload)


@pytest.mark.parametrize("data", [b"", b"\0" * 7, b"\0" * 9, b"\0" * 43, b"\0" * 185])
def test_packets_of_other_lengths_are_refused(data: bytes) -> None:
    """A packet has one of five lengths."""
    with pytest.raises(BadPacket, match="8, 28, 32, 44 or 184"):
        decode(data)


def test_tokens_of_unknown_segments_are_refused() -> None:
    """No client agrees with another on the prices of low byte 12: it is neither read nor made."""
    with pytest.raises(BadPacket, match="low byte"):
        decode((1 << 8 | 12).to_bytes(4) + bytes(4))
    assert not is_served(1 << 8 | 12) and not is_served(2**31 | 1) and not is_served(0)
    assert is_served(INFY) and is_served(NIFTY) and is_served(USDINR)


def test_a_heartbeat_has_no_packets() -> None:
    """The one byte of a heartbeat is a frame without packets."""
    assert split_packets(b"\0") == [] == read_frame(b"\0")


@pytest.mark.parametrize(
    ("text", "digits", "number"),
    [
        ("1573.7", 2, 157370),
        ("1573.70", 2, 157370),
        ("1573.700", 2, 157370),
        ("2031", 2, 203100),
        ("0.05", 2, 5),
        ("0", 2, 0),
        ("-37.63", 2, -3763),
        ("-0.05", 2, -5),
        ("-0.055", 2, -6),
        ("0.055", 2, 6),
        ("0.0549999999999999999999999999", 2, 5),
        ("1570.366666666666", 2, 157037),
        ("83.2525", 7, 832525000),
        ("83.2525", 4, 832525),
        ("1e3", 2, 100_000),
        ("1.5E1", 2, 1500),
        ("1e-3", 2, 0),
        ("1e29", 2, MAX_NUMBER),
        ("-1e29", 2, MIN_PRICE),
        ("0e29", 2, 0),
        ("0e-29", 2, 0),
        ("21474836.47", 2, MAX_NUMBER),
        ("21474836.48", 2, MAX_NUMBER),
        ("99999999999999999999999999999", 2, MAX_NUMBER),
        ("-99999999999.5", 2, MIN_PRICE),
        ("214.7483648", 7, MAX_NUMBER),
        ("4294967296", 0, MAX_NUMBER),
        ("10.5", 0, 11),
    ],
)
def test_numbers_are_scaled_as_decimals(text: str, digits: int, number: int) -> None:
    """A price is rounded to the digits of a packet, and kept within its bits."""
    assert scaled(text, digits) == number


@given(st.decimals(-(10**12), 10**12, allow_nan=False), st.sampled_from([0, 2, 4, 7]))
def test_scaling_is_exact(value: Decimal, digits: int) -> None:
    """No number is more than half a unit away from what it is made of."""
    number = scaled(str(value), digits)
    if MIN_PRICE < number < MAX_NUMBER:
        assert abs(Decimal(number) - value * 10**digits) <= Decimal("0.5")


def test_quantities_are_never_negative() -> None:
    """A quantity below 0 is 0, and one beyond 31 bits the greatest that clients read alike."""
    assert [quantity(one) for one in ("-5", "7", "4294967296", "1e10")] == [0, 7, *[MAX_NUMBER] * 2]
    assert [seconds(one) for one in (-1, 1712331900999, 2**31 * 1000)] == [
        0,
        1712331900,
        MAX_NUMBER,
    ]


@pytest.mark.parametrize(
    ("number", "token", "text"),
    [
        (157370, INFY, "1573.70"),
        (5, INFY, "0.05"),
        (-3763, CRUDEOIL, "-37.63"),
        (-5, CRUDEOIL, "-0.05"),
        (0, INFY, "0.00"),
        (832525000, USDINR, "83.2525"),
        (832525001, USDINR, "83.2525001"),
        (835000000, USDINR, "83.5000"),
        (832525, BSE_USDINR, "83.2525"),
        (1940000, NIFTY, "19400.00"),
    ],
)
def test_prices_become_rupees(number: int, token: int, text: str) -> None:
    """A packet's price is read as decimal text, by the divisor of its segment."""
    assert price_text(number, token) == text
    assert scaled(text, scale(token)) == number
