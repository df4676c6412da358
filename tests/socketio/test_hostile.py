"""Whatever a client sends or leaves out, it is answered or ended, and others are served."""

import asyncio
import contextlib
import json
import socket
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis import Redis
from websockets.exceptions import ConnectionClosed

from tests.live import LiveServer
from tests.socketio.test_door import connections, counted, open_connections, socket_client
from tests.socketio.wire import QUERY, PollingClient, SocketClient, request
from tests.ticks import MOMENT, message, publish
from tests.waiting import DEADLINE_S, eventually
from tests.websocket.test_hostile_clients import json_values, symbols

events = st.sampled_from(
    ["subscribe", "unsubscribe", "authenticate", "list", "configure", "market_status", "x"]
)
arguments = symbols | st.lists(symbols, max_size=5) | json_values
packets: st.SearchStrategy[str | bytes] = st.one_of(
    st.binary(max_size=100),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=100),
    st.text('0123456789/,-[]{}"b', max_size=20),
    st.builds(lambda *event: "42" + json.dumps(event), events, arguments),
    st.builds(lambda *event: "429" + json.dumps(event), events, arguments, arguments),
    st.builds(lambda rest: "45" + rest, st.just('1-["x",{"_placeholder":true,"num":0}]')),
    st.integers(1, 5000).map(lambda depth: "42" + "[" * depth),
    st.just("40/admin,{}"),
    st.just("2probe"),
)
quick = hypothesis_settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


async def is_served(live: LiveServer, redis: Redis) -> bool:
    """Return whether the next client gets a price, and nothing is left of those before it."""
    await eventually(lambda: not live.layer.local_groups() and connections() == 0)
    async with socket_client(live.port) as client:
        await client.emit("subscribe", "NEXT")
        publish(redis, "NEXT", message("NEXT", "1"))
        price = await client.event("stockUpdate")
    await eventually(lambda: not live.layer.local_groups())
    return bool(price["symbol"] == "NEXT")


@quick
@given(hostile=st.lists(packets, max_size=60))
async def test_any_packets_over_a_websocket(
    live: LiveServer, redis: Redis, hostile: list[str | bytes]
) -> None:
    """Each is answered, or ends this connection alone."""
    async with socket_client(live.port) as client:
        with contextlib.suppress(ConnectionClosed):
            for one in hostile:
                await client.connection.send(one)
            answer = await client.ask("ping")
            assert answer["type"] == "pong" or answer["code"] != 500
    assert await is_served(live, redis)


@quick
@given(bodies=st.lists(st.lists(packets.filter(lambda one: isinstance(one, str))), max_size=5))
async def test_any_packets_over_polls(
    live: LiveServer, redis: Redis, bodies: list[list[str]]
) -> None:
    """Each body is answered; the connection may be over afterwards."""
    client = await PollingClient.open(live.port)
    for body in bodies:
        assert (await client.send(*body)).status in (200, 400)
    assert (await request(live.port, client.path, b"\xff\xfe")).status == 400
    assert await is_served(live, redis)


