"""OpenAlgo's WebSocket protocol, over real sockets."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from instruments.index import index
from quotes.access.models import ApiKey, SegmentGrant
from quotes.errors import ProtocolError
from quotes.openalgo import consumers, framing
from quotes.openalgo.dialect import OpenAlgoDialect
from quotes.openalgo.framing import market_data
from quotes.runtime.clock import date_of, now_ms
from quotes.websocket.delivery.day_fields import day_fields
from quotes.websocket.delivery.price_message import PriceMessage
from quotes.websocket.feed.feed import current_feed, master_changed
from quotes.websocket.protocol import ACTIONS, Request
from tests.access.people import access_token, api_key, asha, expired_token
from tests.conftest import In
from tests.instruments.factories import (
    nifty50_index,
    nifty_call,
    nifty_option,
    reliance,
    snapshot_of,
)
from tests.live import LiveServer
from tests.ticks import MOMENT, message, publish
from tests.waiting import DEADLINE_S, eventually
from tests.websocket.test_delayed import log

FOREIGN = "0123456789abcdef" * 4  # the form of an OpenAlgo server's keys
RELIANCE = {"symbol": "RELIANCE", "exchange": "NSE"}
CALL = {"symbol": "NIFTY25APR2418000CE", "exchange": "NFO"}

Message = dict[str, Any]


@pytest.fixture(autouse=True)
def master(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (reliance(), reliance("BSE_EQ"), nifty50_index(), nifty_call())
    monkeypatch.setattr(index, "_snapshot", snapshot_of(*rows))


class OpenAlgoClient:
    """A client that sends messages and waits for answers and prices."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, **values: Any) -> None:
        await self.connection.send(json.dumps(values))

    async def receive(self) -> Message:
        async with asyncio.timeout(DEADLINE_S):
            text = await self.connection.recv()
        found: Message = json.loads(text, parse_float=Decimal)
        return found

    async def ask(self, **values: Any) -> Message:
        """Send a message and return the next that is no price."""
        await self.send(**values)
        while (found := await self.receive()).get("type") == "market_data":
            pass
        return found

    async def enter(self, key: str = FOREIGN) -> Message:
        return await self.ask(action="authenticate", api_key=key)

    async def subscribe(self, *symbols: Message, mode: Any = 1, **values: Any) -> Message:
        return await self.ask(action="subscribe", symbols=list(symbols), mode=mode, **values)


@contextlib.asynccontextmanager
async def client(live: LiveServer) -> AsyncIterator[OpenAlgoClient]:
    url = f"ws://127.0.0.1:{live.port}/openalgo"
    async with connect(url, max_size=None) as connection:
        yield OpenAlgoClient(connection)


# -- prices ----------------------------------------------------------------------------------------


async def test_modes_have_their_values(live: LiveServer, redis: Redis) -> None:
    """LTP, Quote and Depth, with the digits that were published; what nobody sent is 0."""
    depth = {"buy": [{"price": 2950.45, "quantity": 5, "orders": 2}], "sell": []}
    more: Message = {"volume": 7, "open": 2900.5, "prev_close": 2900, "last_qty": 3, "depth": depth}
    async with client(live) as one:
        await one.enter()
        publish(redis, "RELIANCE", message("RELIANCE", "2950.50", last_trade_time=MOMENT, **more))
        for mode in (1, 2, 3):
            await one.subscribe(RELIANCE, mode=mode)
            while (found := await one.receive())["mode"] != mode:
                pass
            assert list(found) == ["type", "symbol", "exchange", "mode", "data", "broker"]
            assert (found["symbol"], found["exchange"]) == ("RELIANCE", "NSE")
            data = found["data"]
            assert str(data["ltp"]) == "2950.50"
            assert data["timestamp"] == data["ltt"] == MOMENT
            if mode == 1:
                assert list(data) == ["ltp", "timestamp", "ltt"]
                continue
            assert data["open"] == Decimal("2900.5") and data["close"] == 2900
            assert (data["high"], data["low"], data["oi"]) == (0, 0, 0)
            assert data["change"] == Decimal("50.50") and data["change_percent"] == Decimal("1.74")
            assert (data["volume"], data["last_trade_quantity"]) == (7, 3)
            assert ("depth" in data) == (mode == 3)
        level = {"price": Decimal("2950.45"), "quantity": 5, "orders": 2}
        zero = {"price": 0, "quantity": 0, "orders": 0}
        assert data["depth"] == {"buy": [level, *[zero] * 4], "sell": [zero] * 5}


