"""The JavaScript client's candles, and the REST API by its RestClient."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis import Redis

from benchmarks.chaos.proxy import Mode
from instruments.keys import InstrumentKey
from instruments.models import Instrument
from quotes.store.group_names import candle_group
from tests.access.people import PASSWORD, asha
from tests.clients.js.node import JsClient, js_client
from tests.clients.js.test_connection import FAST, door_to
from tests.conftest import In
from tests.history.conftest import history, sqlite_template
from tests.history.test_socket import publish, record_here, stored
from tests.live import LiveServer
from tests.ticks import MOMENT, tick

__all__ = ["history", "sqlite_template", "stored"]

MINUTE = 60_000
HISTORY = {"candles": {"interval": "1m", "count": 10}}


@pytest.fixture
async def client() -> AsyncIterator[JsClient]:
    async with js_client() as one:
        yield one


async def send_candle(live: LiveServer, symbol: str, start: int, close: str) -> None:
    """Send a candle of a symbol to the clients that are subscribed to it, as the recorder does."""
    text = f'{{"start":{start},"close":{close},"final":false}}'
    key = InstrumentKey("", symbol)
    event = {"type": "quote.candles", "key": symbol, "candles": {"1m": text}}
    await live.layer.group_send(candle_group(key), event)


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("history", ["sqlite"], indirect=True)
async def test_candles(live: LiveServer, redis: Redis, client: JsClient) -> None:
    """Past ones, then each as it forms; after a loss, those of the time in between."""
    await publish(redis, tick("A", "5", MOMENT), tick("A", "7", MOMENT + MINUTE))
    await asyncio.to_thread(record_here, redis)
    async with door_to(live.port) as (door, url):
        await client.do("client", url=url, options={**FAST, "exact": True})
        await client.do("subscribe", **{"as": "a"}, names=["A"], options={"candles": "1m"})
        assert (await client.get("a", "subscribed"))["key"] == "A"
        await client.do("subscribe", **{"as": "b"}, names=["A"], options={"candles": "5m"})
        await client.get("b", "subscribed")
        options = {"candles": "1m", "history": HISTORY}
        await client.do("subscribe", **{"as": "c"}, names=["A"], options=options)
        past = await client.get("c", "history")
        assert [(one["close"], one["name"]) for one in past["candles"]] == [("5", "A"), ("7", "A")]
        await send_candle(live, "A", MOMENT + MINUTE, "7.50")
        for name in ("a", "c"):
            candle = await client.get(name, "candle")
            assert (candle["key"], candle["name"], candle["interval"]) == ("A", "A", "1m")
            assert (candle["close"], candle["start"]) == ("7.50", MOMENT + MINUTE)
        door.set_mode(Mode.CUT)
        await client.state("waiting")
        await publish(redis, tick("A", "8", MOMENT + 2 * MINUTE))
        await asyncio.to_thread(record_here, redis)
        door.set_mode(Mode.PASS)
        recovered = await client.get("a", "recovered")
        assert recovered == {"symbol": "A", "recovered": True, "ticks": 2}
        assert [(await client.get("a", "candle"))["close"] for _ in range(2)] == ["7", "8"]
        await client.do("iterate", **{"as": "a"}, count=1)
        assert (await client.get("a", "read"))["close"] == "8"
        assert client.nothing_of("b", "candle")
        await client.do("close", **{"as": "a"})
        await send_candle(live, "A", MOMENT + 3 * MINUTE, "9")
        while (await client.get("c", "candle"))["close"] != "9":
            pass
        assert client.nothing_of("a", "candle")


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("history", ["sqlite"], indirect=True)
@pytest.mark.parametrize("exact", [False, True])
async def test_rest(
    live: LiveServer, redis: Redis, client: JsClient, settings: Any, exact: bool
) -> None:
    """Ranges come page after page; prices with their digits on request."""
    settings.QUOTES_HISTORY_PAGE_ROWS = 2
    await publish(redis, *(tick("M&M", f"{at}.50", MOMENT + at * MINUTE) for at in range(1, 6)))
    await asyncio.to_thread(record_here, redis)
    base = f"http://127.0.0.1:{live.port}"
    await client.do("rest", url=base, options={"exact": exact})

    def price(text: str) -> str | float:
        return text if exact else float(text)

    days = {"from": MOMENT, "to": MOMENT + 10 * MINUTE}
    candles = await client.call("candles", "M&M", {"interval": "1m", **days}, on="rest")
    assert [one["close"] for one in candles] == [price(f"{at}.50") for at in range(1, 6)]
    assert {(one["key"], one["name"], one["interval"]) for one in candles} == {("M&M", "M&M", "1m")}
    assert candles[0]["start"] == MOMENT + MINUTE
    ticks = await client.call("ticks", "M&M", {"from": "2024-04-05", "to": "2024-04-05"}, on="rest")
    assert [one["price"] for one in ticks] == [price(f"{at}.50") for at in range(1, 6)]
    assert {one["symbol"] for one in ticks} == {"M&M"} and ticks[0]["seq"] == 1
    found = await client.call("prices", ["M&M", "NOBODY"], on="rest")
    assert found["prices"][0]["price"] == price("5.50") and found["missing"] == ["NOBODY"]
    many = await client.call("prices", [f"X{at}" for at in range(450)], on="rest")
    assert len(many["missing"]) == 450
    (status,) = [
        one for one in await client.call("marketStatus", on="rest") if one["segment"] == "NSE_EQ"
    ]
    assert status["next_change"] > MOMENT


async def test_rest_errors(live: LiveServer, redis: Redis, client: JsClient, database: In) -> None:
    """The HTTP status is the code; a server that is not there is a lost connection."""
    base = f"http://127.0.0.1:{live.port}"
    await database(asha, "*", password=PASSWORD)
    await client.do("rest", url=base)

    async def error(method: str, *values: Any) -> tuple[str, int]:
        found = (await client.call(method, *values, on="rest"))["error"]
        return found["kind"], found["code"]

    assert await error("login", "asha", "wrong") == ("AuthenticationError", 401)
    assert await error("candles", "A", {"interval": "7m"}) == ("PriceError", 400)
    assert await error("optionChain", "NOTHING") == ("PriceError", 404)
    assert await error("get", "instruments/", {"colour": "red"}) == ("PriceError", 400)
    tokens = await client.call("login", "asha", PASSWORD, on="rest")
    assert set(tokens) == {"access", "refresh"}
    again = await client.call("refresh", tokens["refresh"], on="rest")
    assert again["access"] != tokens["access"]
    assert await error("refresh", tokens["refresh"]) == ("AuthenticationError", 401)
    await client.do("rest", url=base, options={"token": "not a token"})
    assert await error("prices", ["A"]) == ("AuthenticationError", 401)
    await client.do("rest", url="http://127.0.0.1:1")
    assert await error("prices", ["A"]) == ("ConnectionError", 1006)


async def test_rest_pages_of_instruments(
    live: LiveServer, redis: Redis, client: JsClient, database: In
) -> None:
    """All pages up to the limit, in order."""
    rows = [
        Instrument(segment_id="NSE_EQ", symbol=f"TEST{at:04d}", instrument_type="EQ")
        for at in range(230)
    ]
    await database(Instrument.objects.bulk_create, rows)
    await client.do("rest", url=f"http://127.0.0.1:{live.port}/")
    found = await client.call("instruments", {"prefix": "TEST"}, on="rest")
    assert [one["symbol"] for one in found] == [one.symbol for one in rows]
    few = await client.call("instruments", {"prefix": "TEST", "limit": 3}, on="rest")
    assert len(few) == 3
