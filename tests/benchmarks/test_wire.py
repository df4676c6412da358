"""Frames as a load client meets them: exact whatever the boundaries of the chunks."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.wire import PING, TEXT, FrameReader, frame, pings_in, prices_in


def cut(data: bytes, positions: list[int]) -> list[bytes]:
    """Return the data in chunks, cut at positions that are taken modulo its length."""
    ends = sorted({position % (len(data) + 1) for position in positions} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(ends)]


positions = st.lists(st.integers(min_value=0, max_value=1 << 20), max_size=20)


@given(payloads=st.lists(st.binary(max_size=300), max_size=12), where=positions)
def test_a_reader_finds_every_message_whatever_the_chunks(
    payloads: list[bytes], where: list[int]
) -> None:
    """What was framed comes out whole and in order."""
    stream = b"".join(frame(payload, masked=False) for payload in payloads)
    reader = FrameReader()
    found = [message for chunk in cut(stream, where) for message in reader.feed(chunk)]
    assert found == [(TEXT, payload) for payload in payloads]
    assert reader.rest == b""


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_every_form_of_length_is_read(size: int) -> None:
    """The three forms of a frame's length meet at their borders."""
    payload = b"x" * size
    assert FrameReader().feed(frame(payload, masked=False)) == [(TEXT, payload)]


def test_a_message_in_parts_is_one_message() -> None:
    """Continuation frames are joined, and a ping between them is reported at once."""
    reader = FrameReader()
    begun = b"\x01\x03abc" + frame(b"?", PING, masked=False)
    assert reader.feed(begun) == [(PING, b"?")]
    assert reader.feed(b"\x80\x02de") == [(TEXT, b"abcde")]


@pytest.mark.parametrize("data", [b"\xc1\x00", b"\x81\x80"], ids=["compressed", "masked"])
def test_a_frame_no_server_may_send_is_refused(data: bytes) -> None:
    """Compressed and masked frames would make every count wrong."""
    with pytest.raises(ValueError, match="plain and unmasked"):
        FrameReader().feed(data)


def test_a_clients_frame_is_masked_with_zeros() -> None:
    """The mask is announced, as a server demands, and changes no byte."""
    assert frame(b"abc") == b"\x81\x83\0\0\0\0abc"


# The answer to a subscription, and a push.
CENTRIFUGO = (
    '{"id":2,"subscribe":{"publications":[{"data":%s}]}}\n'
    '{"push":{"channel":"AAPL","pub":{"data":%s,"offset":2}}}'
)
PRICE = {"symbol": "AAPL", "price": 189.45, "timestamp": 1712331900000}


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (json.dumps(PRICE), [PRICE]),
        (json.dumps([PRICE, PRICE]), [PRICE, PRICE]),
        ("42" + json.dumps(["tick", PRICE]), [PRICE]),
        ("42" + json.dumps(["subscribed", {}]), []),
        ('{"type":"subscribed","symbols":["AAPL"]}', []),
        (CENTRIFUGO % (json.dumps(PRICE), json.dumps(PRICE)), [PRICE, PRICE]),
        ('{"id":1,"connect":{"ping":600}}\n{"id":2,"subscribe":{}}', []),
        ("{}", []),
        ("2", []),
        ('0{"sid":"x"}', []),
    ],
)
def test_prices_are_found_in_what_each_kind_of_server_sends(
    payload: str, found: list[dict[str, object]]
) -> None:
    """A price, an array, an event of Socket.IO, lines of Centrifugo; nothing else is a price."""
    assert prices_in(payload.encode()) == found


def test_a_ping_is_found_at_the_start_and_after_a_message() -> None:
    """The load client answers pings though it does not take frames apart."""
    ping = frame(b"1234", PING, masked=False)
    price = frame(b'{"price":1}', masked=False)
    assert pings_in(memoryview(ping)) == [b"1234"]
    assert pings_in(memoryview(price + ping + price)) == [b"1234"]


def test_a_length_that_looks_like_a_ping_is_none() -> None:
    """A price of 137 bytes has the ping's first byte in its frame's length."""
    payload = b'{"price":1%s}' % (b" " * 126)
    assert len(payload) == 0x89
    assert pings_in(memoryview(frame(payload, masked=False))) == []