async def test_messages_are_compact(live: LiveServer, redis: Redis) -> None:
    """AmiBroker's plug-in looks for texts without spaces."""
    async with client(live) as one:
        await one.enter()
        await one.send(action="subscribe", **RELIANCE, mode=2)
        assert b'"type":"subscribe"' in await one.connection.recv(decode=False)
        publish(redis, "RELIANCE", message("RELIANCE", "2950.50"))
        text = await one.connection.recv(decode=False)
        assert b'"symbol":"RELIANCE"' in text and b'"ltp":2950.50,' in text


@pytest.mark.parametrize("live", ["wire", "asgi"], indirect=True)
async def test_modes_of_a_symbol_are_subscriptions_of_their_own(
    live: LiveServer, redis: Redis
) -> None:
    """Two modes are two messages a tick, in order; one that is dropped leaves the other."""
    async with client(live) as one:
        await one.enter()
        publish(redis, "RELIANCE", message("RELIANCE", "1"))
        await one.subscribe(RELIANCE, mode="Depth")
        assert (await one.receive())["mode"] == 3
        await one.subscribe(RELIANCE, mode="LTP")
        for price in ("1", "2"):
            if price != "1":
                publish(redis, "RELIANCE", message("RELIANCE", price))
            found = [await one.receive() for _ in range(2)]
            assert [each["mode"] for each in found] == [1, 3]
            assert [str(each["data"]["ltp"]) for each in found] == [price] * 2
        answer = await one.ask(action="unsubscribe", **RELIANCE, mode=3)
        assert answer["status"] == "success"
        publish(redis, "RELIANCE", message("RELIANCE", "3"))
        assert (await one.receive())["mode"] == 1
        # Another mode than it has is no reason to drop it.
        assert (await one.ask(action="unsubscribe", **RELIANCE, mode=2))["status"] == "success"
        publish(redis, "RELIANCE", message("RELIANCE", "4"))
        assert str((await one.receive())["data"]["ltp"]) == "4"
        await one.ask(action="unsubscribe", **RELIANCE, mode=1)
        publish(redis, "RELIANCE", message("RELIANCE", "5"))
        assert (await one.ask(action="ping"))["type"] == "pong"
        await one.subscribe(RELIANCE, mode=2)
        while str((last := await one.receive())["data"]["ltp"]) != "5":
            assert last["mode"] == 2


