"""Subscriptions of the JavaScript client: what they get, what they share, and what is refused."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis import Redis

from instruments.index import index
from quotes.publish.publishing import publish_ticks
from quotes.websocket.feed.feed import master_changed
from tests.access.people import access_token, asha
from tests.clients.js.node import JsClient, js_client
from tests.conftest import In
from tests.instruments.factories import equity, nifty50_index, snapshot_of
from tests.live import LiveServer
from tests.ticks import MOMENT, message, publish, tick
from tests.waiting import DEADLINE_S
from tests.websocket.test_option_chains import option, show


@pytest.fixture
def master(monkeypatch: pytest.MonkeyPatch) -> None:
    """RELIANCE, TCS and M&M of NSE, and options of NIFTY that expire in 2039."""
    rows = [equity("RELIANCE"), equity("TCS"), equity("M&M"), nifty50_index()]
    for strike in range(24000, 28500, 500):
        rows += [option("NFO", "NIFTY", str(strike), side) for side in ("CE", "PE")]
    monkeypatch.setattr(index, "_snapshot", snapshot_of(*rows))
    monkeypatch.setattr("quotes.websocket.feed.chain_prices._EVERY_S", 0.05)


@pytest.fixture
async def client(live: LiveServer, master: None) -> AsyncIterator[JsClient]:
    async with js_client(live.url) as one:
        yield one


async def has(client: JsClient, *keys: str) -> None:
    """Return when the server says that the connection is subscribed to these, and no others."""
    async with asyncio.timeout(DEADLINE_S):
        while await listed(client) != sorted(keys):
            pass


async def has_as_many(client: JsClient, count: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while len(await listed(client)) != count:
            pass


async def listed(client: JsClient) -> list[str]:
    # It is answered at once, even while a `subscribe` before it is under way.
    answer = await client.call("request", {"action": "list"})
    return sorted(answer["symbols"])


async def test_latest_price_then_live_ones(client: JsClient, redis: Redis) -> None:
    """The stored price comes first; a name maps to its key and comes back with each price."""
    publish(redis, "NSE:RELIANCE", message("RELIANCE", "2950.50", volume=12))
    await client.do("subscribe", **{"as": "a"}, names=["RELIANCE", "AAPL"])
    answer = await client.get("a", "subscribed")
    assert answer == {
        "name": "RELIANCE",
        "key": "NSE_EQ:RELIANCE",
        "known": True,
        "suggestions": [],
    }
    assert (await client.get("a", "subscribed"))["known"] is False
    first = await client.get("a", "price")
    assert (first["name"], first["symbol"], first["segment"]) == ("RELIANCE", "RELIANCE", "NSE_EQ")
    assert (first["price"], first["volume"]) == (2950.5, 12)
    publish(redis, "AAPL", message("AAPL", "189.45"))
    assert (await client.get("a", "price"))["name"] == "AAPL"
    await client.do("properties")
    found = await client.get("client", "properties")
    assert found["state"] == "open" and found["feed"] in ("live", "quiet")
    assert found["latencyMs"] > 0 and abs(found["clockOffsetMs"]) < 60_000
    assert found["lastFrameAt"] > MOMENT


async def test_exact_prices_have_their_published_digits(
    live: LiveServer, master: None, redis: Redis
) -> None:
    """Every digit, also of what a double cannot hold; times and numbers stay numbers."""
    text = '{"symbol":"AAPL","price":189.450,"timestamp":1712331900000'
    more = '"volume":12345678901234567890'
    publish(redis, "AAPL", f'{text},{more},"bid":1e2,"ask":0.10,"note":"1.50 \\"2.50\\""}}')
    async with js_client(live.url, options={"exact": True}) as client:
        await client.do("subscribe", **{"as": "a"}, names="AAPL")
        price = await client.get("a", "price")
    assert (price["price"], price["volume"]) == ("189.450", "12345678901234567890")
    assert (price["bid"], price["ask"], price["note"]) == ("1e2", "0.10", '1.50 "2.50"')
    assert price["timestamp"] == 1712331900000 and price["seq"] == 1


async def test_two_names_of_one_instrument(client: JsClient, redis: Redis) -> None:
    """Each subscription gets every price under its name; removing one leaves the other."""
    for name, symbol in (("a", "RELIANCE"), ("b", "NSE:RELIANCE"), ("c", "RELIANCE")):
        await client.do("subscribe", **{"as": name}, names=[symbol])
        assert (await client.get(name, "subscribed"))["key"] == "NSE_EQ:RELIANCE"
    publish(redis, "RELIANCE", message("RELIANCE", "1"))
    for name, symbol in (("a", "RELIANCE"), ("b", "NSE:RELIANCE"), ("c", "RELIANCE")):
        price = await client.get(name, "price")
        assert (price["name"], price["price"]) == (symbol, 1)
    for at, gone in enumerate(("a", "b"), 2):
        await client.do("close", **{"as": gone})
        await has(client, "NSE_EQ:RELIANCE")
        publish(redis, "RELIANCE", message("RELIANCE", str(at), MOMENT + at))
        for other in "bc"[at - 2 :]:
            assert await client.prices(other, 1) == [at]
        assert client.nothing_of(gone, "price")
    await client.do("close", **{"as": "c"})
    await has(client)
    assert client.nothing_of("client", "error")


async def test_names_come_and_go(client: JsClient, redis: Redis) -> None:
    """`add` and `remove` change a subscription; one that joins late gets the newest price."""
    publish(redis, "AAPL", message("AAPL", "1"))
    await client.do("subscribe", **{"as": "a"}, names=["AAPL"])
    assert await client.prices("a", 1) == [1]
    await client.do("subscribe", **{"as": "b"}, names=["MSFT"])
    await client.do("add", **{"as": "b"}, names=["AAPL", "MSFT"])
    assert await client.prices("b", 1) == [1]
    await client.do("names", **{"as": "b"})
    assert await client.get("b", "names") == ["MSFT", "AAPL"]
    await client.do("remove", **{"as": "a"}, names="AAPL")
    await client.do("remove", **{"as": "b"}, names=["AAPL", "NVDA"])
    await has(client, "MSFT")
    await client.do("add", **{"as": "a"}, names="AAPL")
    assert await client.prices("a", 1) == [1]


async def test_add_and_remove_in_one_go(client: JsClient) -> None:
    """What is left and wanted again at once stays as it is; nothing is left over at the server."""
    for _ in range(5):
        await client.do("subscribe", **{"as": "a"}, names=["A", "B"])
        await client.do("remove", **{"as": "a"}, names=["A"])
        await client.do("add", **{"as": "a"}, names=["A"])
        await client.do("remove", **{"as": "a"}, names=["B"])
        await has(client, "A")
        await client.do("close", **{"as": "a"})
        await has(client)


async def test_refused_symbols_are_typed_errors(client: JsClient, redis: Redis) -> None:
    """The others of the same subscription go on."""
    await client.do("subscribe", **{"as": "a"}, names=["*", "AAPL", "x" * 200])
    errors = [await client.get("a", "rejected") for _ in range(2)]
    assert [(one["kind"], one["code"], one["symbol"]) for one in errors] == [
        ("SymbolError", 400, "*"),
        ("SymbolError", 400, "x" * 200),
    ]
    publish(redis, "AAPL", message("AAPL", "1"))
    assert await client.prices("a", 1) == [1]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"candles": "7m"}, 400),
        ({"segment": "NOWHERE"}, 400),
        ({"mode": "most"}, 400),
        ({"history": {"ticks": 100_000}}, 400),
        ({"history": {"ticks": 0}}, 400),
    ],
)
async def test_bad_options_refuse_each_symbol(
    client: JsClient, options: dict[str, Any], code: int
) -> None:
    """An error of the whole message is one of each of its symbols; the connection stays."""
    await client.do("subscribe", **{"as": "a"}, names=["A", "B"], options=options)
    assert [(await client.get("a", "rejected"))["code"] for _ in range(2)] == [code, code]
    assert await client.call("ping") > 0


async def test_richest_mode_counts(client: JsClient, redis: Redis) -> None:
    """Of two modes for one symbol all subscriptions get the richer, without a lost tick."""
    publish(redis, "AAPL", message("AAPL", "1", volume=5))
    await client.do("subscribe", **{"as": "a"}, names="AAPL", options={"mode": "ltp"})
    assert "volume" not in await client.get("a", "price")
    await client.do("subscribe", **{"as": "b"}, names="AAPL")
    at = 1
    while True:
        at += 1
        publish(redis, "AAPL", message("AAPL", str(at), MOMENT + at, volume=5))
        first = await client.get("a", "price")
        assert first["price"] == at
        if "volume" in first:
            break
    while (await client.get("b", "price"))["price"] < at:
        pass


@pytest.mark.parametrize("name", ["RELIANCE", "NSE:RELIANCE"])
@pytest.mark.parametrize("resume", [True, False])
async def test_richer_mode_begins_with_the_price_that_is_there(
    client: JsClient, redis: Redis, name: str, resume: bool
) -> None:
    """The later subscription gets every field at once, and each price once; so does the first."""
    wish = {"mode": "ltp", "resume": resume, "conflate": False}
    await client.do("subscribe", **{"as": "a"}, names="RELIANCE", options=wish)
    await client.get("a", "subscribed")
    publish(redis, "RELIANCE", message("RELIANCE", "1", MOMENT + 1, volume=7))
    assert "volume" not in await client.get("a", "price")
    wish = {"mode": "full", "resume": resume}
    await client.do("subscribe", **{"as": "b"}, names=name, options=wish)
    price = await client.get("b", "price")
    assert (price["name"], price["price"], price["volume"]) == (name, 1, 7)
    assert client.nothing_of("a", "recovered") and client.nothing_of("b", "recovered")
    await client.do("subscribe", **{"as": "c"}, names="RELIANCE")
    assert (await client.get("c", "price"))["volume"] == 7
    publish(redis, "RELIANCE", message("RELIANCE", "2", MOMENT + 2, volume=7))
    for source in "abc":
        price = await client.get(source, "price")
        assert (price["price"], price["volume"]) == (2, 7)


async def test_history_comes_once_and_first(client: JsClient, redis: Redis) -> None:
    """Past ticks, then live ones; another subscription has the same symbol already, or not."""
    for at in range(3):
        await show(redis, "AAPL", str(at + 1), at)
    await client.do("subscribe", **{"as": "b"}, names="AAPL")
    assert await client.prices("b", 1) == [3]
    await client.do("subscribe", **{"as": "a"}, names="AAPL", options={"history": {"ticks": 2}})
    past = await client.get("a", "history")
    assert [one["price"] for one in past["ticks"]] == [2, 3] and past["name"] == "AAPL"
    publish(redis, "AAPL", message("AAPL", "4", MOMENT + 9))
    assert await client.prices("b", 1) == [4]
    while (await client.get("a", "price"))["price"] != 4:
        pass
    assert client.nothing_of("a", "history") and client.nothing_of("b", "history")


async def test_option_chain_follows_the_money(client: JsClient, redis: Redis) -> None:
    """The options around the money, each once; those that leave it end, named ones stay."""
    await show(redis, "NIFTY 50", "26000")
    wish = {"strikesAround": 1, "follow": True}
    await client.do("chain", **{"as": "a"}, underlying="NIFTY", options=wish)
    chain = await client.get("a", "chain")
    assert (chain["strike"], len(chain["added"]), chain["removed"]) == (26000, 6, [])
    low = "NFO:NIFTY39AUG25500CE"
    await client.do("subscribe", **{"as": "b"}, names=low)
    assert (await client.get("b", "subscribed"))["key"] == low
    await show(redis, low, "7")
    assert await client.prices("a", 1) == [7] and await client.prices("b", 1) == [7]
    await show(redis, "NIFTY 50", "26500", 1)
    moved = await client.get("a", "chain")
    assert moved["removed"] == ["NFO:NIFTY39AUG25500PE"]
    assert moved["added"] == ["NFO:NIFTY39AUG27000CE", "NFO:NIFTY39AUG27000PE"]
    await show(redis, "NFO:NIFTY39AUG27000CE", "3", 2)
    assert (await client.get("a", "price"))["name"] == "NFO:NIFTY39AUG27000CE"
    await client.do("close", **{"as": "a"})
    await has(client, low)
    await client.do("close", **{"as": "b"})
    await has(client)


async def test_option_chain_that_two_have(client: JsClient, redis: Redis) -> None:
    """The wider one counts for both, and one that is named goes back to the chain afterwards."""
    await show(redis, "NIFTY 50", "26000")
    for name, around in (("a", 1), ("b", 2)):
        wish = {"strikesAround": around, "follow": True}
        await client.do("chain", **{"as": name}, underlying="NIFTY", options=wish)
    await has_as_many(client, 10)
    key = "NFO:NIFTY39AUG25000CE"
    await client.do("subscribe", **{"as": "c"}, names=key)
    await client.get("c", "subscribed")
    await client.do("close", **{"as": "c"})
    await has_as_many(client, 10)
    await show(redis, "NIFTY 50", "26500", 1)
    while "25000CE" not in str((await client.get("b", "chain"))["removed"]):
        pass
    await client.do("close", **{"as": "b"})
    await has_as_many(client, 10)
    await client.do("close", **{"as": "a"})
    await has(client)


async def test_whole_segment(live: LiveServer, master: None, redis: Redis, database: In) -> None:
    """All instruments of a segment, under their keys, beside those that are named."""
    user = await database(asha, is_superuser=True)
    token = await database(access_token, user)
    async with js_client(live.url, options={"token": token}) as client:
        await client.do("subscribe", **{"as": "b"}, names="RELIANCE")
        await client.get("b", "subscribed")
        await client.do("subscribe", **{"as": "a"}, names="*", options={"segment": "NSE_EQ"})
        assert (await client.get("a", "subscribed"))["key"] == "NSE_EQ:*"
        publish(redis, "TCS", message("TCS", "1"))
        assert (await client.get("a", "price"))["name"] == "NSE_EQ:TCS"
        publish(redis, "RELIANCE", message("RELIANCE", "2"))
        assert (await client.get("a", "price"))["name"] == "NSE_EQ:RELIANCE"
        assert (await client.get("b", "price"))["name"] == "RELIANCE"
        await client.do("close", **{"as": "a"})
        await has(client, "NSE_EQ:RELIANCE")
        publish(redis, "RELIANCE", message("RELIANCE", "3", MOMENT + 1))
        assert await client.prices("b", 1) == [3]
        assert client.nothing_of("a", "price")


async def test_name_that_comes_to_mean_an_instrument(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an import the prices go on, under the new key, and the user is told."""
    monkeypatch.setattr(index, "_snapshot", snapshot_of(equity("TCS")))
    async with js_client(live.url) as client:
        await client.do("subscribe", **{"as": "a"}, names=["ACME", "NSE_EQ:TCS"])
        assert (await client.get("a", "subscribed"))["key"] == "ACME"
        publish(redis, "ACME", message("ACME", "1"))
        assert await client.prices("a", 1) == [1]
        monkeypatch.setattr(index, "_snapshot", snapshot_of(equity("TCS"), equity("ACME")))
        live.bridges[0][0].market.rebind_names()
        master_changed()
        await has(client, "NSE_EQ:ACME", "NSE_EQ:TCS")
        publish(redis, "ACME", message("ACME", "2", MOMENT + 1))
        while (price := await client.get("a", "price"))["price"] != 2:
            pass
        assert (price["name"], price["segment"]) == ("ACME", "NSE_EQ")
        while (await client.get("a", "subscribed"))["key"] != "NSE_EQ:ACME":
            pass
        await client.do("remove", **{"as": "a"}, names="ACME")
        await has(client, "NSE_EQ:TCS")


