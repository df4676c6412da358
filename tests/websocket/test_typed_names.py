"""Names as people type them: in another case, misspelled, or of nothing that exists."""

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest
from redis import Redis

from instruments.index import index
from instruments.models import Instrument
from quotes.websocket.feed.feed import current_feed
from quotes.websocket.protocol import parse_request
from tests.instruments.factories import (
    equity,
    m_and_m,
    nifty50_index,
    nifty_option,
    reliance,
    snapshot_of,
)
from tests.live import Client, LiveServer
from tests.ticks import MOMENT, message, publish
from tests.waiting import eventually

EXPIRY = date(2039, 8, 25)


def nifty_bank() -> Instrument:
    return Instrument(segment_id="NSE_INDEX", symbol="NIFTY BANK", instrument_type="INDEX")


def nifty_future() -> Instrument:
    return Instrument(
        segment_id="NFO",
        symbol="NIFTY39AUGFUT",
        underlying="NIFTY",
        instrument_type="FUT",
        expiry=EXPIRY,
    )


@pytest.fixture(autouse=True)
def master(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        m_and_m(),
        reliance(),
        reliance("BSE_EQ"),
        equity("INFY", name="INFOSYS LTD"),
        equity("HDFCBANK", name="HDFC BANK"),
        equity("MiXeD"),
        equity("Twice"),
        equity("TWICE"),
        nifty50_index(),
        nifty_bank(),
        nifty_future(),
        nifty_option("NIFTY39AUG18000CE", EXPIRY, "18000"),
    ]
    monkeypatch.setattr(index, "_snapshot", snapshot_of(*rows))


@pytest.fixture
async def client(live: LiveServer) -> AsyncIterator[Client]:
    async with live.client() as one:
        yield one


@pytest.mark.parametrize(
    ("name", "segment", "key"),
    [
        ("reliance", "", "NSE_EQ:RELIANCE"),
        ("Reliance", "BSE_EQ", "BSE_EQ:RELIANCE"),
        ("reliance", "bse_eq", "BSE_EQ:RELIANCE"),
        ("nse:reliance", "", "NSE_EQ:RELIANCE"),
        ("bse_eq:Reliance", "", "BSE_EQ:RELIANCE"),
        ("nse:reliance-eq", "", "NSE_EQ:RELIANCE"),
        ("m&m", "", "NSE_EQ:M&M"),
        ("nifty 50", "", "NSE_INDEX:NIFTY 50"),
        ("nifty39aug18000ce", "", "NFO:NIFTY39AUG18000CE"),
        ("mixed", "", "NSE_EQ:MiXeD"),
        ("MIXED", "", "NSE_EQ:MiXeD"),
        ("Twice", "", "NSE_EQ:Twice"),
    ],
)
async def test_case_does_not_count(
    client: Client, redis: Redis, name: str, segment: str, key: str
) -> None:
    """A name in another case is the instrument; answers have the name as it was typed."""
    answer = await client.subscribe(name, segment=segment)
    assert (answer["symbols"], answer["keys"]) == ([name], {name: key})
    assert not answer.keys() & {"known", "unknown"}
    publish(redis, key, message(key.partition(":")[2]))
    assert (await client.price())["symbol"] == key.partition(":")[2]
    answer = await client.ask(action="unsubscribe", symbol=name, segment=segment)
    assert (answer["symbols"], answer["rejected"]) == ([name], [])


async def test_name_that_differs_from_two_is_none_of_them(client: Client) -> None:
    """A name that is ambiguous without its case is unknown, and both are suggested."""
    answer = await client.subscribe("tWICE")
    assert answer["known"] is False
    assert answer["unknown"][0]["suggestions"][:2] == ["NSE_EQ:TWICE", "NSE_EQ:Twice"]


@pytest.mark.parametrize("bridge", [True, False])
async def test_name_published_as_written_comes_first(
    live: LiveServer, redis: Redis, bridge: bool
) -> None:
    """`reliance` is the stream of that name where there is one, shown by a bridge or not."""
    if not bridge:
        await live.stop_bridges()
    publish(redis, "reliance", message("reliance", "7"))
    publish(redis, "GOLDX", message("GOLDX", "8"))
    if bridge:
        await eventually(lambda: redis.hexists("quotes:latest", "GOLDX"))
    async with live.client() as client:
        answer = await client.subscribe("reliance", "goldx", "nope")
        assert answer["keys"] == {"goldx": "GOLDX"}
        assert [one["symbol"] for one in answer["unknown"]] == ["nope"]
        found = [await client.price(), await client.price()]
        assert {(one["symbol"], one["price"]) for one in found} == {("reliance", 7), ("GOLDX", 8)}


