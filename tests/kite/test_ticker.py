"""Kite's ticker through the wire: what a client is sent, and when."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis import Redis
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from instruments.index import FollowingFailure, index
from quotes.access.changes import login_end
from quotes.access.credentials.logins import LoginRefreshToken
from quotes.access.models import ApiKey, SegmentGrant
from quotes.publish.publishing import publish_ticks
from quotes.runtime.clock import now_ms
from quotes.websocket.delivery.day_fields import day_fields
from tests.access.people import access_token, api_key, asha, expired_token, forged_token, past
from tests.conftest import In
from tests.instruments.factories import reliance, snapshot_of
from tests.kite.client import read_frame
from tests.kite.instruments import (
    BSE_USDINR,
    CRUDEOIL,
    M_AND_M,
    NIFTY,
    NIFTY_CALL,
    RELIANCE,
    RELIANCE_BSE,
    UNSERVED,
    USDINR,
    listed,
    many,
    token_of,
)
from tests.live import LiveServer
from tests.ticks import MOMENT, message, publish, tick
from tests.waiting import DEADLINE_S, eventually
from tests.websocket.test_delayed import log

Tick = dict[str, Any]

S0 = "NSE_EQ:S0"
BARRIER = token_of(19)  # has a price, which each request for it brings once more

NO_DEPTH = [{"quantity": 0, "price": 0.0, "orders": 0}] * 5


class KiteClient:
    """A client of the ticker, which tells packets from heartbeats and texts."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.frames: list[int] = []  # the packets of each frame
        self.ticks: list[Tick] = []  # that were read and not yet returned
        self.texts: list[Tick] = []

    async def send(self, action: str, value: Any) -> None:
        await self.connection.send(json.dumps({"a": action, "v": value}))

    async def receive(self) -> str | bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self.connection.recv()

    async def tick(self) -> Tick:
        """Return the next tick."""
        return await self._next_of(self.ticks)

    async def text(self) -> Tick:
        """Return the next text."""
        return await self._next_of(self.texts)

    async def _next_of(self, found: list[Tick]) -> Tick:
        """Read until there is one; heartbeats are passed over."""
        async with asyncio.timeout(DEADLINE_S):
            while not found:
                data = await self.connection.recv()
                if isinstance(data, str):
                    self.texts.append(json.loads(data))
                elif data != b"\0":
                    self.ticks += read_frame(data)
                    self.frames.append(int.from_bytes(data[:2]))
        return found.pop(0)

    async def close_code(self) -> int:
        """Read until the server closes; return its code."""
        async with asyncio.timeout(DEADLINE_S):
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    await self.connection.recv()
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code

    async def silence(self) -> None:
        """Wait until the server has carried out all that was sent; no other tick may come."""
        await self.send("mode", ["ltp", [BARRIER]])
        assert (await self.tick())["instrument_token"] == BARRIER


@contextlib.asynccontextmanager
async def kite(live: LiveServer, query: str = "") -> AsyncIterator[KiteClient]:
    """Connect a client, anonymous unless the query says who it is."""
    query = query or "api_key=demo&access_token="
    async with connect(f"ws://127.0.0.1:{live.port}/kite?{query}", max_size=None) as connection:
        yield KiteClient(connection)


@pytest.fixture(autouse=True)
def master(monkeypatch: pytest.MonkeyPatch, redis: Redis) -> None:
    monkeypatch.setattr(index, "_snapshot", snapshot_of(*listed(), *many(20)))
    redis.set("stock:S19", message("S19", "1"))
    day_fields.keep(set())


def full(symbol: str, price: str, timestamp: int = MOMENT, **more: Any) -> str:
    """Return a message with every field that a full packet has."""
    return message(
        symbol,
        price,
        timestamp,
        **{
            **{"last_qty": 7, "avg_price": 1570.37, "volume": 1192471, "buy_qty": 256443},
            **{"sell_qty": 363009, "open": 1569.15, "high": 1575, "low": 1561.05},
            **{"prev_close": 1567.8, "oi": 5, "oi_day_high": 8, "oi_day_low": 2},
            "last_trade_time": MOMENT - 1500,
            "depth": {
                "buy": [{"price": 1573.4 - n, "quantity": 5 + n, "orders": 1} for n in range(5)],
                "sell": [{"price": 1573.7, "quantity": 172, "orders": 3}],
            },
            **more,
        },
    )


