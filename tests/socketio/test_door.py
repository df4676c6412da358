"""The door packet by packet, over polls and WebSockets, with prepared frames and without."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer
from redis import Redis
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from config import doors
from config.asgi import application
from instruments.keys import InstrumentKey
from quotes.layer.any_layer import adapted
from quotes.publish.publishing import publish_ticks
from quotes.store.group_names import price_group
from quotes.websocket.feed.feed import current_feed
from tests.access.people import access_token, asha, expired_token
from tests.conftest import In
from tests.live import LiveServer
from tests.socketio.wire import QUERY, PollingClient, SocketClient, events_in, request
from tests.ticks import MOMENT, message, publish, tick
from tests.waiting import eventually

STORED = '{"symbol":"AAPL","price":189.450,"timestamp":1712331900000}'


@contextlib.asynccontextmanager
async def socket_client(
    port: int, *, sid: str = "", auth: str | None = "", **options: object
) -> AsyncIterator[SocketClient]:
    url = f"ws://127.0.0.1:{port}{QUERY}websocket" + (f"&sid={sid}" if sid else "")
    async with connect(url, max_size=None, **options) as connection:  # type: ignore[arg-type]
        client = SocketClient(connection)
        if not sid and auth is not None:
            await client.join(auth)
        yield client


@pytest.mark.parametrize("live", ["wire", "asgi"], indirect=True)
async def test_first_version_over_a_websocket(live: LiveServer, redis: Redis) -> None:
    """`emit("subscribe", "AAPL")` brings the stored price, then each message, digit for digit."""
    redis.set("stock:AAPL", STORED)
    async with socket_client(live.port) as client:
        await client.emit("subscribe", "AAPL")
        found = [await client.packet() for _ in range(2)]
        assert f'42["stockUpdate",{STORED}]' in found
        assert events_in(found)[0][1]["type"] == "subscribed"
        for price in ("190.10", "1e2"):
            text = f'{{"symbol":"AAPL","price":{price},"timestamp":{MOMENT}}}'
            publish(redis, "AAPL", text)
            assert await client.packet() == f'42["stockUpdate",{text}]'


@pytest.mark.parametrize("live", ["wire", "asgi"], indirect=True)
async def test_first_version_over_polls(live: LiveServer, redis: Redis) -> None:
    """Each poll brings what came since the last, in order."""
    redis.set("stock:AAPL", STORED)
    client = await PollingClient.open(live.port)
    await client.emit("subscribe", "AAPL")
    notice, price = await client.events(2)
    assert notice[1]["type"] == "subscribed" and price == ["stockUpdate", json.loads(STORED)]
    publish_ticks([tick("AAPL", str(n), MOMENT + n) for n in range(100)], client=redis)
    prices = [event[1]["price"] for event in await client.events(100)]
    assert prices == list(range(100))


@pytest.mark.parametrize("live", ["wire", "asgi"], indirect=True)
async def test_upgrade_loses_repeats_and_reorders_nothing(live: LiveServer, redis: Redis) -> None:
    """Prices flow meanwhile; the poll that waits returns, and the rest comes by the WebSocket."""
    client = await PollingClient.open(live.port)
    await client.emit("subscribe", "AAPL")
    await client.events(1)
    prices: list[int] = []

    def take(packets: list[str]) -> None:
        prices.extend(one[1]["price"] for one in events_in(packets) if one[0] == "stockUpdate")

    def publish_more() -> None:
        done = len(published)
        published.extend(range(done, done + 50))
        ticks = [tick("AAPL", str(n), MOMENT + n) for n in range(done, done + 50)]
        publish_ticks(ticks, client=redis)

    published: list[int] = []
    poll = asyncio.create_task(client.poll())
    async with socket_client(live.port, sid=client.sid) as upgraded:
        publish_more()
        await upgraded.connection.send("2probe")
        assert await upgraded.packet() == "3probe"
        publish_more()
        take(await poll)
        for _ in range(3):
            publish_more()
            take(await client.poll())
        publish_more()
        await upgraded.connection.send("5")
        publish_more()
        while len(prices) < len(published):
            take([await upgraded.packet()])
        assert prices == published
        assert (await client.get()).status == 400
        assert (await upgraded.ask("ping"))["type"] == "pong"


async def test_probe_that_is_not_followed_leaves_the_polls(live: LiveServer, redis: Redis) -> None:
    """The WebSocket ends, or says something else; then another may try."""
    client = await PollingClient.open(live.port)
    for packets in (("2probe",), ("2probe", "4x"), ("x",)):
        async with socket_client(live.port, sid=client.sid) as other:
            for one in packets:
                await other.connection.send(one)
            if packets[0] == "2probe":
                assert await other.packet() == "3probe"
            if packets != ("2probe",):
                await other.connection.wait_closed()
        await client.emit("ping", ack=3)
        while not (found := await client.poll())[-1].startswith('433[{"type":"pong"'):
            assert found == ["6"]
    async with socket_client(live.port, sid=client.sid) as upgraded:
        await upgraded.connection.send("2probe")
        assert await upgraded.packet() == "3probe"
        with pytest.raises(InvalidStatus):
            async with socket_client(live.port, sid=client.sid):
                pass
        await upgraded.connection.send("5")
        assert (await upgraded.ask("ping"))["type"] == "pong"


async def test_acknowledgements_are_the_answers_of_live_price(
    live: LiveServer, redis: Redis
) -> None:
    """With the client's own `id`; errors too. Without a callback the answer is a notice."""
    async with socket_client(live.port) as client:
        assert await client.ask("subscribe", {"symbols": ["A", "B"], "id": "mine"}) == {
            "type": "subscribed",
            "id": "mine",
            **(await expected(live, ["A", "B"])),
        }
        assert (await client.ask("subscribe", "A"))["symbols"] == ["A"]  # as often as it likes
        error = await client.ask("subscribe", 5)
        assert (error["type"], error["code"]) == ("error", 400) and "id" not in error
        assert (await client.ask("dance"))["code"] == 410
        assert (await client.ask("list"))["symbols"] == ["A", "B"]
        assert (await client.ask("unsubscribe", ["A", "B"]))["type"] == "unsubscribed"
        await client.emit("dance")
        assert (await client.event("notice"))["code"] == 410


