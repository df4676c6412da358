"""Messages in the usual layout of publishers, and others that are nearly in it."""

from hypothesis import strategies as st

from quotes.ticks import KNOWN_FIELDS
from tests.ticks import MOMENT

_digits = st.text("0123456789", min_size=1, max_size=17)
_numbers = st.one_of(
    st.from_regex(r"-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,13})?", fullmatch=True),
    st.builds("{}.{}".format, _digits, _digits),
    st.sampled_from(["0", "0.0", "0.05", "-0", "1e5", "1.", ".5", "null", '"5"', "00", "1" * 16]),
)
_prices = st.one_of(st.from_regex(r"[1-9][0-9]{0,4}\.[0-9]{2}", fullmatch=True), _numbers)
_times = st.one_of(
    st.integers(MOMENT - 10, MOMENT + 10).map(str),
    st.integers(0, 10**15).map(str),
    st.sampled_from(["99999999999", "100000000000", "99999999999999", "099999999999", "1e12"]),
)
_names = st.one_of(
    st.sampled_from(sorted(KNOWN_FIELDS)),
    st.sampled_from(
        ["ask_", "sent_ns", "x9", "type", "seq", "epoch", "epochs", "depth", "a" * 32, "a" * 33]
    ),
    st.sampled_from(
        ["segment", "symbol", "price", "timestamp", "Vol", "_x", "9x", "", "prices", "depths"]
    ),
)
_fields = st.lists(st.tuples(_names, _numbers), max_size=4) | st.permutations(
    [(name, "1.5") for name in sorted(KNOWN_FIELDS)]
)


@st.composite
def good_and_nearly_good(draw: st.DrawFn, symbols: tuple[str, ...] = ("A", "M&M")) -> bytes:
    """Return a message in the usual layout, or one that differs from it somewhere."""
    symbol, price, at = draw(st.sampled_from(symbols)), draw(_prices), draw(_times)
    others = "".join(f',"{name}":{value}' for name, value in draw(_fields))
    payload = f'{{"symbol":"{symbol}","price":{price},"timestamp":{at}{others}}}'.encode()
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at_byte = draw(st.integers(0, len(payload)))
        until = draw(st.sampled_from([at_byte, at_byte + 1, len(payload)]))
        put_in = draw(st.one_of(st.binary(max_size=2), st.sampled_from([b" ", b"0", b'"', b"}"])))
        payload = payload[:at_byte] + put_in + payload[until:]
    return payload + draw(st.sampled_from([b"", b"", b"", b"\n", b" ", b"\t \t", b"\0"]))