FLOODS = {
    "pongs": "3",
    "noops": "6",
    "namespaces": "40/admin,",
    "events": '42["list"]',
    "unknown events": '42["dance",{"a":1}]',
    "binary events": '451-["x",{"_placeholder":true,"num":0}]',
    "acknowledgements": "431[]",
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_flood_is_closed(live: LiveServer, redis: Redis, kind: str) -> None:
    """With 4429 over a WebSocket; over polls the connection ends within one body."""
    async with socket_client(live.port) as client:
        with pytest.raises(ConnectionClosed) as closed:
            for _ in range(1000):
                await client.connection.send(FLOODS[kind])
            while True:
                await client.packet()
        assert closed.value.rcvd is None or closed.value.rcvd.code == 4429
    polls = await PollingClient.open(live.port)
    sent = asyncio.create_task(polls.send(*[FLOODS[kind]] * 1000))
    found: list[str] = []
    while "1" not in found:
        answer = await polls.get()
        if answer.status != 200:
            break
        found += answer.body.split("\x1e")
    assert any('"code":4429' in one for one in found)
    await sent
    assert await is_served(live, redis)


async def test_large_bodies_and_messages_are_refused(
    live: LiveServer, redis: Redis, settings: Any
) -> None:
    """A body by its length, before it is read; a message as /live-price does."""
    settings.QUOTES_MAX_MESSAGE_BYTES = 2000
    client = await PollingClient.open(live.port)
    answer = await request(live.port, client.path, b"42" + b"x" * 5000)
    assert answer.status == 413
    async with socket_client(live.port) as other:
        await other.emit("subscribe", ["x" * 50] * 50, ack=1)
        assert (await other.event("notice"))["code"] == 400  # it is not read, so not acknowledged
    await client.send("1")


async def test_one_request_of_a_kind_at_a_time(live: LiveServer, redis: Redis) -> None:
    """A second poll beside one that waits ends the connection, as Node's server does."""
    client = await PollingClient.open(live.port)
    first = asyncio.create_task(client.get())
    (connection,) = open_connections()
    await eventually(lambda: connection.transport.is_polled)
    assert (await client.get()).status == 400
    await first
    assert (await client.get()).status == 400
    assert await is_served(live, redis)


PAD = "x" * 4000


async def test_client_that_does_not_poll_is_conflated_and_then_ended(
    live: LiveServer, redis: Redis, settings: Any
) -> None:
    """What waits for it is bounded: the newest price, and a count of those between."""
    settings.QUOTES_WRITE_TIMEOUT_S = 60
    client = await PollingClient.open(live.port)
    await client.emit("subscribe", "S")
    await client.events(1)
    async with socket_client(live.port) as witness:
        await witness.emit("subscribe", "S")
        for number in range(300):
            publish(redis, "S", message("S", str(number), MOMENT + number, pad=PAD))
            while (await witness.event("stockUpdate"))["price"] != number:
                pass
    (connection,) = open_connections()
    assert connection.transport.unsent() < 200_000
    prices: list[int] = []
    skipped = 0
    while len(prices) + skipped < 300:
        for name, value in await client.events(1):
            if name == "stockUpdate":
                prices.append(value["price"])
            elif value["type"] == "conflated":
                skipped += value["skipped"]
    assert skipped > 0 and prices == sorted(set(prices)) and prices[-1] == 299
    settings.QUOTES_WRITE_TIMEOUT_S = 0.2
    publish(redis, "S", message("S", "300", MOMENT + 300))
    await eventually(lambda: connections() == 0)
    assert (await client.get()).status == 400


async def test_client_that_does_not_read_is_conflated(live: LiveServer, redis: Redis) -> None:
    """Over a WebSocket as at /live-price."""
    async with socket_client(live.port) as slow, socket_client(live.port) as witness:
        for one in (slow, witness):
            await one.emit("subscribe", "S")
            await one.event("notice")
        transport = slow.connection.transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        transport.pause_reading()
        for number in range(600):
            publish(redis, "S", message("S", str(number), MOMENT + number, pad=PAD))
            if number % 50 == 49:
                while (await witness.event("stockUpdate"))["price"] != number:
                    pass
        transport.resume_reading()
        skipped, last = 0, -1
        while last < 599 or not skipped:
            value = await slow.event()
            if value.get("type") == "conflated":
                skipped += value["skipped"]
            elif "price" in value:
                assert value["price"] > last
                last = value["price"]


async def test_connections_that_are_dropped_time_out(
    live: LiveServer, redis: Redis, settings: Any
) -> None:
    """They count for the limits while they last: of a client that never joins, or never pongs."""
    settings.QUOTES_HANDSHAKE_TIMEOUT_S = 60
    settings.QUOTES_MAX_CONNECTIONS = 100
    for _ in range(100):
        await PollingClient.open(live.port, join=False)
    assert await counted() == 100
    assert (await request(live.port, f"{QUERY}polling")).status == 429
    for one in open_connections():
        one.transport.end()
        one.transport.abort()
    settings.QUOTES_HANDSHAKE_TIMEOUT_S = 0.1
    for _ in range(20):
        await PollingClient.open(live.port, join=False)
    settings.QUOTES_WRITE_TIMEOUT_S = 0.1
    await eventually(lambda: connections() == 0)
    assert await counted() == 0
    settings.QUOTES_HANDSHAKE_TIMEOUT_S = settings.QUOTES_WRITE_TIMEOUT_S = 60
    settings.QUOTES_SOCKETIO_PING_S = settings.QUOTES_SOCKETIO_PONG_S = 0.2
    async with socket_client(live.port) as silent:
        polls = await PollingClient.open(live.port)
        assert (await polls.poll()) == ["2"]
        assert await silent.packet() == "2"
        await silent.connection.send("3")
        assert await silent.packet() == "2"
        with pytest.raises(ConnectionClosed):
            await silent.packet()
    await eventually(lambda: connections() == 0)
    assert (await polls.get()).status == 400


async def test_many_events_in_one_body_are_carried_out(live: LiveServer, redis: Redis) -> None:
    """As many as a client may send at once, in order."""
    client = await PollingClient.open(live.port)
    assert (await client.send(*(f'42{n}["ping"]' for n in range(150)))).body == "ok"
    found: list[str] = []
    while len(found) < 150:
        found += await client.poll()
    assert [one.split("[")[0] for one in found] == [f"43{n}" for n in range(150)]


async def test_server_that_stops_ends_its_connections(live: LiveServer, redis: Redis) -> None:
    """A token that expires, or a right that ends, closes as at /live-price."""
    async with socket_client(live.port) as client:
        (connection,) = open_connections()
        connection.session.close(4401, "token expired")
        assert (await client.event("notice"))["code"] == 4401
        async with asyncio.timeout(DEADLINE_S):
            await client.connection.wait_closed()
        assert client.connection.close_code == 4401
    polls = await PollingClient.open(live.port)
    (connection,) = open_connections()
    connection.session.close(4401, "token expired")
    assert '"code":4401' in (await polls.poll())[0]
    assert await polls.poll() == ["1"]
    assert isinstance(client, SocketClient) and connections() == 0
