"""Frames on the wire: shapes, intervals, slow readers, and the servers' internals relied on."""

import asyncio
import json
import socket
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode
from websockets.streams import StreamReader

from quotes.publish.publishing import publish_ticks
from quotes.runtime.clock import now_ms
from quotes.websocket.delivery.framing import json_text, msgpack_of, payload_array
from quotes.websocket.transports.asgi import AsgiTransport
from quotes.websocket.transports.base import BINARY, TEXT, wire_frame
from quotes.websocket.transports.daphne import check_versions
from quotes.websocket.transports.uvicorn import check_version
from tests.live import Client, LiveServer
from tests.ticks import MOMENT, message, publish, tick
from tests.waiting import eventually

both = pytest.mark.parametrize("live", ["wire", "asgi"], indirect=True)


@given(st.binary(max_size=300) | st.integers(0, 70_000).map(bytes), st.sampled_from([TEXT, BINARY]))
def test_wire_frame_is_a_websocket_frame(payload: bytes, opcode: int) -> None:
    """An independent parser reads back what was framed, at every length's form."""
    reader = StreamReader()
    reader.feed_data(wire_frame(opcode, payload))
    parser = WebSocketFrame.parse(reader.read_exact, mask=False)
    with pytest.raises(StopIteration) as stop:
        next(parser)
    frame = stop.value.value
    assert (frame.fin, frame.opcode, bytes(frame.data)) == (True, Opcode(opcode & 15), payload)


def test_modes_keep_the_contracts_keys_and_digits() -> None:
    """ltp has the three and the segment, quote those of the day, full everything."""
    frame = message("A", "1.50", segment="NSE_EQ", volume=7, bid=1, x=[1]).replace(": ", ":")
    text = frame.replace(", ", ",").encode()
    assert json_text(text, "full") == text
    head = b'{"symbol":"A","price":1.50,"timestamp":%d,"segment":"NSE_EQ"' % MOMENT
    assert json_text(text, "quote") == head + b',"volume":7,"bid":1}'
    assert json_text(text, "ltp") == head + b"}"


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**14), max_value=10**14))
def test_messagepack_price_has_every_digit(price: Decimal) -> None:
    """A price in MessagePack is a number that gives the decimal back, or its text."""
    value = msgspec.msgpack.decode(msgpack_of(message("A", f"{price:f}"[:30]).encode()))["price"]
    expected = Decimal(f"{price:f}"[:30])
    assert (Decimal(value) if isinstance(value, str) else Decimal(repr(value))) == expected


@given(st.integers(1, 70_000))
def test_messagepack_array_has_its_length(length: int) -> None:
    """Arrays of any length are read back by an independent decoder."""
    packed = payload_array([b"\x01"] * length, "msgpack")
    assert len(msgspec.msgpack.decode(packed)) == length


@both
async def test_batch_sends_the_newest_of_each_symbol_once_an_interval(
    live: LiveServer, redis: Redis
) -> None:
    """With batch and an interval a client gets arrays, the newest per symbol, no price twice."""
    async with live.client() as client:
        answer = await client.ask(action="configure", batch=True, interval_ms=95, mode="ltp")
        assert answer["interval_ms"] == 95 and answer["batch"] is True
        await client.subscribe("A", "B")
        ticks = [tick("AB"[n % 2], str(n), MOMENT + n, volume=n) for n in range(400)]
        publish_ticks(ticks, client=redis)
        prices: list[dict[str, Any]] = []
        while len([one for one in prices if one["price"] >= 398]) < 2:
            array = json.loads(await client.receive_text())
            assert isinstance(array, list) and len({one["symbol"] for one in array}) == len(array)
            assert all(set(one) == {"symbol", "price", "timestamp"} for one in array)
            prices += array
        for symbol in "AB":
            mine = [one["price"] for one in prices if one["symbol"] == symbol]
            assert mine == sorted(set(mine)) and len(mine) < 20


@both
async def test_batch_without_interval_sends_every_tick(live: LiveServer, redis: Redis) -> None:
    """With interval 0 arrays hold every tick, in order."""
    async with live.client() as client:
        await client.ask(action="configure", batch=True, interval_ms=0)
        await client.subscribe("A")
        publish_ticks([tick("A", str(n), MOMENT + n) for n in range(300)], client=redis)
        prices: list[int] = []
        while len(prices) < 300:
            prices += [one["price"] for one in json.loads(await client.receive_text())]
        assert prices == list(range(300))


async def test_interval_alone_throttles_each_symbol(live: LiveServer, redis: Redis) -> None:
    """Without batch the newest of each symbol comes as a frame of its own once an interval."""
    async with live.client() as client:
        await client.ask(action="configure", interval_ms=50)
        await client.subscribe("A")
        publish_ticks([tick("A", str(n), MOMENT + n) for n in range(200)], client=redis)
        prices = [(await client.price())["price"]]
        while prices[-1] != 199:
            prices.append((await client.price())["price"])
        assert len(prices) < 20


async def test_mode_of_a_subscribe_is_that_of_its_symbols(live: LiveServer, redis: Redis) -> None:
    """Clients and symbols of different modes each get their own shape of the same tick."""
    async with live.client() as one, live.client() as two:
        await one.subscribe("A", mode="ltp")
        await one.subscribe("B")
        await two.subscribe("A")
        publish(redis, "A", message("A", "1", volume=5, bid=2))
        publish(redis, "B", message("B", "1", volume=5, bid=2))
        # Ticks of one symbol keep their order; those of two may have come in one batch.
        prices = {price["symbol"]: price for price in [await one.price(), await one.price()]}
        assert set(prices["A"]) == {"symbol", "price", "timestamp"}
        assert prices["B"]["bid"] == 2
        assert (await two.price())["bid"] == 2