FULL_TICK = {
    "tradable": True,
    "mode": "full",
    "instrument_token": RELIANCE,
    "last_price": 1573.7,
    "last_traded_quantity": 7,
    "average_traded_price": 1570.37,
    "volume_traded": 1192471,
    "total_buy_quantity": 256443,
    "total_sell_quantity": 363009,
    "ohlc": {"open": 1569.15, "high": 1575.0, "low": 1561.05, "close": 1567.8},
    "last_trade_time": MOMENT // 1000 - 2,
    "oi": 5,
    "oi_day_high": 8,
    "oi_day_low": 2,
    "exchange_timestamp": MOMENT // 1000,
    "depth": {
        "buy": [{"price": 1573.4 - n, "quantity": 5 + n, "orders": 1} for n in range(5)],
        "sell": [{"price": 1573.7, "quantity": 172, "orders": 3}, *NO_DEPTH[:4]],
    },
}
DAY = {"date": "2024-04-05", "open": 90, "high": 100.5, "low": 80, "prev_close": 85}
OHLC = {"open": 90.0, "high": 100.5, "low": 80.0, "close": 85.0}
QUOTE_KEYS = (
    *("tradable", "instrument_token", "last_price", "last_traded_quantity"),
    *("average_traded_price", "volume_traded", "total_buy_quantity", "total_sell_quantity", "ohlc"),
)
QUOTE_TICK = {"mode": "quote", **{name: FULL_TICK[name] for name in QUOTE_KEYS}}
LTP_TICK = {
    "mode": "ltp",
    **{name: FULL_TICK[name] for name in ("tradable", "instrument_token", "last_price")},
}
TICKS = {"ltp": LTP_TICK, "quote": QUOTE_TICK, "full": FULL_TICK}


