"""The contract through Daphne, with prepared frames: a real process, real sockets."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from redis import Redis
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from quotes.publish.publishing import publish_ticks
from quotes.store.latest import decode_latest
from quotes.websocket.protocol import CloseCode
from tests.live import Client, LiveServer
from tests.ports import free_port
from tests.ticks import MOMENT, message, publish, tick
from tests.valkey import ValkeyProcess
from tests.waiting import eventually, wait_until
from tests.websocket.test_handshake import BAD_TEXT
from tests.websocket.test_hanging_redis import SOON_S, subscribe_all
from tests.websocket.test_hostile_clients import (
    FLOODS,
    FLOODS_OF_MESSAGES,
    ask_for_much,
    flood,
    flood_until_cut_off,
)
from tests.websocket.test_request_order import AT_ONCE, ask_everything, in_order

ROOT = Path(__file__).parent.parent.parent


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def daphne() -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "quotes.websocket.transports.daphne",
        "-b",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    with subprocess.Popen([*command, "-v", "0", "config.asgi:application"], cwd=ROOT) as process:
        wait_until(lambda: accepts(port) or process.poll() is not None, timeout_s=30)
        yield f"ws://127.0.0.1:{port}/live-price", process
        process.terminate()


@pytest.fixture
def daphne_url(daphne: tuple[str, "subprocess.Popen[bytes]"]) -> str:
    return daphne[0]


async def test_price_comes_as_published(daphne_url: str, live: LiveServer, redis: Redis) -> None:
    """The first version's example, digit for digit, and then every tick in order."""
    async with connect(daphne_url) as connection:
        client = Client(connection)
        await client.subscribe("AAPL")
        text = '{"symbol":"AAPL","price":189.450,"timestamp":1712331900000}'
        publish(redis, "AAPL", text)
        assert await client.receive_text() == text
        ticks = [tick("AAPL", str(n), MOMENT + n) for n in range(1000)]
        publish_ticks(ticks, client=redis)
        assert [(await client.price())["price"] for _ in range(1000)] == list(range(1000))
        await client.connection.send(b"\xff")
        assert (await client.receive())["code"] == 400


async def test_slow_reader_is_conflated(daphne_url: str, live: LiveServer, redis: Redis) -> None:
    """The frames due to a paused client are bounded: it gets the newest, and a count."""
    async with (
        connect(daphne_url, max_size=None) as connection,
        connect(daphne_url, max_size=None) as other,
    ):
        client, witness = Client(connection), Client(other)
        await client.subscribe("S")
        await witness.subscribe("S")
        connection.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, 65536
        )
        connection.transport.pause_reading()
        for n in range(600):
            publish(redis, "S", message("S", str(n), MOMENT + n, pad="x" * 4000))
            if n % 50 == 0:
                await asyncio.sleep(0)
        while (await witness.price())["price"] < 599:
            pass
        connection.transport.resume_reading()
        prices: list[int] = []
        skipped = 0
        while len(prices) + skipped < 600:
            frame = json.loads(await client.receive_text())
            if frame.get("type") == "conflated":
                skipped += frame["skipped"]
            elif "type" not in frame:
                prices.append(frame["price"])
        assert skipped > 0 and prices == sorted(set(prices)) and prices[-1] == 599


async def test_other_paths_are_refused_with_404(daphne_url: str, redis: Redis) -> None:
    """The handshake is answered with the right address."""
    for path in ("/", "x"):
        with pytest.raises(InvalidStatus) as refused:
            async with connect(daphne_url + path):
                pass
        assert refused.value.response.status_code == 404
        assert b"/live-price" in (refused.value.response.body or b"")
    with pytest.raises(InvalidStatus) as foreign:
        async with connect(daphne_url, origin=Origin("https://evil.example")):
            pass
    assert foreign.value.response.status_code == 403


@pytest.mark.parametrize("parts", BAD_TEXT)
async def test_text_that_is_not_utf8_closes_with_1007(
    daphne_url: str, redis: Redis, parts: list[bytes]
) -> None:
    """In one frame or several; the client is told the code."""
    async with connect(daphne_url) as connection:
        for number, part in enumerate(parts):
            opcode = 0x00 if number else 0x01
            final = 0x80 if number == len(parts) - 1 else 0
            head = bytes([final | opcode, 0x80 | len(part), 0, 0, 0, 0])
            connection.transport.write(head + part)
        with pytest.raises(ConnectionClosed) as closed:
            await Client(connection).receive()
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1007


async def test_client_that_asks_for_too_many_symbols_stays_connected(
    daphne_url: str, redis: Redis
) -> None:
    """The limit's number is taken, the rest is rejected with 405, and every answer comes."""
    async with connect(daphne_url, max_size=None) as connection:
        await ask_for_much(Client(connection))