async def test_unknown_option_chain_is_refused(client: JsClient) -> None:
    await client.do("chain", **{"as": "a"}, underlying="NOTHING")
    error = await client.get("a", "rejected")
    assert (error["kind"], error["code"], error["symbol"]) == ("SymbolError", 404, "NOTHING")


async def test_iteration(client: JsClient, redis: Redis) -> None:
    """It begins with the newest price of each symbol, and ends with the subscription."""
    publish(redis, "AAPL", message("AAPL", "1"))
    await client.do("subscribe", **{"as": "a"}, names=["AAPL", "MSFT"])
    assert await client.prices("a", 1) == [1]
    await client.do("iterate", **{"as": "a"}, count=2)
    assert (await client.get("a", "read"))["price"] == 1
    publish(redis, "MSFT", message("MSFT", "2"))
    assert (await client.get("a", "read"))["price"] == 2
    assert await client.get("a", "left") == 0
    await client.do("iterate", **{"as": "a"}, count=99)
    await client.do("close", **{"as": "a"})
    assert await client.get("a", "left") == 97


async def test_slow_iteration_gets_the_newest_of_each_symbol(
    client: JsClient, redis: Redis
) -> None:
    """What it does not read in time is left out and counted; memory stays bounded."""
    names = ["A", "B"]
    await client.do("subscribe", **{"as": "a"}, names=names, quiet=True)
    await client.do("subscribe", **{"as": "watch"}, names=names)
    await client.do("iterate", **{"as": "a"}, count=2, isHeld=True)
    for _ in names:
        await client.get("watch", "subscribed")
    prices = [tick(name, str(at + 1), MOMENT + at) for at in range(700) for name in names]
    publish_ticks(prices, client=redis)
    # What the server leaves out, where it is slow, is not the iteration's.
    for _ in names:
        while (await client.get("watch", "price"))["price"] != 700:
            pass
    assert (await client.get("client", "conflated"))["skipped"] > 0
    await client.do("release")
    read = [await client.get("a", "read") for _ in names]
    assert sorted((one["name"], one["price"]) for one in read) == [("A", 700), ("B", 700)]