async def test_frames_are_made_once_for_all_clients(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tick is made into a message once for each mode, however many clients there are."""
    made: list[int] = []

    def count(price: PriceMessage, mode: int) -> bytes:
        made.append(mode)
        return market_data(price, mode)

    monkeypatch.setattr(framing, "market_data", count)
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client(live)) for _ in range(4)]
        for number, one in enumerate(clients):
            await one.enter()
            await one.subscribe(RELIANCE, mode=1)
            if number % 2:
                await one.subscribe(RELIANCE, mode=3)
                assert (await one.ask(action="ping"))["type"] == "pong"
        made.clear()
        publish(redis, "RELIANCE", message("RELIANCE", "1"))
        for number, one in enumerate(clients):
            for _ in range(1 + number % 2):
                await one.receive()
        assert sorted(made) == [1, 3]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("NFO:NIFTY24APR18000CE", CALL),
        ("NSE_INDEX:NIFTY 50", {"symbol": "NIFTY", "exchange": "NSE_INDEX"}),
        ("BSE_EQ:RELIANCE", {"symbol": "RELIANCE", "exchange": "BSE"}),
        ("AAPL", {"symbol": "AAPL", "exchange": "NSE"}),
        ("BFO:NEW", {"symbol": "NEW", "exchange": "BFO"}),
    ],
)
async def test_prices_come_under_the_name_that_was_sent(
    live: LiveServer, redis: Redis, name: str, told: Message
) -> None:
    """By the master, or the name under which others publish."""
    publish(redis, name, message(name, "1.50"))
    async with client(live) as one:
        await one.enter()
        answer = await one.subscribe(told)
        assert answer["status"] == "success"
        found = await one.receive()
        assert {key: found[key] for key in told} == told and str(found["data"]["ltp"]) == "1.50"


def test_names_follow_the_master(monkeypatch: pytest.MonkeyPatch) -> None:
    """A price has the name that the newest master gives its instrument."""
    frame = message("NIFTY24APR18000CE", "1", segment="NFO").encode()
    price = PriceMessage("NFO:NIFTY24APR18000CE", 1, 1, MOMENT, frame)
    for rows, symbol in (([nifty_call()], CALL["symbol"]), ([], "NIFTY24APR18000CE")):
        monkeypatch.setattr(index, "_snapshot", snapshot_of(*rows))
        assert json.loads(market_data(price, 1))["symbol"] == symbol


async def test_client_follows_a_name_that_an_import_brings(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In all of its modes."""
    monkeypatch.setattr(index, "_snapshot", snapshot_of())
    async with client(live) as one:
        await one.enter()
        await one.subscribe(RELIANCE, mode=1)
        await one.subscribe(RELIANCE, mode=3)
        monkeypatch.setattr(index, "_snapshot", snapshot_of(reliance()))
        master_changed()
        feed = await current_feed()
        (session,) = feed.listeners
        requested = session.subscriptions.requested  # type: ignore[attr-defined]
        await eventually(lambda: set(requested) == {"NSE_EQ:RELIANCE"})
        publish(redis, "NSE_EQ:RELIANCE", message("RELIANCE", "7"))
        found = [await one.receive() for _ in range(2)]
        assert [(each["mode"], each["data"]["ltp"]) for each in found] == [(1, 7), (3, 7)]


async def test_many_symbols_in_one_message(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are subscribed and unsubscribed in steps, each with a status of its own."""
    strikes = [str(strike) for strike in range(10_000, 11_000)]
    rows = [nifty_option(f"NIFTY24APR{one}CE", date(2024, 4, 25), one) for one in strikes]
    monkeypatch.setattr(index, "_snapshot", snapshot_of(*rows))
    symbols = [{"symbol": f"NIFTY25APR24{one}CE", "exchange": "NFO"} for one in strikes]
    async with client(live) as one:
        await one.enter()
        answer = await one.subscribe(*symbols, mode=2)
        assert answer["status"] == "success"
        assert [each["symbol"] for each in answer["subscriptions"]] == [
            each["symbol"] for each in symbols
        ]
        publish(redis, "NFO:NIFTY24APR10999CE", message("NIFTY24APR10999CE", "1"))
        assert (await one.receive())["symbol"] == "NIFTY25APR2410999CE"
        answer = await one.ask(action="unsubscribe_all")
        assert len(answer["successful"]) == 1000


async def test_quote_has_the_statistics_of_the_day(live: LiveServer, redis: Redis) -> None:
    """What the publisher does not send comes from the recorder's statistics."""
    moment = now_ms()
    day = f'{{"date":"{date_of(moment)}","open":9.50,"high":12,"low":8,"prev_close":9,"volume":5}}'
    redis.hset("quotes:day", "NSE_EQ:RELIANCE", day)
    async with client(live) as one, asyncio.timeout(DEADLINE_S):
        await one.enter()
        await one.subscribe(RELIANCE, mode=2)
        data: Message = {"open": 0}
        while not data["open"]:
            publish(redis, "RELIANCE", message("RELIANCE", "10", moment := moment + 1))
            data = (await one.receive())["data"]
        assert str(data["open"]) == "9.50" and data["close"] == 9 and data["high"] == 12


async def test_price_is_made_again_once_its_day_is_read(live: LiveServer, redis: Redis) -> None:
    """A client that comes later gets the day's fields with the same price."""
    moment = now_ms()
    day = f'{{"date":"{date_of(moment)}","open":9.50,"high":12,"low":8,"prev_close":9,"volume":5}}'
    redis.hset("quotes:day", "NSE_EQ:RELIANCE", day)
    day_fields.keep(set())
    async with client(live) as one, client(live) as other:
        publish(redis, "RELIANCE", message("RELIANCE", "10", moment))
        await one.enter()
        await one.subscribe(RELIANCE, mode=2)
        assert (await one.receive())["data"]["open"] == 0
        await eventually(lambda: "NSE_EQ:RELIANCE" in day_fields.days)
        await other.enter()
        await other.subscribe(RELIANCE, mode=2)
        assert str((await other.receive())["data"]["open"]) == "9.50"


# -- answers ---------------------------------------------------------------------------------------


async def test_good_and_unknown_symbols_are_partial(live: LiveServer, redis: Redis) -> None:
    """Each has its own status; the good ones are subscribed."""
    unknown = {"symbol": "NOPE", "exchange": "NSE"}
    other = {"symbol": "RELIANCE", "exchange": "XNSE"}
    async with client(live) as one:
        await one.enter()
        answer = await one.subscribe(RELIANCE, unknown, other, {}, mode="depth", request_id="r1")
        assert answer["type"] == "subscribe" and answer["status"] == "partial"
        assert answer["request_id"] == "r1"
        statuses = [each["status"] for each in answer["subscriptions"]]
        assert statuses == ["success", "error", "error", "error"]
        assert answer["subscriptions"][0] == {
            **RELIANCE,
            "status": "success",
            "mode": "Depth",
            "depth": 5,
            "broker": "live-price",
        }
        errors = {each["symbol"]: each["message"] for each in answer["subscriptions"][1:]}
        assert "neither the instrument master" in errors["NOPE"]
        assert "must be one of NSE, BSE" in errors["RELIANCE"]
        publish(redis, "RELIANCE", message("RELIANCE", "1"))
        assert (await one.receive())["symbol"] == "RELIANCE"
        for bad in (unknown, other, {"symbol": "NIFTY24APR18000CE", "exchange": "NFO"}):
            answer = await one.subscribe(bad)
            assert (answer["type"], answer["status"]) == ("subscribe", "error")
        assert "write NIFTY25APR2418000CE" in answer["subscriptions"][0]["message"]


async def test_everything_is_unsubscribed(live: LiveServer, redis: Redis) -> None:
    """All modes of all symbols; it is no error if there are none."""
    async with client(live) as one:
        await one.enter()
        await one.subscribe(RELIANCE, CALL, mode=1)
        await one.subscribe(RELIANCE, mode=3)
        answer = await one.ask(action="unsubscribe_all", request_id=7)
        assert (answer["status"], answer["request_id"], answer["failed"]) == ("success", 7, [])
        assert sorted(each["symbol"] for each in answer["successful"]) == [
            CALL["symbol"],
            "RELIANCE",
        ]
        publish(redis, "RELIANCE", message("RELIANCE", "1"))
        assert (await one.ask(action="ping"))["type"] == "pong"
        answer = await one.ask(action="unsubscribe_all")
        assert (answer["status"], answer["successful"]) == ("success", [])


async def test_unsubscribing_says_what_went_wrong(live: LiveServer) -> None:
    """A list of symbols, each in its own mode or that of the message."""
    async with client(live) as one:
        await one.enter()
        await one.subscribe(RELIANCE, CALL, mode=2)
        answer = await one.ask(
            action="unsubscribe",
            symbols=[{**RELIANCE, "mode": "quote"}, CALL, {"symbol": "*", "exchange": "NSE"}],
        )
        assert (answer["type"], answer["status"]) == ("unsubscribe", "partial")
        assert [each["symbol"] for each in answer["successful"]] == ["RELIANCE", CALL["symbol"]]
        assert answer["failed"][0]["message"]
        answer = await one.ask(action="unsubscribe", symbol="X", exchange="Y")
        assert (answer["status"], answer["successful"]) == ("error", [])


async def test_pings_and_brokers(live: LiveServer) -> None:
    """A ping comes back with what it brought, also before authenticating."""
    async with client(live) as one:
        answer = await one.ask(action="ping", timestamp=5, _pingId="p")
        assert abs(answer.pop("server_timestamp") - now_ms()) < 60_000
        assert answer == {
            "type": "pong",
            "status": "success",
            "client_timestamp": 5,
            "_pingId": "p",
        }
        assert (await one.ask(action="get_broker_info"))["code"] == "NOT_AUTHENTICATED"
        await one.enter()
        answer = await one.ask(type="get_broker_info")
        assert (answer["type"], answer["user_id"]) == ("broker_info", "anonymous")
        answer = await one.ask(action="get_supported_brokers")
        assert (answer["brokers"], answer["count"]) == (["live-price"], 1)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "INVALID_JSON"),
        ("{", "INVALID_JSON"),
        ("[]", "INVALID_JSON"),
        ("null", "INVALID_JSON"),
        ("[" * 10_000, "INVALID_JSON"),
        ("{}", "INVALID_ACTION"),
        ('{"action":1}', "INVALID_ACTION"),
        ('{"action":"buy"}', "INVALID_ACTION"),
        ('{"action":"subscribe_orders"}', "INVALID_ACTION"),
        ('{"action":"subscribe"}', "INVALID_PARAMETERS"),
        ('{"action":"subscribe","symbols":[]}', "INVALID_PARAMETERS"),
        ('{"action":"subscribe","symbols":"RELIANCE"}', "INVALID_PARAMETERS"),
        ('{"action":"subscribe","symbols":["RELIANCE"]}', "INVALID_PARAMETERS"),
        ('{"action":"subscribe","symbols":[null]}', "INVALID_PARAMETERS"),
        ('{"action":"subscribe","symbol":"A","exchange":"NSE","mode":4}', "INVALID_MODE"),
        ('{"action":"subscribe","symbol":"A","exchange":"NSE","mode":0}', "INVALID_MODE"),
        ('{"action":"subscribe","symbol":"A","exchange":"NSE","mode":true}', "INVALID_MODE"),
        ('{"action":"subscribe","symbol":"A","exchange":"NSE","mode":"full"}', "INVALID_MODE"),
        ('{"action":"subscribe","symbol":"A","exchange":"NSE","mode":null}', "INVALID_MODE"),
        ('{"action":"subscribe","symbol":"A","exchange":"NSE","mode":[1]}', "INVALID_MODE"),
        (
            '{"action":"unsubscribe","symbols":[{"symbol":"A","exchange":"NSE","mode":9}]}',
            "INVALID_MODE",
        ),
        ('{"action":"unsubscribe"}', "INVALID_PARAMETERS"),
        (
            '{"action":"subscribe","symbol":"A","exchange":"NSE","request_id":{"a":1}}',
            "INVALID_PARAMETERS",
        ),
        ('{"action":"ping","timestamp":"' + "x" * 300 + '"}', "INVALID_PARAMETERS"),
        ('{"action":"authenticate"}', "AUTHENTICATION_ERROR"),
        ('{"action":"authenticate","api_key":""}', "AUTHENTICATION_ERROR"),
        ('{"action":"authenticate","api_key":5}', "AUTHENTICATION_ERROR"),
    ],
)
async def test_bad_message_is_an_error_with_openalgos_code(
    live: LiveServer, text: str, code: str
) -> None:
    """The connection stays open, and the error has no `type`."""
    async with client(live) as one:
        await one.enter()
        await one.connection.send(text)
        answer = await one.receive()
        assert (answer["status"], answer["code"]) == ("error", code)
        assert "type" not in answer and answer["message"]
        assert (await one.ask(action="ping"))["type"] == "pong"
        await one.connection.send(b"\x00")
        assert (await one.receive())["code"] == "INVALID_PARAMETERS"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["NSE", "A"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["symbol", "exchange", "mode"]), inner, max_size=3)
    ),
    max_leaves=6,
)
names = ["symbol", "symbols", "instruments", "exchange", "mode", "depth", "request_id", "api_key"]