@both
async def test_messagepack_by_subprotocol(live: LiveServer, redis: Redis) -> None:
    """A client that offers live-price.msgpack gets prices as binary maps."""
    async with live.client(subprotocols=["live-price.msgpack"]) as client:
        assert client.connection.subprotocol == "live-price.msgpack"
        await client.subscribe("A")
        publish(redis, "A", message("A", "189.45"))
        raw = await asyncio.wait_for(client.connection.recv(), 5)
        assert isinstance(raw, bytes)
        expected = {"symbol": "A", "price": 189.45, "timestamp": MOMENT}
        assert msgspec.msgpack.decode(raw) == expected


@pytest.mark.parametrize(
    "wrong", [{"mode": "all"}, {"interval_ms": -1}, {"interval_ms": 60_001}, {"batch": "yes"}]
)
async def test_bad_configuration_is_refused(live: LiveServer, wrong: dict[str, Any]) -> None:
    """A value out of bounds is a 400, and nothing changes."""
    async with live.client() as client:
        assert (await client.ask(action="configure", **wrong))["code"] == 400
        assert (await client.ask(action="configure"))["mode"] == "full"


async def stop_reading(client: Client) -> None:
    """Let the client take no byte more than the kernel holds for it."""
    connection = client.connection.transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.connection.transport.pause_reading()


@both
async def test_slow_reader_gets_the_newest_and_a_count(live: LiveServer, redis: Redis) -> None:
    """A client that pauses gets the newest price of each symbol, and how many it missed."""
    pad = "x" * 4000
    async with live.client() as slow, live.client() as quick:
        await slow.subscribe("A", "B")
        await quick.subscribe("A")
        await stop_reading(slow)
        for n in range(600):
            publish(redis, "AB"[n % 2], message("AB"[n % 2], str(n), MOMENT + n, pad=pad))
        last = 0
        while last != 598:
            last = (await quick.price())["price"]
        slow.connection.transport.resume_reading()
        prices: dict[str, list[int]] = {"A": [], "B": []}
        skipped = 0
        while len(prices["A"]) + len(prices["B"]) + skipped < 600:
            frame = await slow.receive()
            if frame.get("type") == "conflated":
                skipped += frame["skipped"]
            else:
                prices[frame["symbol"]].append(frame["price"])
        assert skipped > 0
        for mine, last in zip(prices.values(), (598, 599), strict=True):
            assert mine == sorted(set(mine)) and mine[-1] == last


async def test_client_that_takes_nothing_is_cut_off(
    live: LiveServer, redis: Redis, settings: Any
) -> None:
    """After QUOTES_WRITE_TIMEOUT_S without a byte taken the connection and its groups are gone."""
    settings.QUOTES_WRITE_TIMEOUT_S = 0.5
    async with live.client(close_timeout=0.1) as slow:
        await slow.subscribe("A")
        await stop_reading(slow)
        pad = "x" * 8000
        number = 0
        while live.layer.local_groups():
            number += 1
            publish(redis, "A", message("A", str(number), now_ms(), pad=pad))
            await asyncio.sleep(0.001)
        await eventually(lambda: not live.server.server_state.connections)


async def test_client_that_wants_every_tick_gets_each_or_is_closed(
    live: LiveServer, redis: Redis
) -> None:
    """With conflate false no tick is left out: the connection is closed with 4410 instead."""
    async with live.client() as client:
        await client.subscribe("A", conflate=False)
        publish_ticks([tick("A", str(n), MOMENT + n) for n in range(500)], client=redis)
        assert [(await client.price())["price"] for _ in range(500)] == list(range(500))
        await stop_reading(client)
        for n in range(500, 1500):
            publish(redis, "A", message("A", str(n), MOMENT + n, pad="x" * 4000))
        await eventually(lambda: not live.layer.local_groups())
        client.connection.transport.resume_reading()
        expected = 500
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                assert (await client.price())["price"] == expected
                expected += 1
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4410
        assert "seq" in closed.value.rcvd.reason


def test_unknown_server_versions_are_refused_with_what_to_do() -> None:
    """The adapters know the installed versions, and name the cure for others."""
    with pytest.raises(ImproperlyConfigured, match=r"uvicorn 0\.54\.x, this is 0\.99\.0: install"):
        check_version("0.99.0")
    with pytest.raises(ImproperlyConfigured, match=r"daphne 4\.2\.x, this is 5\.0\.0: install"):
        check_versions({"daphne": "5.0.0"})


async def test_asgi_client_that_cannot_be_served_is_cut_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A failure behind the transport is not taken for a client that is gone."""
    aborted: list[bool] = []

    async def send(message: dict[str, Any]) -> None:
        pass

    def fails() -> None:
        raise RuntimeError("as a mistake would")

    transport = AsgiTransport(send, on_abort=lambda: aborted.append(True))
    transport.on_drain = fails
    transport.write(["{}"])
    await eventually(lambda: aborted == [True] and transport._task.done())
    assert "as a mistake would" in caplog.text


async def test_frames_that_are_due_as_one_are_sent_in_order() -> None:
    """Through ASGI each is a message of its own; their bytes count until they are sent."""
    sent: list[Any] = []
    may_send = asyncio.Event()

    async def send(event: dict[str, Any]) -> None:
        await may_send.wait()
        sent.append(event.get("text"))

    transport = AsgiTransport(send, on_abort=lambda: None)
    both = transport.together([transport.frame(TEXT, b"one"), transport.frame(TEXT, b"two")])
    transport.write([both, "three"])
    assert (len(both), transport.unsent()) == (6, 11)
    may_send.set()
    await eventually(lambda: len(sent) == 3)
    assert sent == ["one", "two", "three"] and transport.unsent() == 0
    transport.abort()