async def test_slow_iteration_over_every_tick_loses_none(client: JsClient, redis: Redis) -> None:
    """The client closes the connection until the iteration has read enough, and resumes."""
    wish = {"conflate": False}
    await client.do("subscribe", **{"as": "a"}, names="A", options=wish, quiet=True)
    await client.do("iterate", **{"as": "a"}, count=1500, isHeld=True)
    await client.do("subscribe", **{"as": "watch"}, names="A")
    await client.get("watch", "subscribed")
    publish_ticks([tick("A", str(at + 1), MOMENT + at) for at in range(1500)], client=redis)
    waiting = await client.state("waiting", timeout_s=40)
    assert waiting["error"]["code"] == 4410 and "retryAt" not in waiting
    await client.do("release")
    assert [(await client.get("a", "read"))["price"] for _ in range(1500)] == list(range(1, 1501))


async def test_requests_and_settings(client: JsClient, redis: Redis) -> None:
    """Answers belong to their requests; errors are typed; a mode holds for the connection."""
    statuses = await client.call("marketStatus")
    assert {"NSE_EQ", "NFO"} <= {one["segment"] for one in statuses}
    (one,) = await client.call("marketStatus", "NSE_EQ")
    assert set(one) == {"segment", "status", "name", "next_change", "next_status"}
    error = (await client.call("marketStatus", "NOWHERE"))["error"]
    assert (error["kind"], error["code"]) == ("PriceError", 400)
    assert (await client.call("request", {"action": "fly"}))["error"]["code"] == 410
    assert await client.call("configure", {"mode": "ltp", "intervalMs": 20}) is None
    error = (await client.call("configure", {"mode": "most"}))["error"]
    assert error["code"] == 400
    publish(redis, "AAPL", message("AAPL", "1", volume=5))
    await client.do("subscribe", **{"as": "a"}, names="AAPL")
    assert "volume" not in await client.get("a", "price")