@given(st.text() | st.dictionaries(st.sampled_from([*names, "timestamp"]), values), st.data())
def test_any_message_is_read_or_refused(told: Any, data: st.DataObject) -> None:
    """No message is a failure of the server's."""
    dialect = OpenAlgoDialect()
    actions = [*dialect.actions, *ACTIONS, ""]
    if isinstance(told, dict):
        told["action"] = data.draw(st.sampled_from(actions))
    try:
        request = dialect.read(told if isinstance(told, str) else json.dumps(told))
    except ProtocolError as error:
        assert error.id == 1 and str(error)
        return
    assert isinstance(request, Request) and request.id == 1
    dialect.framing(type("Transport", (), {"form": "f"})())
    steps = dialect.translated(request)
    with contextlib.suppress(StopIteration):
        while True:
            next(steps)


# -- who the client is -----------------------------------------------------------------------------


async def test_nothing_is_answered_before_authenticating(live: LiveServer) -> None:
    """Also where callers may be anonymous: programs for OpenAlgo always authenticate."""
    async with client(live) as one:
        for action in ("subscribe", "unsubscribe", "unsubscribe_all"):
            answer = await one.ask(action=action, **RELIANCE)
            assert answer["code"] == "NOT_AUTHENTICATED"
        assert (await one.enter())["user_id"] == "anonymous"
        assert (await one.subscribe(RELIANCE))["status"] == "success"