async def expected(live: LiveServer, symbols: list[str]) -> dict[str, object]:
    """Return what /live-price answers to the same request."""
    async with live.client() as client:
        answer = await client.subscribe(*symbols)
    return {name: value for name, value in answer.items() if name not in ("type", "id")}


async def test_modes_intervals_and_candles_are_those_of_live_price(
    live: LiveServer, redis: Redis
) -> None:
    """The object of /live-price says so."""
    publish(redis, "AAPL", message("AAPL", "7", volume=5))
    async with socket_client(live.port) as client:
        await client.ask("subscribe", {"symbol": "AAPL", "mode": "ltp"})
        assert set(await client.event("stockUpdate")) == {"symbol", "price", "timestamp"}
        answer = await client.ask("configure", {"batch": True, "interval_ms": 50, "mode": "full"})
        assert answer["batch"] is True
        await client.ask("subscribe", {"symbol": "MSFT"})
        publish(redis, "MSFT", message("MSFT", "8"))
        (price,) = await client.event("stockUpdate")
        assert price["price"] == 8


async def test_prices_at_intervals_are_events_too(live: LiveServer, redis: Redis) -> None:
    """Made once for all clients of a shape, whether they go through the interval or not."""
    async with socket_client(live.port) as one, socket_client(live.port) as two:
        for client in (one, two):
            assert (await client.ask("configure", {"interval_ms": 20}))["interval_ms"] == 20
            await client.ask("subscribe", "S")
        at = MOMENT
        while not connected_interval(live):  # after a second without a change of subscriptions
            at += 1
            publish(redis, "S", message("S", "1", at))
            await one.event("stockUpdate")
            await two.event("stockUpdate")
        publish(redis, "S", f'{{"symbol":"S","price":2.50,"timestamp":{at + 1}}}')
        for client in (one, two):
            while "2.50" not in (packet := await client.packet()):
                pass
            assert packet.startswith('42["stockUpdate",{"symbol":"S","price":2.50,')