async def test_many_symbols(client: JsClient, redis: Redis) -> None:
    """3,000 names of 60 bytes: in messages that the server takes, each of them once."""
    names = [f"SYMBOL WITH A LONG NAME THAT TAKES SIXTY BYTES {at:013d}" for at in range(3001)]
    await client.do("subscribe", **{"as": "a"}, names=names)
    keys = {(await client.get("a", "subscribed"))["name"] for _ in range(3000)}
    assert keys < set(names)
    error = await client.get("a", "rejected")
    assert (error["code"], error["symbol"]) == (405, names[-1])
    publish(redis, names[2999], message(names[2999], "1"))
    assert await client.prices("a", 1) == [1]


@pytest.mark.parametrize(
    ("action", "values"),
    [
        ("subscribe", {"names": ["A", 5]}),
        ("subscribe", {"names": [""]}),
        ("subscribe", {"names": None}),
        ("subscribe", {"names": {}}),
        ("client", {"url": "ftp://host"}),
        ("client", {"url": "nonsense"}),
        ("chain", {"underlying": ""}),
    ],
)
async def test_nonsense_is_a_type_error(client: JsClient, action: str, values: Any) -> None:
    await client.do(action, **{"as": "a", **values})
    with pytest.raises(AssertionError, match="TypeError"):
        await client.get("a", "price")