@pytest.mark.parametrize("auth", ["optional", "required"])
async def test_client_that_does_not_authenticate_is_closed(
    live: LiveServer, settings: Any, monkeypatch: pytest.MonkeyPatch, auth: str
) -> None:
    """With OpenAlgo's close code, in OpenAlgo's time."""
    settings.QUOTES_AUTH = auth
    assert consumers.AUTHENTICATE_S == 15
    monkeypatch.setattr(consumers, "AUTHENTICATE_S", 0.1)
    async with client(live) as one:
        assert (await one.receive())["code"] == "AUTHENTICATION_ERROR"
        with pytest.raises(ConnectionClosed) as closed:
            await one.receive()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4401


async def test_client_that_authenticated_stays(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline is over once the client has entered."""
    monkeypatch.setattr(consumers, "AUTHENTICATE_S", 1.0)
    async with client(live) as one:
        await one.enter()
        feed = await current_feed()
        (session,) = feed.listeners
        access = session.access  # type: ignore[attr-defined]
        assert access._next_at == float("inf")


@pytest.mark.django_db(transaction=True)
async def test_own_keys_and_tokens_are_of_their_user(
    live: LiveServer, redis: Redis, required: None, database: In
) -> None:
    """Only what is not valid is refused, with an error and no close; the next may be right."""
    user = await database(asha, "NSE_EQ")
    key = await database(api_key, user, ApiKey.Scope.READ)
    publishing = await database(api_key, user, ApiKey.Scope.PUBLISH)
    expired = await database(expired_token, user)
    async with client(live) as one:
        for bad in (FOREIGN, key[:-1], publishing, expired, "lp_", "x", "é"):
            answer = await one.enter(bad)
            assert (answer["status"], answer["code"]) == ("error", "AUTHENTICATION_ERROR"), bad
            assert (await one.subscribe(RELIANCE))["code"] == "NOT_AUTHENTICATED"
        answer = await one.enter(key)
        assert answer.pop("message")
        assert answer == {
            "type": "auth",
            "status": "success",
            "broker": "live-price",
            "user_id": "asha",
            "supported_features": {"ltp": True, "quote": True, "depth": True},
        }
        answer = await one.subscribe(RELIANCE, CALL)
        assert answer["status"] == "partial"
        assert answer["subscriptions"][1]["message"] == "not entitled to NFO"
        publish(redis, "RELIANCE", message("RELIANCE", "1"))
        assert (await one.receive())["symbol"] == "RELIANCE"
        # A token of the same user is as good, a key of another server's is not.
        assert (await one.enter(await database(access_token, user)))["type"] == "auth"
        assert (await one.enter(FOREIGN))["code"] == "AUTHENTICATION_ERROR"


@pytest.mark.django_db(transaction=True)
async def test_wrong_key_of_ours_is_reported_to_anonymous_callers(
    live: LiveServer, settings: Any, database: In
) -> None:
    """Another server's key is an anonymous caller's, who may see what is open to everybody."""
    settings.QUOTES_ANONYMOUS_SEGMENTS = "NSE_EQ"
    key = await database(lambda: api_key(asha(), ApiKey.Scope.READ))
    async with client(live) as one:
        await one.send(action="authenticate", api_key=key[:-1] + "é")
        await one.send(action="subscribe", **RELIANCE)  # does not wait for the answer
        assert (await one.receive())["code"] == "AUTHENTICATION_ERROR"
        assert (await one.receive())["code"] == "NOT_AUTHENTICATED"
        await one.send(action="authenticate", api_key=FOREIGN)
        await one.send(action="subscribe", symbols=[RELIANCE, CALL], mode=1)
        assert (await one.receive())["user_id"] == "anonymous"
        answer = await one.receive()
        assert [each["status"] for each in answer["subscriptions"]] == ["success", "error"]
        assert (await one.enter(key))["user_id"] == "asha"


@pytest.mark.django_db(transaction=True)
async def test_delayed_user_gets_delayed_prices(
    live: LiveServer, redis: Redis, required: None, database: In
) -> None:
    """In each mode, without the statistics of a day that is not over for the user."""
    user = await database(lambda: asha("NFO", delay_minutes=15))
    key = await database(api_key, user, ApiKey.Scope.READ)
    then = now_ms() - 15 * 60_000
    log(redis, then - 60_000, "100", key="NFO:NIFTY24APR18000CE")
    log(redis, then + 1_500, "102", key="NFO:NIFTY24APR18000CE")
    async with client(live) as one:
        await one.enter(key)
        await one.subscribe(CALL, mode=2)
        publish(redis, "NFO:NIFTY24APR18000CE", message("NIFTY24APR18000CE", "999", now_ms()))
        found = [await one.receive() for _ in range(2)]
        assert [str(each["data"]["ltp"]) for each in found] == ["100", "102"]
        assert {each["symbol"] for each in found} == {CALL["symbol"]}


@pytest.mark.django_db(transaction=True)
async def test_entitlement_that_ends_is_reported(
    live: LiveServer, redis: Redis, required: None, database: In
) -> None:
    """The client is sent what it is no longer subscribed to."""
    user = await database(asha, "NSE_EQ", "NFO")
    key = await database(api_key, user, ApiKey.Scope.READ)
    async with client(live) as one:
        await one.enter(key)
        await one.subscribe(RELIANCE, CALL, mode=2)
        await database(lambda: SegmentGrant.objects.filter(segment="NFO").delete())
        answer = await one.receive()
        assert (answer["type"], answer["message"]) == ("unsubscribe", "no longer entitled")
        assert [each["symbol"] for each in answer["successful"]] == [CALL["symbol"]]
        publish(redis, "RELIANCE", message("RELIANCE", "1"))
        assert (await one.receive())["symbol"] == "RELIANCE"


async def test_limit_of_symbols_counts_instruments(live: LiveServer, settings: Any) -> None:
    """A second mode of a symbol takes no room; what does not fit is refused by name."""
    settings.QUOTES_MAX_SYMBOLS = 1
    async with client(live) as one:
        await one.enter()
        assert (await one.subscribe(RELIANCE, mode=1))["status"] == "success"
        assert (await one.subscribe(RELIANCE, mode=3))["status"] == "success"
        answer = await one.subscribe(CALL)
        assert (answer["status"], "at most 1" in answer["subscriptions"][0]["message"]) == (
            "error",
            True,
        )


@pytest.mark.django_db(transaction=True)
async def test_limit_of_connections_is_an_error(
    live: LiveServer, settings: Any, required: None, database: In
) -> None:
    """A user with as many connections as allowed does not get in, and stays connected."""
    settings.QUOTES_MAX_CONNECTIONS_PER_USER = 1
    key = await database(lambda: api_key(asha("NSE_EQ"), ApiKey.Scope.READ))
    async with client(live) as one, client(live) as other:
        assert (await one.enter(key))["user_id"] == "asha"
        answer = await other.enter(key)
        assert answer["code"] == "AUTHENTICATION_ERROR" and "at most 1" in answer["message"]
        assert (await other.ask(action="ping"))["type"] == "pong"


async def test_too_many_messages_are_an_error(live: LiveServer, settings: Any) -> None:
    """Each is answered so; the connection stays open."""
    settings.QUOTES_MAX_MESSAGES_PER_S = 1
    async with client(live) as one:
        await one.enter()
        answers = [await one.ask(action="ping") for _ in range(8)]
        assert answers[0]["type"] == "pong" and answers[-1]["code"] == "RATE_LIMIT_EXCEEDED"


async def test_silent_connection_gets_no_message(live: LiveServer, settings: Any) -> None:
    """OpenAlgo has no heartbeat: a client would not know what to do with one."""
    settings.QUOTES_HEARTBEAT_S = 0.1
    async with client(live) as one, live.client() as other:
        await one.enter()
        for _ in range(3):
            await other.heartbeat("live", "quiet", "down")
        assert (await one.ask(action="ping"))["type"] == "pong"
