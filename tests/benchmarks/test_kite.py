"""Benchmarks with Kite's clients: the packets that are counted are those that the server makes."""

import pytest

from benchmarks.dialects import kite
from benchmarks.kite import QUOTE_START, SYMBOLS, master, token_of
from benchmarks.meters import PriceCounter
from benchmarks.ticks import symbol_names
from instruments.index import index
from quotes.kite.packets import is_served
from quotes.kite.ticker.framing import KiteFraming
from quotes.websocket.delivery.price_message import PriceMessage
from quotes.websocket.transports.base import BINARY, wire_frame
from tests.instruments.factories import equity, snapshot_of
from tests.ticks import MOMENT


class Transport:
    form = "test"

    def frame(self, opcode: int, payload: bytes) -> bytes:
        assert opcode == BINARY
        return wire_frame(opcode, payload)


def test_each_packet_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk of frames has as many prices as the meter says, whatever their values."""
    names = symbol_names(50)
    rows = [
        equity(name, exchange_token=token_of(name) >> 8, instrument_token=token_of(name))
        for name in names
    ]
    monkeypatch.setattr(index, "_snapshot", snapshot_of(*rows))
    framing = KiteFraming(Transport())  # type: ignore[arg-type]
    payloads = []
    for number, name in enumerate(names):
        text = b'{"symbol":"%b","price":%d.05,"timestamp":%d,"segment":"NSE_EQ"}'
        frame = text % (name.encode(), 1000 + number * 37, MOMENT)
        payloads.append(framing.payload(PriceMessage(f"NSE_EQ:{name}", 1, 1, MOMENT, frame)))
    data = b"".join(framing.arrays(payloads)) + b"\x82\x01\0"
    meter = PriceCounter(1 << 16, QUOTE_START)
    meter.room[: len(data)] = data
    assert meter.take(1, len(data)) == len(names)


def test_the_master_has_the_tokens_that_clients_subscribe_to() -> None:
    """Every symbol of a workload has a token of its own, which the server serves."""
    names = symbol_names(SYMBOLS)
    tokens = {token_of(name) for name in names}
    assert len(tokens) == SYMBOLS and all(map(is_served, tokens))
    rows = [line.split(",") for line in master().splitlines()[1:]]
    assert {int(row[0]) for row in rows} == tokens
    assert all(int(row[0]) == int(row[1]) << 8 | 1 for row in rows)
    path, steps = kite(names[:2], 0)
    assert path.startswith("/kite?") and str(token_of(names[1])) in steps[0][1]
    assert steps[1][0].encode() == QUOTE_START