def connected_interval(live: LiveServer) -> bool:
    """Return whether the prices of each client go through an interval."""
    sessions = [one.session for one in open_connections()]
    return all(one.outbox.interval_membership.is_shared for one in sessions)


async def test_door_can_be_closed(settings: Any) -> None:
    """Its path is then nobody's; paths that only begin alike are not its own."""
    assert set(doors.mounts()) == {"/socket.io/"}
    settings.QUOTES_DOORS = "kite"
    assert not doors.mounts()
    asked: list[str] = []

    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])

    async def others(scope: Any, receive: Any, send: Any) -> None:
        asked.append("")

    mounts = doors.Mounts({"/socket.io/": mounted}, others)
    paths = ("/socket.io/", "/socket.io", "/socket.io/x", "/socket.iox/", "/", "/a/socket.io/")
    for path in paths:
        await mounts({"type": "http", "path": path}, None, None)
    await mounts({"type": "lifespan"}, None, None)
    assert asked == ["/socket.io/", "/socket.io", "/socket.io/x", "", "", "", ""]


async def test_tokens(database: In, live: LiveServer, redis: Redis, required: None) -> None:
    """In the handshake, as an event, or in a header; a bad one is refused, or disconnects."""
    good, bad = await database(two_tokens)
    async with socket_client(live.port, auth=json.dumps({"token": good})) as client:
        assert (await client.event("notice"))["type"] == "authenticated"
        assert (await client.ask("subscribe", "A"))["symbols"] == ["A"]
    async with socket_client(live.port) as client:
        assert (await client.ask("subscribe", "A"))["code"] == 401
        assert (await client.ask("authenticate", good))["type"] == "authenticated"
        assert (await client.ask("subscribe", "A"))["symbols"] == ["A"]
        await client.emit("authenticate", bad)
        assert (await client.event("notice"))["code"] == 402
        assert (await client.event("notice")) == {
            "type": "close",
            "code": 4501,
            "reason": "bad token",
        }
        assert await client.packet() == "41"
        with pytest.raises(ConnectionClosed):
            await client.packet()
    for auth in ({"token": bad}, {"token": 5}, {"token": "x"}):
        async with socket_client(live.port, auth=None) as client:
            assert (await client.packet()).startswith("0{")
            await client.connection.send("40" + json.dumps(auth))
            refusal = await client.packet()
            assert refusal.startswith("44{") and json.loads(refusal[2:])["data"] == {"code": 402}
            with pytest.raises(ConnectionClosed):
                await client.packet()
    polls = await PollingClient.open(live.port, join=False)
    await polls.send("40" + json.dumps({"token": bad}))
    assert (await polls.poll())[0].startswith("44{")
    header = {"Authorization": f"Bearer {bad}"}
    assert (await request(live.port, f"{QUERY}polling", headers=header)).status == 401
    header = {"Authorization": f"Bearer {good}"}
    polls = await PollingClient.open(live.port, headers=header)
    await polls.emit("subscribe", "A", ack=1)
    while not any(one.startswith("431[") for one in await polls.poll()):
        pass


async def test_foreign_pages_are_refused(live: LiveServer, redis: Redis, settings: object) -> None:
    """Those of allowed origins may read the answers: the setting is that of all doors."""
    path = f"{QUERY}polling"
    assert (
        await request(live.port, path, headers={"Origin": "https://evil.example"})
    ).status == 403
    with pytest.raises(InvalidStatus) as refused:
        async with socket_client(live.port, origin=Origin("https://evil.example")):
            pass
    assert refused.value.response.status_code == 403
    settings.QUOTES_ALLOWED_ORIGINS = "https://app.example"  # type: ignore[attr-defined]
    for method in ("GET", "OPTIONS"):
        headers = {"Origin": "https://app.example"}
        answer = await request(live.port, path, method=method, headers=headers)
        assert answer.status in (200, 204)
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
    async with socket_client(live.port, origin=Origin("https://app.example")):
        pass
    own = await request(live.port, path, headers={"Origin": f"http://127.0.0.1:{live.port}"})
    assert own.status == 200