@pytest.mark.parametrize("live", ["wire", "asgi"], indirect=True)
async def test_three_modes_have_the_fields_that_were_published(
    live: LiveServer, redis: Redis
) -> None:
    """A subscription begins as a quote; each change of mode brings the newest price in it."""
    publish(redis, "NSE:RELIANCE", full("NSE:RELIANCE", "1573.70"))
    async with kite(live) as client:
        await client.send("subscribe", [RELIANCE])
        assert await client.tick() == QUOTE_TICK
        for mode in ("full", "ltp", "quote", "full", "full"):
            await client.send("mode", [mode, [RELIANCE]])
            assert await client.tick() == TICKS[mode]
        publish(redis, "NSE:RELIANCE", full("NSE:RELIANCE", "1573.75", MOMENT + 1000))
        expected = {**FULL_TICK, "last_price": 1573.75, "exchange_timestamp": MOMENT // 1000 + 1}
        assert await client.tick() == expected


async def test_a_mode_subscribes(live: LiveServer, redis: Redis) -> None:
    """A mode of a token that is not subscribed subscribes it."""
    async with kite(live) as client:
        await client.send("mode", ["full", [RELIANCE]])
        await client.silence()
        publish(redis, "NSE:RELIANCE", full("NSE:RELIANCE", "1573.70"))
        assert await client.tick() == FULL_TICK


async def test_what_is_due_together_is_one_frame(live: LiveServer, redis: Redis) -> None:
    """The snapshot of many instruments is one frame, with each of them once."""
    publish_ticks([tick(f"S{n}", f"{100 + n}.05") for n in range(19)], client=redis)
    await eventually(lambda: redis.hlen("quotes:latest") == 20)
    tokens = [token_of(n) for n in range(19)]
    async with kite(live) as client:
        await client.send("mode", ["ltp", tokens])
        ticks = [await client.tick() for _ in tokens]
        assert {one["instrument_token"]: one["last_price"] for one in ticks} == {
            token: 100.05 + n for n, token in enumerate(tokens)
        }
        assert client.frames == [19]


async def test_subscribing_again_changes_nothing(live: LiveServer, redis: Redis) -> None:
    """A client that repeats its subscriptions, as after a reconnect, gets each tick once."""
    async with kite(live) as client:
        for _ in range(3):
            await client.send("subscribe", [RELIANCE, RELIANCE])
            await client.send("mode", ["ltp", [RELIANCE]])
        await client.silence()
        for price in ("1", "2"):
            publish(redis, "NSE:RELIANCE", message("NSE:RELIANCE", price))
            assert (await client.tick())["last_price"] == float(price)
        await client.send("subscribe", [RELIANCE])
        assert await client.tick() == {**LTP_TICK, "last_price": 2.0}
        await client.silence()


async def test_unknown_tokens_are_ignored(live: LiveServer, redis: Redis) -> None:
    """Tokens that nobody has, or that are no tokens, leave the others of their message as is."""
    async with kite(live) as client:
        strange = [0, 1, -5, 2**40, UNSERVED, "x", "", None, 1.5, [RELIANCE], {}, True]
        await client.send("subscribe", strange)
        await client.send("unsubscribe", strange)
        await client.send("mode", ["full", strange])
        await client.send("subscribe", [])
        await client.send("subscribe", [*strange, str(M_AND_M), RELIANCE])
        await client.send("unsubscribe", [RELIANCE, RELIANCE, *strange, NIFTY])
        await client.silence()
        publish(redis, "NSE:RELIANCE", message("NSE:RELIANCE", "1"))
        publish(redis, "M&M", message("M&M", "2031.5"))
        found = await client.tick()
        assert (found["instrument_token"], found["last_price"]) == (M_AND_M, 2031.5)
        assert client.texts == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("5", "must be"),
        ("[]", "must be"),
        ("not JSON", "must be"),
        ('{"v":[1]}', "must be"),
        ('{"a":"subscribe"}', "list"),
        ('{"a":"subscribe","v":{"x":1}}', "list"),
        ('{"a":"subscribe","v":5}', "list"),
        ('{"a":"fly","v":[1]}', "one of subscribe, unsubscribe, mode"),
        ('{"a":"mode","v":["loud",[1]]}', "ltp, quote, full"),
        ('{"a":"mode","v":[["full"],[1]]}', "ltp, quote, full"),
        ('{"a":"mode","v":["full"]}', "ltp, quote, full"),
        ('{"a":"mode","v":["full",5]}', "list"),
        ('{"a":"mode","v":null}', "ltp, quote, full"),
        ('{"a":"subscribe","v":' + "[" * 5000 + "]" * 5000 + "}", "must be"),
    ],
)
async def test_bad_messages_are_answered_and_nothing_else(
    live: LiveServer, redis: Redis, text: str, reason: str
) -> None:
    """A message that cannot be read is an error text, and the connection goes on."""
    async with kite(live) as client:
        await client.connection.send(text)
        answer = await client.text()
        assert answer.keys() == {"type", "data"} and answer["type"] == "error"
        assert isinstance(answer["data"], str) and reason in answer["data"]
        await client.connection.send(b"\0")
        assert (await client.text())["type"] == "error"
        await client.send("subscribe", [RELIANCE])
        publish(redis, "NSE:RELIANCE", message("NSE:RELIANCE", "1"))
        assert (await client.tick())["last_price"] == 1


