"""The usual layout of a message, read in C as in Python."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quotes.runtime.speedups import definitions
from quotes.ticks import KNOWN_FIELDS, segment_text, usual_head
from tests.speedups.built import needs_package, package
from tests.ticks import MOMENT
from tests.usual_messages import good_and_nearly_good

pytestmark = needs_package

in_python = definitions["usual_frame"]


@settings(max_examples=500)
@given(
    good_and_nearly_good() | st.binary(max_size=80),
    st.sampled_from([usual_head("A"), b"", b'{"symbol":"A"', b'{"symbol":"A","price":1']),
    st.sampled_from([b"", segment_text("NSE_EQ")]) | st.binary(max_size=4),
    st.sampled_from([MOMENT, 0, -1, 10**14, 10**40, -(10**40)]),
)
def test_any_bytes_are_read_alike(
    payload: bytes, head: bytes, segment: bytes, latest_ms: int
) -> None:
    """The same timestamp and frame, or none."""
    expected = in_python(payload, head, segment, latest_ms=latest_ms)
    assert package.usual_frame(payload, head, segment, latest_ms=latest_ms) == expected


@given(good_and_nearly_good(), st.data())
def test_any_part_of_a_message_is_read_alike(payload: bytes, data: st.DataObject) -> None:
    """Nothing beyond the end of a message is read, wherever it ends."""
    cut = payload[: data.draw(st.integers(0, len(payload)))]
    expected = in_python(cut, usual_head("A"), b"", latest_ms=MOMENT)
    assert package.usual_frame(cut, usual_head("A"), b"", latest_ms=MOMENT) == expected


def test_as_many_fields_are_read_as_in_python() -> None:
    """Sixteen fields are in the usual layout, one more is not; names have up to 32 characters."""
    head = usual_head("A")
    for count in (15, 16, 17):
        for length in (1, 31, 32, 33):
            names = [chr(97 + at) * length for at in range(count)]
            fields = b"".join(b',"%b":1' % name.encode() for name in names)
            payload = b'{"symbol":"A","price":1,"timestamp":%d%b}' % (MOMENT, fields)
            expected = (MOMENT, payload) if count <= 16 and length <= 32 else None
            assert in_python(payload, head, b"", latest_ms=MOMENT) == expected
            assert package.usual_frame(payload, head, b"", latest_ms=MOMENT) == expected


def test_each_known_field_is_read() -> None:
    """All of KNOWN_FIELDS together are in the usual layout, and each only once."""
    fields = b"".join(b',"%b":-1.5' % name.encode() for name in sorted(KNOWN_FIELDS))
    payload = b'{"symbol":"A","price":1,"timestamp":%d%b}' % (MOMENT, fields)
    head = usual_head("A")
    assert package.usual_frame(payload, head, b"", latest_ms=MOMENT) == (MOMENT, payload)
    for name in KNOWN_FIELDS:
        twice = payload[:-1] + b',"%b":1}' % name.encode()
        assert package.usual_frame(twice, head, b"", latest_ms=MOMENT) is None


@pytest.mark.parametrize(
    ("arguments", "latest_ms"),
    [
        (("text", b"", b""), 0),
        ((b"", None, b""), 0),
        ((b"", b"", bytearray()), 0),
        ((b"", b"", b""), 1.5),
        ((b"", b""), 0),
    ],
)
def test_wrong_arguments_are_refused(arguments: tuple[object, ...], latest_ms: object) -> None:
    """Anything but bytes and a whole number is a TypeError."""
    with pytest.raises(TypeError):
        package.usual_frame(*arguments, latest_ms=latest_ms)
