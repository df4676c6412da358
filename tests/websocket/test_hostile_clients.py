"""Whatever a client sends, it is answered or closed, and the next client is served."""

import asyncio
import contextlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from quotes.runtime.clock import now_ms
from quotes.websocket.feed.feed import current_feed
from quotes.websocket.protocol import CloseCode
from quotes.websocket.session import ClientSession
from quotes.websocket.transports.uvicorn import PriceWebSocketProtocol
from tests.live import Client, LiveServer
from tests.ticks import message, publish
from tests.waiting import DEADLINE_S, eventually

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80)
json_values = st.recursive(
    scalars,
    lambda c: st.lists(c, max_size=4) | st.dictionaries(st.text(max_size=10), c, max_size=4),
    max_leaves=20,
)
actions = st.sampled_from(["subscribe", "unsubscribe", "list", "ping"]) | st.text(max_size=10)
symbols = st.text(max_size=70) | st.sampled_from(
    ["A", "*", "M&M", "NSE_EQ:A", "a:b:c", "\x00", ":"]
)
commands = st.fixed_dictionaries(
    {"action": actions | json_values},
    optional={
        "symbol": symbols | json_values,
        "symbols": st.lists(symbols, max_size=30) | json_values,
        "segment": st.sampled_from(["NSE_EQ", "C", "", "?"]) | json_values,
        "id": json_values,
    },
)
frames: st.SearchStrategy[str | bytes] = st.one_of(
    st.binary(max_size=300),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    json_values.map(json.dumps),
    commands.map(json.dumps),
    st.integers(1, 30_000).map(lambda depth: "[" * depth),
    st.integers(1, 5_000).map(lambda depth: '{"action":' * depth),
    st.just('{"action":"ping","pad":"' + "x" * 70_000 + '"}'),
    st.just("x" * 1_000_000),
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(hostile=st.lists(frames, min_size=80, max_size=80))
async def test_two_thousand_hostile_frames_are_answered_or_closed(
    live: LiveServer, redis: Redis, hostile: list[str | bytes]
) -> None:
    """80 frames each on 25 connections: no failure, no leak, and the next client is served."""
    async with live.client() as client:
        with contextlib.suppress(ConnectionClosed):
            for number, frame in enumerate(hostile):
                await client.connection.send(frame)
                if number % 20 == 19:
                    await client.send(action="ping", id=f"sync {number}")
                    while True:
                        answer: dict[str, Any] = await client.receive()
                        assert answer.get("code") != 500
                        if answer.get("id") == f"sync {number}":
                            break
    await eventually(lambda: not live.layer.local_groups())
    async with live.client() as client:
        await client.subscribe("NEXT")
        publish(redis, "NEXT", message("NEXT", "1", now_ms()))
        assert (await client.price())["symbol"] == "NEXT"
    await eventually(lambda: not live.layer.local_groups())


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(hostile=st.lists(st.binary(min_size=1, max_size=400), min_size=1, max_size=20))
async def test_broken_websocket_frames_end_only_their_own_connection(
    live: LiveServer, hostile: list[bytes]
) -> None:
    """Raw bytes behind the handshake, invalid UTF-8 among them, leave no member behind."""
    async with live.client() as client:
        await client.subscribe("A")
        with contextlib.suppress(ConnectionClosed, OSError):
            for raw in hostile:
                client.connection.transport.write(raw)
            client.connection.transport.write(b"\x81\x82\x00\x00\x00\x00\xff\xff")
            async with asyncio.timeout(0.1):  # a frame that was begun may wait for its rest
                await client.receive()
        client.connection.transport.abort()
    await eventually(lambda: not live.layer.local_groups())


LIMIT = 3000


async def ask_for_much(client: Client) -> None:
    """Send 20 messages of 500 symbols at once, and read what comes."""
    for number in range(20):
        names = [f"SYMBOL-OF-SOME-LENGTH-{number}-{at}" for at in range(500)]
        await client.send(action="subscribe", symbols=names, id=number)
    taken, codes = 0, set()
    for number in range(20):
        while (answer := await client.receive())["type"] != "subscribed":
            pass
        assert answer["id"] == number
        taken += len(answer["symbols"])
        codes |= {one["code"] for one in answer["rejected"]}
    assert (taken, codes) == (LIMIT, {405})
    # As many names as a client may have, of some length, are within the limit of bytes.
    names = [f"ANOTHER-{at:022}" for at in range(LIMIT)]
    await client.send(action="subscribe", symbols=names, id="all")
    answer = await client.receive()
    assert (answer["type"], len(answer["rejected"])) == ("subscribed", LIMIT)
    assert (await client.ask(action="ping"))["type"] == "pong"


@pytest.mark.parametrize("live", ["wire", "asgi"], indirect=True)
async def test_client_that_asks_for_too_many_symbols_stays_connected(
    live: LiveServer, redis: Redis
) -> None:
    """The limit's number is taken, the rest is rejected with 405, and every answer comes."""
    async with live.client() as client:
        await ask_for_much(client)


async def test_message_is_measured_in_bytes(live: LiveServer, settings: Any) -> None:
    """The limit counts bytes of UTF-8, not characters."""
    settings.QUOTES_MAX_MESSAGE_BYTES = 1000
    async with live.client() as client:
        text = '{"action":"ping","pad":"' + "\N{INDIAN RUPEE SIGN}" * 400 + '"}'
        await client.connection.send(text)
        answer = await client.receive()
        assert (answer["code"], answer["message"]) == (
            400,
            "a message can have at most 1000 bytes, got 1226",
        )
        await client.connection.send(text.replace("\N{INDIAN RUPEE SIGN}", "r"))
        assert (await client.receive())["type"] == "pong"


def raw_frame(opcode: int, payload: bytes = b"", *, final: bool = True) -> bytes:
    """Return the bytes of a client's frame, with a mask of zeros."""
    return bytes([opcode | (0x80 if final else 0), 0x80 | len(payload), 0, 0, 0, 0]) + payload


FLOODS = {
    "pings": (b"", raw_frame(0x9, b"x" * 100)),
    "pongs": (b"", raw_frame(0xA)),
    "empty fragments": (raw_frame(0x1, final=False), raw_frame(0x0, final=False)),
    "tiny fragments": (raw_frame(0x2, final=False), raw_frame(0x0, b"x", final=False)),
}


async def flood(connection: ClientConnection, kind: str) -> int:
    """Send 2,000 frames of a kind and return the code of the close."""
    first, frame = FLOODS[kind]
    with contextlib.suppress(ConnectionError):
        connection.transport.write(first)
        for _ in range(200):
            connection.transport.write(frame * 10)
            await asyncio.sleep(0)
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            async with asyncio.timeout(DEADLINE_S):
                await connection.recv()
    return closed.value.rcvd.code if closed.value.rcvd else 1006


@pytest.mark.parametrize("kind", FLOODS)
async def test_flood_of_frames_that_are_no_messages_is_closed(live: LiveServer, kind: str) -> None:
    """Pings, pongs and small fragments count against the rate, as messages do."""
    async with live.client() as client:
        await client.ask(action="ping")
        assert await flood(client.connection, kind) == CloseCode.FLOOD
    await eventually(lambda: not live.server.server_state.connections)


# Messages of a client that goes on sending, whatever it is answered.
FLOODS_OF_MESSAGES = {
    "requests": raw_frame(0x1, b'{"action":"ping"}'),
    "binary": raw_frame(0x2, b"x"),
    "no JSON": raw_frame(0x1, b"{"),
    "pings after all": raw_frame(0x1, b"{") * 300 + raw_frame(0x9) * 10_000,
}


async def flood_until_cut_off(connection: ClientConnection, frames: bytes) -> None:
    """Send without reading until the server has cut the connection off."""
    transport = connection.transport
    transport.pause_reading()
    async with asyncio.timeout(DEADLINE_S):
        while not transport.is_closing():
            if transport.get_write_buffer_size() < 1_000_000:
                transport.write(frames)
            await asyncio.sleep(0)


@pytest.mark.parametrize("kind", FLOODS_OF_MESSAGES)
async def test_client_that_sends_without_end_is_cut_off(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The server stops reading what it sends, which would keep it from serving others."""
    received: list[int] = []
    receive = PriceWebSocketProtocol.data_received

    def counted(self: PriceWebSocketProtocol, data: bytes) -> None:
        received.append(len(data))
        receive(self, data)

    monkeypatch.setattr(PriceWebSocketProtocol, "data_received", counted)
    async with live.client() as client:
        await client.ask(action="ping")
        await flood_until_cut_off(client.connection, FLOODS_OF_MESSAGES[kind] * 100)
    assert sum(received) < 2_000_000  # some reads of 256 KiB
    await eventually(lambda: not live.server.server_state.connections)


async def test_client_that_pings_and_reads_nothing_is_cut_off(
    live: LiveServer, settings: Any
) -> None:
    """Pongs to a client that takes nothing are no progress, and do not pile up."""
    settings.QUOTES_WRITE_TIMEOUT_S = 0.5
    settings.QUOTES_MAX_MESSAGES_PER_S = 10_000.0
    settings.QUOTES_HIGH_WATER_BYTES = 4096
    settings.QUOTES_SEND_BUFFER_BYTES = 4096
    async with live.client() as client:
        await client.ask(action="ping")
        (session,) = (await current_feed()).listeners
        assert isinstance(session, ClientSession)
        client.connection.transport.pause_reading()
        most = 0
        while not session.ended:
            client.connection.transport.write(raw_frame(0x9, b"x" * 100) * 20)
            most = max(most, session.transport.unsent())
            await asyncio.sleep(0.005)
        assert most < 500_000
        client.connection.transport.abort()
    await eventually(lambda: not live.server.server_state.connections)