@pytest.mark.parametrize(
    ("token", "name", "price", "expected"),
    [
        (RELIANCE, "NSE:RELIANCE", "2946.1", 2946.1),
        (RELIANCE_BSE, "BSE:RELIANCE", "2946.1", 2946.1),
        (NIFTY_CALL, "NFO:NIFTY24APR18000CE", "0.05", 0.05),
        (USDINR, "CDS:USDINR99APRFUT", "83.2525", 83.2525),
        (BSE_USDINR, "BCD:USDINR99APRFUT", "83.2525", 83.2525),
        (CRUDEOIL, "MCX:CRUDEOIL99APRFUT", "-37.63", -37.63),
        (CRUDEOIL, "MCX:CRUDEOIL99APRFUT", "99999999999", 21474836.47),
    ],
)
async def test_each_segment_has_its_divisor(
    live: LiveServer, redis: Redis, token: int, name: str, price: str, expected: float
) -> None:
    """Prices come as they were published, by the divisor that clients use for the token."""
    publish(redis, name, message(name, price))
    async with kite(live) as client:
        for mode in ("ltp", "quote", "full"):
            await client.send("mode", [mode, [token]])
            found = await client.tick()
            assert (found["instrument_token"], found["last_price"]) == (token, expected)


async def test_indices_have_packets_of_their_own(live: LiveServer, redis: Redis) -> None:
    """An index has neither quantities nor depth, and its change in a field of its own."""
    more: dict[str, Any] = {"open": 22400.1, "high": 22500, "low": 22300.25, "prev_close": 22434.65}
    publish(redis, "NSE:NIFTY 50", message("NSE:NIFTY 50", "22513.70", **more))
    ohlc = {"high": 22500.0, "low": 22300.25, "open": 22400.1, "close": 22434.65}
    head = {"tradable": False, "instrument_token": NIFTY, "last_price": 22513.7}
    quote = {**head, "mode": "quote", "ohlc": ohlc, "net_change": 79.05}
    async with kite(live) as client:
        await client.send("subscribe", [NIFTY])
        assert await client.tick() == quote
        await client.send("mode", ["full", [NIFTY]])
        at = MOMENT // 1000
        assert await client.tick() == {**quote, "mode": "full", "exchange_timestamp": at}
        await client.send("mode", ["ltp", [NIFTY]])
        assert await client.tick() == {**head, "mode": "ltp"}


async def test_what_is_not_published_comes_from_the_day_or_is_zero(
    live: LiveServer, redis: Redis
) -> None:
    """The recorder's statistics of the day stand in for what a publisher does not send."""
    redis.hset("quotes:day", "NSE_EQ:RELIANCE", json.dumps({**DAY, "volume": 1000}))
    publish(redis, "NSE:RELIANCE", message("NSE:RELIANCE", "95", bid=94.5, bid_qty=7, ask=95.5))
    async with kite(live) as client:
        await client.send("mode", ["full", [RELIANCE]])
        first = await client.tick()
        assert first["depth"]["buy"] == [{"price": 94.5, "quantity": 7, "orders": 0}, *NO_DEPTH[:4]]
        assert first["depth"]["sell"][0] == {"price": 95.5, "quantity": 0, "orders": 0}
        assert first["last_trade_time"] == first["oi"] == first["average_traded_price"] == 0
        assert first["ohlc"] == OHLC
        assert first["volume_traded"] == 1000


async def test_a_day_that_is_read_later_completes_the_price(live: LiveServer, redis: Redis) -> None:
    """A price that was sent without its day is made again once that is here."""
    publish(redis, "NSE:RELIANCE", message("NSE:RELIANCE", "95"))
    async with kite(live) as client:
        await client.send("subscribe", [RELIANCE])
        zero = {"open": 0.0, "high": 0.0, "low": 0.0, "close": 0.0}
        assert (await client.tick())["ohlc"] == zero
        redis.hset("quotes:day", "NSE_EQ:RELIANCE", json.dumps({**DAY, "volume": 1000}))
        await eventually(lambda: "NSE_EQ:RELIANCE" in day_fields.days)
        await client.send("subscribe", [RELIANCE])
        assert (await client.tick())["ohlc"] == OHLC


async def test_a_heartbeat_comes_after_each_second_of_silence(live: LiveServer) -> None:
    """It is one zero byte in a binary frame; nothing else comes unasked."""
    async with kite(live) as client:
        assert [await client.receive() for _ in range(3)] == [b"\0"] * 3