@pytest.mark.parametrize("kind", FLOODS)
async def test_flood_of_frames_that_are_no_messages_is_closed(
    daphne_url: str, redis: Redis, kind: str
) -> None:
    """Pings, pongs and small fragments count against the rate, as messages do."""
    async with connect(daphne_url) as connection:
        await Client(connection).ask(action="ping")
        assert await flood(connection, kind) in (4429, 1006)  # Daphne may drop what it was sending


@pytest.mark.parametrize("kind", FLOODS_OF_MESSAGES)
async def test_client_that_sends_without_end_is_cut_off(
    daphne_url: str, redis: Redis, kind: str
) -> None:
    """Nothing more is read from it."""
    async with connect(daphne_url) as connection:
        await Client(connection).ask(action="ping")
        await flood_until_cut_off(connection, FLOODS_OF_MESSAGES[kind] * 100)


def newest_number(redis: Redis, key: str) -> int:
    record = redis.hget("quotes:latest", key)
    assert isinstance(record, bytes)
    return decode_latest(record).seq


async def test_process_that_stood_still_leaves_no_hole(
    daphne: tuple[str, "subprocess.Popen[bytes]"], live: LiveServer, redis: Redis
) -> None:
    """A client that wants every tick is closed when the process that served it missed some."""
    url, process = daphne
    async with connect(url) as connection:
        client = Client(connection)
        await client.subscribe("F", conflate=False, seq=True)
        publish_ticks([tick("F", "1", MOMENT + 1)], client=redis)
        assert (await client.price())["seq"] == 1
        links = [one for one in redis.client_list(_type="pubsub") if one["psub"] == "0"]
        process.send_signal(signal.SIGSTOP)
        try:
            publish_ticks([tick("F", str(n), MOMENT + n) for n in range(2, 9)], client=redis)
            await eventually(lambda: newest_number(redis, "F") == 8)
            for link in links:  # as Redis does when what it holds for a reader is too much
                redis.client_kill_filter(_id=link["id"])
            publish_ticks([tick("F", str(n), MOMENT + n) for n in range(9, 20)], client=redis)
            await eventually(lambda: newest_number(redis, "F") == 19)
        finally:
            process.send_signal(signal.SIGCONT)
        expected = 2
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                assert (await client.price())["seq"] == expected
                expected += 1
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == CloseCode.TOO_SLOW_FOR_EVERY_TICK


async def test_ping_never_waits_behind_a_subscribe(
    daphne_url: str, live: LiveServer, redis: Redis, redis_server: ValkeyProcess
) -> None:
    """While subscribes wait for Redis, what needs no wait is answered at once."""
    async with connect(daphne_url) as connection:
        client = Client(connection)
        await client.subscribe("FIRST")
        redis_server.pause()
        try:
            assert in_order(await ask_everything(client)) == AT_ONCE
        finally:
            redis_server.resume()
        later = [(await client.receive())["id"] for _ in range(3)]
        assert later == ["first", "second", "third"]


async def test_requests_are_answered_while_redis_hangs(
    daphne_url: str, live: LiveServer, redis: Redis, redis_server: ValkeyProcess
) -> None:
    """Handshakes, subscribes and REST come in time, and the subscriptions come alive later."""
    rest = daphne_url.replace("ws:", "http:").replace("live-price", "api/prices/A/")

    def status() -> int:
        try:
            with urllib.request.urlopen(rest) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    async with AsyncExitStack() as stack:
        everyone = [Client(await stack.enter_async_context(connect(daphne_url))) for _ in range(3)]
        redis_server.pause()
        try:
            await subscribe_all(everyone)
            async with asyncio.timeout(SOON_S):
                later = Client(await stack.enter_async_context(connect(daphne_url)))
            await subscribe_all([later])
            async with asyncio.timeout(SOON_S):
                assert await asyncio.to_thread(status) == 503
        finally:
            redis_server.resume()
        publish(redis, "SHARED", message("SHARED", "1"))
        for client in everyone:
            assert (await client.price())["symbol"] == "SHARED"
        await asyncio.to_thread(wait_until, lambda: status() == 404)


async def test_names_and_keys_may_be_mistyped(
    daphne_url: str, live: LiveServer, redis: Redis
) -> None:
    """A published name is found in another case, and a key that is not read is named."""
    publish(redis, "AAPL", message("AAPL", "7"))
    await eventually(lambda: redis.hexists("quotes:latest", "AAPL"))
    async with connect(daphne_url) as connection:
        client = Client(connection)
        answer = await client.subscribe("aapl", interval="1m")
        assert answer["keys"] == {"aapl": "AAPL"}
        assert answer["warnings"] == ["unknown key 'interval' is ignored, did you mean 'candles'?"]
        assert (await client.price())["price"] == 7
