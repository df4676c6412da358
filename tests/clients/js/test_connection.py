"""The JavaScript client's connection: losses, closes and tokens, on both servers."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis import Redis
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from benchmarks.chaos.proxy import Mode, Proxy
from quotes.access.models import SegmentGrant
from quotes.websocket.feed.feed import current_feed
from quotes.websocket.feed.stream_history import UNREADABLE, MissedTicks
from tests.access.people import PASSWORD, access_token, asha, expired_token
from tests.clients.js.node import js_client
from tests.conftest import In
from tests.live import LiveServer
from tests.socketio.test_clients import daphne_port
from tests.ticks import MOMENT, message, publish

__all__ = ["daphne_port"]

FAST = {"minBackoffMs": 10, "maxBackoffMs": 50}
EVERY_TICK = {"conflate": False}


@contextlib.asynccontextmanager
async def door_to(port: int) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy before a server, and the URL of the server through it."""
    proxy = Proxy(port)
    await proxy.start()
    try:
        yield proxy, f"ws://127.0.0.1:{proxy.port}/live-price"
    finally:
        await proxy.close()


@pytest.fixture(params=["uvicorn", "daphne"])
def port(request: pytest.FixtureRequest, live: LiveServer) -> int:
    """The port of a server of either kind; prices come by the bridge of `live`."""
    if request.param == "uvicorn":
        return live.port
    port: int = request.getfixturevalue("daphne_port")
    return port


@pytest.mark.parametrize("mode", [Mode.CUT, Mode.HALF_OPEN])
async def test_missed_ticks_come_after_a_loss(
    port: int, live: LiveServer, redis: Redis, mode: Mode
) -> None:
    """Whether the connection is reset or falls silent: each tick once, and the user is told."""
    symbol = f"LOST-{port}-{mode}"
    async with (
        door_to(port) as (door, url),
        js_client(url, options={**FAST, "silenceMs": 900}) as client,
    ):
        await client.do("subscribe", **{"as": "a"}, names=symbol, options=EVERY_TICK)
        await client.get("a", "subscribed")
        publish(redis, symbol, message(symbol, "1"))
        assert await client.prices("a", 1) == [1]
        for round in range(2):
            door.set_mode(mode)
            waiting = await client.state("waiting")
            assert waiting["error"]["kind"] == "ConnectionError" and waiting["retryAt"] > 0
            first = 2 + round * 5
            for at in range(first, first + 5):
                publish(redis, symbol, message(symbol, str(at), MOMENT + at))
            door.set_mode(Mode.PASS)
            await client.state("open")
            recovered = await client.get("a", "recovered")
            assert recovered == {"symbol": symbol, "recovered": True, "ticks": 5}
            assert await client.prices("a", 5) == list(range(first, first + 5))


@pytest.mark.parametrize("is_closed", [False, True], ids=["obeys", "is closed before"])
async def test_server_that_stops_is_no_failure(
    live: LiveServer, redis: Redis, is_closed: bool
) -> None:
    """The client connects again at its time, without the pause of a loss, and resumes."""
    minute = {"minBackoffMs": 60_000, "maxBackoffMs": 60_000}
    async with js_client(live.url, options=minute) as client:
        await client.do("subscribe", **{"as": "a"}, names="A", options=EVERY_TICK)
        await client.get("a", "subscribed")
        await client.state("open")
        publish(redis, "A", message("A", "1"))
        assert await client.prices("a", 1) == [1]
        for at in (2, 3):
            (session,) = (await current_feed()).listeners
            session.announce_restart(100)
            if is_closed:
                session.close_for_restart()
            assert await client.get("client", "reconnect") == {"afterMs": 100}
            assert (await client.get("client", "state"))["state"] == "connecting"
            publish(redis, "A", message("A", str(at), MOMENT + at))
            await client.state("open")
            assert await client.prices("a", 1) == [at]


