"""Reading packets, and the events in them."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotes.errors import ProtocolError
from quotes.socketio import packets
from quotes.socketio.dialect import AckId, SocketIODialect
from quotes.socketio.packets import SocketPacket, read_packet
from quotes.websocket.protocol import Authenticate, Resubscribe, Unsubscribe


@pytest.mark.parametrize(
    ("text", "packet"),
    [
        ("0", SocketPacket("0", "/", None, None)),
        ('0{"token":"x"}', SocketPacket("0", "/", None, {"token": "x"})),
        ("0/admin,", SocketPacket("0", "/admin", None, None)),
        ('0/admin?a=b,{"a":1}', SocketPacket("0", "/admin", None, {"a": 1})),
        ("1/admin", SocketPacket("1", "/admin", None, None)),
        ('2["subscribe","A"]', SocketPacket("2", "/", None, ["subscribe", "A"])),
        ('212["subscribe"]', SocketPacket("2", "/", 12, ["subscribe"])),
        ('2/a,12["subscribe"]', SocketPacket("2", "/a", 12, ["subscribe"])),
    ],
)
def test_packets_are_read(text: str, packet: SocketPacket) -> None:
    """Kind, namespace, acknowledgement and data."""
    assert read_packet(text) == packet


@pytest.mark.parametrize(
    "text",
    ["", "x", "7", "51-[]", '2["a"', "2[" * 5000, "2" + "1" * 30 + "[]", "2\ud800", '2{"a":NaN}'],
)
def test_what_is_no_packet_is_refused(text: str) -> None:
    """With ValueError, whatever it is."""
    with pytest.raises(ValueError, match=r"\w"):
        read_packet(text)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing else comes of it."""
    with contextlib.suppress(ValueError):
        read_packet(text)
    for kind in "24":
        with pytest.raises((ProtocolError, AssertionError)):
            SocketIODialect().read(kind + text)
            raise AssertionError


@pytest.mark.parametrize(
    ("event", "names", "segment"),
    [
        (["subscribe", "AAPL"], ["AAPL"], ""),
        (["subscribe", ["AAPL", "MSFT"]], ["AAPL", "MSFT"], ""),
        (["subscribe", "AAPL", "MSFT"], ["AAPL", "MSFT"], ""),
        (["subscribe", "AAPL", None], ["AAPL"], ""),
        (["subscribe", {"symbol": "AAPL"}], ["AAPL"], ""),
        (["subscribe", {"symbols": ["A", "B"], "segment": "NSE_EQ"}], ["A", "B"], "NSE_EQ"),
        (["subscribe", {"symbol": "AAPL", "action": "list"}], ["AAPL"], ""),
    ],
)
def test_subscribe_takes_what_clients_send(
    event: list[object], names: list[str], segment: str
) -> None:
    """A symbol, several, a list, or the object of /live-price; it may be repeated."""
    request = SocketIODialect().read("2" + json.dumps(event))
    assert isinstance(request, Resubscribe)
    assert (request.names, request.segment, request.id) == (names, segment, None)


def test_other_events_are_requests_too() -> None:
    """Unsubscribe as subscribe; authenticate with a token or an object."""
    dialect = SocketIODialect()
    left = dialect.read('2["unsubscribe",["A","B"]]')
    assert isinstance(left, Unsubscribe) and left.names == ["A", "B"]
    for argument in ('"t"', '{"token":"t"}'):
        login = dialect.read(f'25["authenticate",{argument}]')
        assert isinstance(login, Authenticate) and login.token == "t"
        assert isinstance(login.id, AckId) and login.id == 5


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('2["subscribe"]', 400),
        ('2["subscribe",5]', 400),
        ('2["subscribe",[1]]', 400),
        ('2["subscribe",[]]', 400),
        ('2["subscribe","A",5]', 400),
        ('2["subscribe",{"id":{}}]', 400),
        ('2["authenticate"]', 400),
        ('2["authenticate",["t"]]', 400),
        ('2["stockUpdate",{}]', 410),
        ('2["__proto__"]', 410),
        ("2[]", 400),
        ("2[[]]", 400),
        ("2{}", 400),
        ("2", 400),
        ("3[1]", 400),
        ('2/admin,["subscribe","A"]', 400),
        ('51-["subscribe",{"_placeholder":true,"num":0}]', 400),
    ],
)
def test_bad_events_are_errors(text: str, code: int) -> None:
    """With the code that /live-price has for it, and the acknowledgement's number."""
    with pytest.raises(ProtocolError) as found:
        SocketIODialect().read(text)
    assert found.value.code == code and found.value.id is None
    if text.startswith("2["):
        with pytest.raises(ProtocolError) as found:
            SocketIODialect().read("29" + text[1:])
        assert found.value.id == 9


@pytest.mark.parametrize("length", [1, 124, 125, 126, 65535, 65536])
def test_body_of_a_poll_has_no_headers(length: int) -> None:
    """Whatever the length of the packets is."""
    text = "4" + "x" * (length - 1)
    frames = [packets.packet(text), packets.packet("2")]
    assert packets.body_of(frames) == f"{text}\x1e2".encode()
    assert packets.body_of([b"".join(frames), frames[1]]) == f"{text}\x1e2\x1e2".encode()