async def test_frequent_pings_are_answered(live: LiveServer) -> None:
    """Some clients end a connection whose pings get no answer."""
    async with kite(live) as client:
        for _ in range(5):
            async with asyncio.timeout(DEADLINE_S):
                await (await client.connection.ping())


async def test_instrument_limit_is_an_error_text(
    live: LiveServer, redis: Redis, settings: Any
) -> None:
    """What is beyond the limit is named in one text; the others are subscribed."""
    settings.QUOTES_MAX_SYMBOLS = 3
    async with kite(live) as client:
        await client.send("subscribe", [token_of(n) for n in range(20)])
        answer = await client.text()
        assert answer == {
            "type": "error",
            "data": "a connection can have at most 3 symbols: "
            "NSE_EQ:S3, NSE_EQ:S4, NSE_EQ:S5 and 14 more",
        }
        publish(redis, "S2", message("S2", "5"))
        assert (await client.tick())["instrument_token"] == token_of(2)


async def test_three_thousand_tokens_fit_into_one_message(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are subscribed at once, and each gets its price."""
    monkeypatch.setattr(index, "_snapshot", snapshot_of(*many(3000)))
    tokens = [token_of(n) for n in range(3000)]
    publish_ticks([tick(f"S{n}", f"{n}.05") for n in range(1, 3000)], client=redis)
    await eventually(lambda: redis.hlen("quotes:latest") == 2999)
    async with kite(live) as client:
        await client.send("subscribe", tokens)
        seen: dict[int, float] = {}
        while len(seen) < 2999:
            found = await client.tick()
            assert found["instrument_token"] not in seen
            seen[found["instrument_token"]] = found["last_price"]
        assert seen == {token_of(n): n + 0.05 for n in range(1, 3000)}
        publish(redis, "S0", message("S0", "7"))
        assert (await client.tick())["instrument_token"] == token_of(0)


async def test_slow_reader_gets_the_newest(live: LiveServer, redis: Redis) -> None:
    """A client that pauses gets the newest price of each instrument once it goes on."""
    async with kite(live) as client:
        await client.send("mode", ["full", [token_of(0), token_of(1)]])
        await client.silence()
        transport = client.connection.transport
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        transport.pause_reading()
        count = 6000
        ticks = [tick(f"S{n % 2}", str(n), MOMENT + n) for n in range(1, count + 1)]
        publish_ticks(ticks, client=redis)
        await eventually(lambda: str(count).encode() in (redis.hget("quotes:latest", S0) or b""))
        transport.resume_reading()
        prices: dict[int, list[float]] = {token_of(0): [0.0], token_of(1): [0.0]}
        while {one[-1] for one in prices.values()} != {count, count - 1}:
            found = await client.tick()
            prices[found["instrument_token"]].append(found["last_price"])
        assert all(one == sorted(set(one)) for one in prices.values())
        assert sum(map(len, prices.values())) < count


async def test_unsubscribing_forgets_the_mode(live: LiveServer, redis: Redis) -> None:
    """What is subscribed again begins as a quote; nothing comes in between."""
    async with kite(live) as client:
        await client.send("mode", ["full", [RELIANCE]])
        await client.send("unsubscribe", [RELIANCE])
        await client.silence()
        publish(redis, "NSE:RELIANCE", full("NSE:RELIANCE", "1573.70"))
        await eventually(lambda: redis.hget("quotes:latest", "NSE_EQ:RELIANCE"))
        await client.silence()
        await client.send("subscribe", [RELIANCE])
        assert await client.tick() == QUOTE_TICK


async def test_packets_follow_the_master(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instrument whose token changes is sent under the new one; without a token, not at all."""
    publish(redis, "NSE:RELIANCE", message("NSE:RELIANCE", "1"))
    async with kite(live) as client:
        await client.send("mode", ["ltp", [RELIANCE]])
        assert (await client.tick())["instrument_token"] == RELIANCE
        moved = 5000 << 8 | 1
        for version, token in ((7, moved), (8, None)):
            exchange_token = token >> 8 if token else None
            moving = reliance(instrument_token=token, exchange_token=exchange_token)
            snapshot = snapshot_of(moving, *many(20))
            snapshot.version = version
            monkeypatch.setattr(index, "_snapshot", snapshot)
            publish(redis, "NSE:RELIANCE", message("NSE:RELIANCE", f"{version}"))
            if token:
                assert await client.tick() == {
                    **LTP_TICK,
                    "instrument_token": moved,
                    "last_price": 7.0,
                }
        await client.silence()


# -- who may connect ----------------------------------------------------------------------------


async def refusal(live: LiveServer, query: str) -> int:
    """Return the HTTP status of a refused handshake."""
    with pytest.raises(InvalidStatus) as refused:
        async with kite(live, query):
            pass
    return refused.value.response.status_code


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("auth", ["required", "optional"])
async def test_credentials_are_a_users_name_and_token(
    live: LiveServer, redis: Redis, database: In, settings: Any, auth: str
) -> None:
    """A token or a key that may read opens the door under its user's name, and no other."""
    settings.QUOTES_AUTH = auth
    settings.QUOTES_ANONYMOUS_SEGMENTS = "NSE_EQ"
    user = await database(asha, "NSE_EQ", username="asha+1@example.com")
    token = await database(access_token, user)
    key = await database(api_key, user, ApiKey.Scope.READ)
    publish(redis, "NSE:RELIANCE", message("NSE:RELIANCE", "1"))
    for secret in (token, key):
        async with kite(live, f"api_key={user.username}&access_token={secret}&uid=1") as client:
            await client.send("mode", ["ltp", [RELIANCE, CRUDEOIL]])
            assert (await client.tick())["last_price"] == 1
            assert "CRUDEOIL" in (await client.text())["data"]
    for query in (
        f"api_key=ravi&access_token={token}",
        f"api_key=&access_token={token}",
        f"access_token={token}",
        f"api_key={user.username}&api_key=ravi&access_token={token}",
        f"api_key={user.username}&access_token=nonsense",
        f"api_key={user.username}&access_token=lp_000000000000_{'x' * 43}",
        f"api_key={user.username}&access_token={await database(expired_token, user)}",
        f"api_key={user.username}&access_token={await database(forged_token, user)}",
        f"api_key={user.username}&access_token={await database(api_key, user)}",
        f"api_key={user.username}&access_token="
        + await database(api_key, user, ApiKey.Scope.READ, expires_at=past()),
    ):
        assert await refusal(live, query) == 403


async def test_without_a_token_a_client_is_anonymous_or_refused(
    live: LiveServer, redis: Redis, settings: Any
) -> None:
    """It cannot authenticate later: where that is required, the handshake is refused."""
    publish(redis, "NSE:RELIANCE", message("NSE:RELIANCE", "1"))
    for query in ("x=1", "api_key=anybody", "api_key=anybody&access_token="):
        async with kite(live, query) as client:
            await client.send("subscribe", [RELIANCE])
            assert (await client.tick())["last_price"] == 1
    settings.QUOTES_AUTH = "required"
    for query in ("x=1", "api_key=anybody", "api_key=anybody&access_token="):
        assert await refusal(live, query) == 403


async def test_handshakes_wait_for_the_master(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that comes back before a new process has read the master loses no subscription."""
    is_read = asyncio.Event()
    monkeypatch.setattr(index, "wait", lambda timeout_s: is_read.is_set())
    publish(redis, "NSE:RELIANCE", message("NSE:RELIANCE", "1"))
    asyncio.get_running_loop().call_later(0.1, is_read.set)
    async with kite(live) as client:
        assert is_read.is_set()
        await client.send("subscribe", [RELIANCE])
        assert (await client.tick())["last_price"] == 1
    is_read.clear()
    monkeypatch.setattr("quotes.kite.ticker.consumer._MASTER_WAIT_S", 0.1)
    assert await refusal(live, "api_key=anybody") == 503
    is_read.set()
    monkeypatch.setattr(index, "failure", FollowingFailure("OperationalError", 1, 0.0))
    monkeypatch.setattr(index._snapshot, "version", -1)
    assert await refusal(live, "api_key=anybody") == 503


@pytest.mark.django_db(transaction=True)
async def test_too_many_connections_are_429(
    live: LiveServer, database: In, settings: Any, required: None
) -> None:
    """A connection beyond the user's limit is refused at the handshake; a free place is taken."""
    settings.QUOTES_MAX_CONNECTIONS_PER_USER = 1
    user = await database(asha, "NSE_EQ")
    query = f"api_key=asha&access_token={await database(access_token, user)}"
    async with kite(live, query):
        assert await refusal(live, query) == 429


@pytest.mark.django_db(transaction=True)
async def test_rights_are_followed_while_connected(
    live: LiveServer, redis: Redis, database: In, required: None
) -> None:
    """A grant that is taken away ends its prices; the end of the log-in ends the connection."""
    user = await database(asha, "NSE_EQ", "MCX")
    login = await database(LoginRefreshToken.for_user, user)
    async with kite(live, f"api_key=asha&access_token={login.access_token}") as client:
        await client.send("mode", ["ltp", [RELIANCE, CRUDEOIL]])
        await client.silence()
        await database(SegmentGrant.objects.filter(segment="MCX").delete)
        answer = await client.text()
        assert answer == {
            "type": "message",
            "data": "no longer entitled to MCX:CRUDEOIL99APRFUT",
        }
        publish(redis, "MCX:CRUDEOIL99APRFUT", message("MCX:CRUDEOIL99APRFUT", "1"))
        publish(redis, "NSE:RELIANCE", message("NSE:RELIANCE", "2"))
        assert (await client.tick())["instrument_token"] == RELIANCE
        await database(login_end, login=login["sid"], user_id=user.pk, why="logged out")
        assert await client.close_code() == 4501


@pytest.mark.django_db(transaction=True)
async def test_a_token_that_expires_ends_the_connection(
    live: LiveServer, database: In, settings: Any, required: None
) -> None:
    """The client is warned before, as far as Kite's protocol has words for it."""
    settings.QUOTES_TOKEN_WARNING_S = 30
    settings.QUOTES_TOKEN_GRACE_S = 0
    user = await database(asha, "NSE_EQ")
    query = f"api_key=asha&access_token={await database(access_token, user, lifetime_s=2)}"
    async with kite(live, query) as client:
        answer = await client.text()
        assert answer["type"] == "message" and "the access token ends at" in answer["data"]
        assert await client.close_code() == 4401


@pytest.mark.django_db(transaction=True)
async def test_delayed_prices_are_packets_too(
    live: LiveServer, redis: Redis, database: In, required: None
) -> None:
    """A user who is entitled to delayed prices gets no live one; a change of mode repeats one."""
    at = now_ms() - 16 * 60_000
    await eventually(lambda: redis.delete("quotes:log:1"))  # else it has newer ticks
    log(redis, at, "1500.50", key="NSE_EQ:RELIANCE")
    user = await database(asha, "NSE_EQ", delay_minutes=15)
    token = await database(access_token, user)
    async with kite(live, f"api_key=asha&access_token={token}") as client:
        await client.send("mode", ["ltp", [RELIANCE]])
        assert (await client.tick())["last_price"] == 1500.5
        publish(redis, "NSE:RELIANCE", full("NSE:RELIANCE", "1573.70"))
        await eventually(lambda: redis.hget("quotes:latest", "NSE_EQ:RELIANCE"))
        await client.send("mode", ["full", [RELIANCE]])
        again = await client.tick()
        assert (again["mode"], again["last_price"]) == ("full", 1500.5)
        assert again["exchange_timestamp"] == at // 1000
        assert [await client.receive() for _ in range(2)] == [b"\0"] * 2


async def test_plain_http_is_told_to_upgrade(live: LiveServer) -> None:
    """A request without an upgrade gets 426."""
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    writer.write(b"GET /kite HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    assert b" 426 " in answer.split(b"\r\n")[0]
    writer.close()