@pytest.mark.parametrize(("failures", "recovered"), [(2, True), (5, True), (6, False)])
async def test_server_that_cannot_read_its_log_is_asked_again(
    live: LiveServer,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    failures: int,
    recovered: bool,
) -> None:
    """The client resumes up to five times more; then it takes the latest price."""
    history = (await current_feed()).history
    missed_ticks = history.missed_ticks

    async def failing(*arguments: Any, **options: Any) -> MissedTicks:
        nonlocal failures
        if failures:
            failures -= 1
            return MissedTicks([], UNREADABLE, retry=True)
        return await missed_ticks(*arguments, **options)

    async with door_to(live.port) as (door, url), js_client(url, options=FAST) as client:
        await client.do("subscribe", **{"as": "a"}, names="A", options=EVERY_TICK)
        await client.get("a", "subscribed")
        publish(redis, "A", message("A", "1"))
        assert await client.prices("a", 1) == [1]
        monkeypatch.setattr(history, "missed_ticks", failing)
        door.set_mode(Mode.CUT)
        await client.state("waiting")
        for at in (2, 3):
            publish(redis, "A", message("A", str(at), MOMENT + at))
        door.set_mode(Mode.PASS)
        event = await client.get("a", "recovered")
        assert (event["recovered"], event["ticks"]) == (recovered, 2 if recovered else 0)
        assert await client.prices("a", 2 if recovered else 1) == ([2, 3] if recovered else [3])
        publish(redis, "A", message("A", "4", MOMENT + 4))
        assert await client.prices("a", 1) == [4]
        assert failures == 0 and client.nothing_of("a", "recovered")


async def test_everything_is_subscribed_again(live: LiveServer, redis: Redis) -> None:
    """Aliases, settings and what was added and left during the loss; a new epoch is told."""
    async with door_to(live.port) as (door, url), js_client(url, options=FAST) as client:
        await client.do("subscribe", **{"as": "a"}, names=["A", "B", "C"])
        await client.do("subscribe", **{"as": "b"}, names=["B"])
        publish(redis, "A", message("A", "1"))
        assert await client.prices("a", 1) == [1]
        door.set_mode(Mode.CUT)
        await client.state("waiting")
        await client.do("remove", **{"as": "a"}, names=["B", "C"])
        await client.do("add", **{"as": "a"}, names="D")
        await client.do("call", method="configure", values=[{"mode": "ltp"}])
        await client.do("call", method="request", values=[{"action": "list"}])
        redis.delete("quotes:latest")
        door.set_mode(Mode.PASS)
        await client.state("open")
        await client.get("client", "configure")
        assert (await client.get("client", "request"))["type"] == "subscriptions"
        names: list[str] = []
        while sorted(names) != ["A", "B", "D"]:
            names = (await client.call("request", {"action": "list"}))["symbols"]
        publish(redis, "D", message("D", "4", volume=1))
        assert "volume" not in await client.get("a", "price")


async def test_quiet_connection_stays(live: LiveServer, redis: Redis) -> None:
    """Silence of prices is no loss: the client asks, and any frame counts."""
    async with js_client(live.url, options={"silenceMs": 600}) as client:
        await client.state("open")
        found: list[int] = []
        while not found or found[-1] < found[0] + 2000:
            await client.do("properties")
            values = await client.get("client", "properties")
            assert values["state"] == "open"
            found.append(values["lastFrameAt"] or 0)
            if not found[0]:
                found.clear()
        assert client.nothing_of("client", "state")


async def test_server_that_is_not_there_yet(redis: Redis, live: LiveServer) -> None:
    """The client tries until it is; `connect` does not wait, `close` ends it."""
    async with door_to(live.port) as (door, url):
        door.set_mode(Mode.CUT)
        async with js_client(
            url, options={"minBackoffMs": 60_000, "maxBackoffMs": 60_000}
        ) as client:
            waiting = await client.state("waiting")
            assert waiting["error"]["code"] == 1006 and url in waiting["error"]["message"]
            await client.do("call", method="ping")
            door.set_mode(Mode.PASS)
            await client.do("connect")
            await client.state("open")
            assert await client.get("client", "ping") > 0
            await client.do("close")
            assert "error" not in await client.state("closed")
            assert (await client.call("ping"))["error"]["kind"] == "ConnectionError"
            await client.do("connect")
            await client.state("open")


CLOSES = [
    (1000, True),
    (1011, True),
    (1012, True),
    (3999, True),
    (4000, True),
    (4408, True),
    (4410, True),
    (4429, True),
    (4499, True),
    (4500, False),
    (4501, False),
    (4999, False),
]