async def test_published_name_in_another_case_needs_no_master(
    client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a master, `aapl` is AAPL once that was published, and no name counts as unknown."""
    monkeypatch.setattr(index, "_snapshot", snapshot_of())
    publish(redis, "AAPL", message("AAPL", "1"))
    await eventually(lambda: redis.hexists("quotes:latest", "AAPL"))
    answer = await client.subscribe("aapl", "NOPE", "nope")
    assert answer["keys"] == {"aapl": "AAPL"} and "known" not in answer
    assert (await client.price())["symbol"] == "AAPL"


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("RELIANC", ["NSE_EQ:RELIANCE"]),
        ("relaince", ["NSE_EQ:RELIANCE"]),
        ("NSE:RELIANCEE", ["NSE_EQ:RELIANCE"]),
        ("infosys", ["NSE_EQ:INFY"]),
        ("HDFC", ["NSE_EQ:HDFCBANK"]),
        ("BANKNIFTY", ["NSE_INDEX:NIFTY BANK"]),
        ("banknifty", ["NSE_INDEX:NIFTY BANK"]),
        ("BANKNIFTTY", ["NSE_INDEX:NIFTY BANK"]),
        ("NIFTY", ["NSE_INDEX:NIFTY 50", "NFO:NIFTY39AUGFUT"]),
        ("NIFTY39AUG18010CE", ["NFO:NIFTY39AUG18000CE"]),
        ("qqqqqq", []),
        ("x" * 64, []),
    ],
)
async def test_unknown_name_is_reported_with_suggestions(
    client: Client, redis: Redis, name: str, suggested: list[str]
) -> None:
    """A name that nobody has is subscribed to, marked as unknown, with up to three suggestions."""
    answer = await client.subscribe("RELIANCE", name)
    assert answer["symbols"] == ["RELIANCE", name]
    assert answer["known"] is False
    [unknown] = answer["unknown"]
    assert unknown["symbol"] == name and len(unknown["suggestions"]) <= 3
    assert unknown["suggestions"][: len(suggested)] == suggested
    assert suggested or not unknown["suggestions"]
    symbol = name.removeprefix("NSE:")
    publish(redis, name, message(symbol))
    assert (await client.price())["symbol"] == symbol


async def test_strict_mode_refuses_unknown_names_with_suggestions(
    client: Client, settings: Any
) -> None:
    """In strict mode a name in another case is found, an unknown one rejected with suggestions."""
    settings.QUOTES_STRICT_SYMBOLS = True
    answer = await client.subscribe("reliance", "RELIANC")
    assert answer["keys"] == {"reliance": "NSE_EQ:RELIANCE"}
    assert [(one["symbol"], one["code"]) for one in answer["rejected"]] == [("RELIANC", 404)]
    assert answer["unknown"] == [{"symbol": "RELIANC", "suggestions": ["NSE_EQ:RELIANCE"]}]


async def test_candles_take_names_as_prices_do(client: Client) -> None:
    """Candles of a name in another case are the instrument's; an unknown one is reported."""
    answer = await client.subscribe("reliance", "RELIANC", candles="1m")
    assert answer["unknown"] == [{"symbol": "RELIANC", "suggestions": ["NSE_EQ:RELIANCE"]}]
    again = await client.subscribe("RELIANCE", candles="1m")
    assert again["rejected"][0]["code"] == 409
    answer = await client.ask(action="unsubscribe", symbols=["RELIANCE"], candles="1m")
    assert answer["symbols"] == ["RELIANCE"]
    answer = await client.ask(action="unsubscribe", symbols=["reliance"], candles="1m")
    assert answer["rejected"][0]["code"] == 404


async def test_past_and_resuming_have_the_name_as_typed(client: Client, redis: Redis) -> None:
    """`history` and `resumed` frames answer the name that the client wrote."""
    publish(redis, "RELIANCE", message("RELIANCE", "1"))
    await eventually(lambda: redis.hexists("quotes:latest", "NSE_EQ:RELIANCE"))
    answer = await client.subscribe("reliance", since={"reliance": {"epoch": 1, "seq": 1}})
    assert answer["symbols"] == ["reliance"]
    resumed = await client.receive()
    assert (resumed["type"], resumed["symbol"]) == ("resumed", "reliance")


async def test_names_in_another_case_follow_the_master(
    client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that typed `reliance` stays with the instrument when the master changes."""
    await client.subscribe("reliance")
    monkeypatch.setattr(index, "_snapshot", snapshot_of(reliance(), equity("NEW")))
    feed = await current_feed()
    await feed.follow_master()
    publish(redis, "RELIANCE", message("RELIANCE", "5"))
    assert (await client.price())["price"] == 5


@pytest.mark.parametrize("candles", [None, "1m"])
async def test_names_in_another_case_are_found_once_the_master_has_them(
    client: Client, monkeypatch: pytest.MonkeyPatch, candles: str | None
) -> None:
    """A client that typed `infy` before an import has INFY after it, unless `infy` had a price."""
    master = index._snapshot
    monkeypatch.setattr(index, "_snapshot", snapshot_of())
    more = {} if candles is None else {"candles": candles}
    await client.subscribe("infy", **more)
    monkeypatch.setattr(index, "_snapshot", master)
    feed = await current_feed()
    for _ in range(2):  # and stays with it
        await feed.follow_master()
        again = await client.subscribe("INFY", **more)
        assert again["rejected"][0]["code"] == 409


async def test_stream_of_a_name_as_written_stays_when_the_master_comes(
    client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that has prices of `infy` keeps them when the master learns of INFY."""
    master = index._snapshot
    monkeypatch.setattr(index, "_snapshot", snapshot_of())
    await client.subscribe("infy")
    publish(redis, "infy", message("infy", "1"))
    assert (await client.price())["price"] == 1
    monkeypatch.setattr(index, "_snapshot", master)
    await (await current_feed()).follow_master()
    assert (await client.ask(action="list"))["symbols"] == ["infy"]


async def test_names_without_room_are_not_looked_up(
    live: LiveServer, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client at its limit, or that repeats itself, costs no further look-up."""
    settings.QUOTES_MAX_SYMBOLS = 2
    async with live.client() as limited:
        answer = await limited.subscribe("A1", "A2", "A3", "A4")
        assert [one["symbol"] for one in answer["unknown"]] == ["A1", "A2"]
        answer = await limited.subscribe("A1", "A2", "A3")
        assert [one["code"] for one in answer["rejected"]] == [409, 409, 405]
        assert "unknown" not in answer


async def test_unknown_names_cost_a_bounded_time(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many unknown names ten get suggestions, and requests without end get none."""
    names = [*(f"RELIANCE{number}" for number in range(10)), "HDFC", "INFOSYS"]
    names += [f"NO{number}" for number in range(288)]
    answer = await client.subscribe("RELIANCE", *names)
    assert len(answer["unknown"]) == 300 and answer["subscriptions"] == 301
    assert [bool(one["suggestions"]) for one in answer["unknown"][9:11]] == [True, False]
    await client.ask(action="unsubscribe", symbols=names)
    feed = await current_feed()
    feed.suggestion_budget.tokens, feed.suggestion_budget.rate = 0, 0
    answer = await client.subscribe("RELIANC")
    assert answer["unknown"] == [{"symbol": "RELIANC", "suggestions": []}]


async def test_names_of_the_master_are_not_looked_up_in_redis(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Subscribing to names that the master has as written resolves each once and reads no more."""
    feed = await current_feed()
    monkeypatch.setattr(feed.requests, "answer", None)
    monkeypatch.setattr(
        "quotes.websocket.subscriptions.naming.Unlisted.__init__",
        lambda *arguments: pytest.fail("looked further for a name that the master has"),
    )
    answer = await client.subscribe("RELIANCE", "M&M", candles="1m")
    assert answer["symbols"] == ["RELIANCE", "M&M"]


async def test_redis_that_hangs_leaves_names_undecided(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Redis does not answer, names in another case are found, and none counts as unknown."""
    feed = await current_feed()
    feed.requests.breaker.hung()
    answer = await client.subscribe("reliance", "nope")
    assert answer["keys"] == {"reliance": "NSE_EQ:RELIANCE"} and "known" not in answer


KEYS = [
    ({"action": "subscribe", "symbol": "A", "interval": "1m"}, "candles"),
    ({"action": "subscribe", "symbol": "A", "segmnt": "NSE"}, "segment"),
    ({"action": "unsubscribe", "symbol": "A", "candle": "1m"}, "candles"),
    ({"action": "subscribe", "symbol": "A", "history": {"tick": 5}}, "ticks"),
    ({"action": "configure", "intervalms": 5}, "interval_ms"),
    ({"action": "list", "warnings": ["x"]}, ""),
    ({"action": "ping", "zzz": 1}, ""),
    ({"action": "market_status", "segment": "NFO", "sgment": 1}, "segment"),
]


@pytest.mark.parametrize(("sent", "meant"), KEYS)
async def test_mistyped_key_is_named_in_the_answer(
    client: Client, sent: dict[str, Any], meant: str
) -> None:
    """A key that is not read is named, with the one that may be meant; the rest is carried out."""
    answer = await client.ask(**sent)
    [warning] = answer["warnings"]
    assert answer["type"] != "error" and "is ignored" in warning
    assert f"did you mean '{meant}'" in warning if meant else "did you mean" not in warning


async def test_mistyped_key_is_named_in_an_error(client: Client) -> None:
    """The error of a message without a symbol names the key that was to be one."""
    answer = await client.ask(action="subscribe", symbl="A", id=1)
    assert (answer["type"], answer["id"]) == ("error", 1)
    assert answer["warnings"] == ["unknown key 'symbl' is ignored, did you mean 'symbol'?"]


def test_many_mistyped_keys_are_named_in_part() -> None:
    """However many keys are not read, or long, the warnings are few and short."""
    keys = ", ".join(f'"{"k" * 1000}{number}": 1' for number in range(1000))
    request = parse_request('{"action": "ping", ' + keys + "}")
    assert len(request.warnings) == 5 and max(map(len, request.warnings)) < 150
    assert parse_request('{"action":"ping","id":1}').warnings == []


@pytest.mark.parametrize("name", ["reliance", "RELIANCE"])
async def test_first_price_of_a_key_alone(live: LiveServer, redis: Redis, name: str) -> None:
    """While no bridge works, a name in another case is answered from the publisher's key."""
    await live.stop_bridges()
    redis.set("stock:RELIANCE", message("RELIANCE", "3", MOMENT))
    async with live.client() as client:
        await client.subscribe(name)
        assert (await client.price())["price"] == 3