@pytest.mark.parametrize(
    ("path", "options", "status", "code"),
    [
        ("/socket.io/?EIO=3&transport=polling", {}, 400, 5),
        ("/socket.io/", {}, 400, 5),
        ("/socket.io/?EIO=4", {}, 400, 0),
        ("/socket.io/?EIO=4&transport=flashsocket", {}, 400, 0),
        ("/socket.io/?EIO=4&transport=websocket", {}, 400, 0),
        ("/socket.io/?EIO=4&transport=polling&j=0", {}, 400, 0),
        (f"{QUERY}polling&sid=nobody", {}, 400, 1),
        (f"{QUERY}polling&sid=../../etc", {}, 400, 1),
        (f"{QUERY}polling&sid=00000000abcdef", {"body": b"40"}, 400, 1),
        (f"{QUERY}polling", {"body": b"40"}, 400, 2),
        (f"{QUERY}polling", {"method": "DELETE"}, 400, 2),
        ("/socket.io/socket.io.js", {}, 404, 404),
        ("/socket.io/" + "?a" + "&a" * 50, {}, 400, 3),
    ],
)
async def test_bad_requests_get_the_codes_of_engine_io(
    live: LiveServer, redis: Redis, path: str, options: dict[str, bytes], status: int, code: int
) -> None:
    """As Node's server answers them."""
    answer = await request(live.port, path, **options)  # type: ignore[arg-type]
    assert answer.status == status and json.loads(answer.body)["code"] == code


def open_connections() -> list[Any]:
    """Return the connections of the door in this event loop."""
    (mounted,) = application._application._mounted.values()
    return list(mounted._application.connections.values())


def connections() -> int:
    return len(open_connections())


async def counted() -> int:
    feed = await current_feed()
    return feed.access_service.counts.counts["all"]


async def test_client_that_leaves_is_counted_no_longer(live: LiveServer, redis: Redis) -> None:
    """Whether it says so, hangs up, or leaves its poll."""
    one = await PollingClient.open(live.port)
    await one.send("1")
    two = await PollingClient.open(live.port)
    _, writer = await asyncio.open_connection("127.0.0.1", live.port)
    writer.write(f"GET {two.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    await eventually(lambda: connections() >= 1)
    async with socket_client(live.port) as three:
        await three.emit("subscribe", "A")
        await three.connection.send("41")
        await three.connection.wait_closed()
    four = await PollingClient.open(live.port)
    await four.send("41")
    assert (await four.poll())[-1] == "1"
    writer.close()
    await eventually(lambda: connections() == 0)
    assert await counted() == 0


def two_tokens() -> tuple[str, str]:
    """Return a good token of a user, and one that has expired."""
    user = asha("*")
    return access_token(user), expired_token(user)


async def test_prices_come_by_any_channel_layer(live: LiveServer, redis: Redis) -> None:
    """One that does not hand messages over is asked for them."""
    feed = await current_feed()
    feed.layer = adapted(InMemoryChannelLayer())
    async with socket_client(live.port) as client:
        assert (await client.ask("subscribe", "S"))["symbols"] == ["S"]
        text = '{"symbol":"S","price":2.50,"timestamp":1712331900000}'
        tick = {"key": "S", "epoch": 1, "seq": 1, "timestamp": 1712331900000, "frame": text}
        group = price_group(InstrumentKey.parse("S"))
        await feed.layer.group_send_many([(group, {"type": "quote.tick", **tick})])
        assert await client.packet() == f'42["stockUpdate",{text}]'
    await eventually(lambda: connections() == 0)