async def test_close_codes_say_whether_to_come_back() -> None:
    """After 4000 to 4499 and the standard's codes it does, after 4500 to 4999 it does not."""
    code = 0

    async def end(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await connection.recv()
            await connection.close(code, "because")

    async with serve(end, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/live-price"
        async with js_client() as client:
            for code, returns in CLOSES:
                await client.do("client", url=url, options=FAST)
                await client.do("subscribe", **{"as": "a"}, names="A")
                await client.do("iterate", **{"as": "a"}, count=1)
                if returns:
                    for _ in range(2):
                        change = await client.state("waiting")
                        assert change["error"]["code"] == code
                    assert client.nothing_of("a", "thrown")
                    await client.do("close")
                    assert await client.get("a", "left") == 1
                    await client.state("closed")
                else:
                    change = await client.state("closed")
                    thrown = await client.get("a", "thrown")
                    assert thrown == change["error"] and thrown["code"] == code
                    kind = "AuthenticationError" if code == 4501 else "ConnectionError"
                    assert thrown["kind"] == kind and "because" in thrown["message"]


async def test_frames_that_nobody_knows_do_no_harm() -> None:
    """A later version of the server may send more than this client knows."""
    frames: list[Any] = [
        {"type": "novelty", "x": 1},
        {"type": "error", "code": 500, "message": "the server failed"},
        {"type": "status", "status": "sunny"},
        {"symbol": "STRANGER", "price": 1, "timestamp": 1},
        [],
        {"type": "resumed", "symbol": "X", "key": "X", "recovered": True, "ticks": 1},
        {"type": "candle", "key": "X", "interval": "1m", "start": 1},
        {"type": "chain", "segment": "NFO", "underlying": "X", "added": [], "removed": []},
        {"type": "pong", "id": 999, "timestamp": 1, "feed": "live"},
    ]

    async def talk(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await converse(connection)

    async def converse(connection: ServerConnection) -> None:
        for frame in frames:
            await connection.send(json.dumps(frame))
        await connection.send("not JSON")
        while True:
            request = json.loads(await connection.recv())
            if request["action"] == "ping":
                answer = {"type": "pong", "id": request["id"], "timestamp": 1, "feed": "live"}
                await connection.send(json.dumps(answer))

    async with serve(talk, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/live-price"
        async with js_client(url, options=FAST) as client:
            errors = [await client.get("client", "error") for _ in range(2)]
            assert [one["code"] for one in errors] == [500, 1007]
            assert await client.call("ping") > 0


# -- tokens ----------------------------------------------------------------------------------------


async def test_constant_token_that_is_refused_ends_the_client(
    live: LiveServer, redis: Redis, database: In
) -> None:
    token = await database(lambda: expired_token(asha("*")))
    async with js_client(live.url, options={**FAST, "token": token}) as client:
        change = await client.state("closed")
        assert (change["error"]["kind"], change["error"]["code"]) == ("AuthenticationError", 402)


async def test_token_callback_is_asked_again_but_not_for_ever(
    live: LiveServer, redis: Redis, database: In
) -> None:
    """A callback that fails or returns a bad token is called before the next connection."""
    good = await database(lambda: access_token(asha("*")))
    async with js_client(live.url, options=FAST, tokens=["fail", "bad", good]) as client:
        assert (await client.get("client", "authenticated"))["user"] == "asha"
        await client.state("open")
    async with js_client(live.url, options=FAST, tokens=["bad"]) as client:
        change = await client.state("closed")
        assert change["error"]["code"] == 402
        calls = sum(event == "token" for _, event, _ in client.passed)
        assert calls == 3


async def test_required_token_that_is_missing(
    live: LiveServer, redis: Redis, required: None
) -> None:
    """Without a token there is no use in coming back."""
    async with js_client(live.url, options=FAST) as client:
        await client.do("subscribe", **{"as": "a"}, names="A")
        change = await client.state("closed")
        assert (change["error"]["kind"], change["error"]["code"]) == ("AuthenticationError", 401)


async def test_token_is_renewed_on_the_open_connection(
    live: LiveServer, redis: Redis, required: None, settings: Any, database: In
) -> None:
    """The callback's next token goes over the same connection, and the prices go on."""
    settings.QUOTES_TOKEN_WARNING_S = 10
    settings.QUOTES_TOKEN_GRACE_S = 0.2
    user = await database(asha, "*")
    tokens = [await database(access_token, user, lifetime_s=each) for each in (9, 90)]
    async with js_client(live.url, options=FAST, tokens=tokens) as client:
        await client.do("subscribe", **{"as": "a"}, names="A")
        first = await client.get("client", "authenticated")
        second = await client.get("client", "authenticated")
        assert second["expires"] > first["expires"] + 30_000
        publish(redis, "A", message("A", "1"))
        assert await client.prices("a", 1) == [1]
        states = [value["state"] for _, event, value in client.passed if event == "state"]
        assert states == ["connecting", "open"]


async def test_token_that_ends_brings_the_client_back_with_the_next(
    live: LiveServer, redis: Redis, required: None, settings: Any, database: In
) -> None:
    """A callback that fails is told as an error; after 4401 the client resumes with a new token."""
    settings.QUOTES_TOKEN_WARNING_S = 10
    settings.QUOTES_TOKEN_GRACE_S = 0.2
    user = await database(asha, "*")
    async with js_client() as client:
        await client.do("rest", url=live.url)  # it is up, so that the token ends while it is used
        short, long = [await database(access_token, user, lifetime_s=each) for each in (4, 60)]
        tokens = [short, "fail", "fail", long]
        await client.do("client", url=live.url, options=FAST, tokens=tokens)
        await client.do("subscribe", **{"as": "a"}, names="A")
        await client.get("a", "subscribed")
        publish(redis, "A", message("A", "1"))
        assert await client.prices("a", 1) == [1]
        assert "no token today" in (await client.get("client", "error"))["message"]
        while (await client.state("waiting"))["error"]["code"] != 4401:
            pass
        publish(redis, "A", message("A", "2", MOMENT + 1))
        await client.state("open")
        assert (await client.get("a", "recovered"))["recovered"] is True
        assert await client.prices("a", 1) == [2]


async def test_ticket_opens_the_connection(
    live: LiveServer, redis: Redis, required: None, database: In
) -> None:
    """Each connection gets a ticket of its own, from the REST API with a token."""
    user = await database(asha, "*", username="asha", password=PASSWORD)
    assert user.username == "asha"
    async with door_to(live.port) as (door, url), js_client() as client:
        base = f"http://127.0.0.1:{live.port}"
        await client.do("rest", url=base)
        tokens = await client.call("login", "asha", PASSWORD, on="rest")
        await client.do("rest", url=base, options={"token": tokens["access"]})
        await client.do("client", url=url, options=FAST, ticket=True)
        for _ in range(2):
            assert (await client.get("client", "authenticated"))["user"] == "asha"
            await client.state("open")
            door.set_mode(Mode.CUT)
            await client.state("waiting")
            door.set_mode(Mode.PASS)


async def test_entitlements_that_change(
    live: LiveServer, redis: Redis, required: None, database: In
) -> None:
    """What is no longer granted is refused with 403, and subscribed again when it is granted."""
    user = await database(asha, "OTHER")
    token = await database(access_token, user)
    async with js_client(live.url, options={**FAST, "token": token}) as client:
        await client.do("subscribe", **{"as": "a"}, names="A")
        await client.get("a", "subscribed")
        await database(SegmentGrant.objects.filter(user=user).delete)
        change = await client.get("client", "entitlements")
        assert change == {"segments": [], "delayed": {}, "dropped": ["A"]}
        error = await client.get("a", "rejected")
        assert (error["code"], error["symbol"]) == (403, "A")
        await database(SegmentGrant.objects.create, user=user, segment="OTHER")
        await client.get("client", "entitlements")
        await client.get("a", "subscribed")


async def test_log_out_ends_the_client(
    live: LiveServer, redis: Redis, required: None, database: In
) -> None:
    user = await database(asha, "*")
    token = await database(access_token, user)
    async with js_client(live.url, options={**FAST, "token": token}) as client:
        await client.state("open")
        user.is_active = False
        await database(user.save)
        change = await client.state("closed")
        assert (change["error"]["kind"], change["error"]["code"]) == ("AuthenticationError", 4501)


async def test_frozen_event_loop_is_no_loss(live: LiveServer, redis: Redis) -> None:
    """A program that stood still finds its connection as it was."""
    async with js_client(live.url, options={"silenceMs": 600}) as client:
        await client.state("open")
        client.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(1.5)  # longer than the silence that it waits for
        client.process.send_signal(signal.SIGCONT)
        assert await client.call("ping") > 0
        assert client.nothing_of("client", "state")
