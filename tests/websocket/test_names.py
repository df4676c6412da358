"""One instrument has one stream, whatever name publishers and clients use."""

import io
import itertools
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import Client as HttpClient
from redis import Redis

from instruments.import_file import file_import
from instruments.index import index
from instruments.keys import InstrumentKey
from instruments.sessions import MarketStatus
from quotes.publish.publishing import forget_prices
from quotes.store.group_names import candle_group
from quotes.store.latest import Wanted, read_snapshot
from quotes.websocket.feed.feed import current_feed, master_changed
from quotes.websocket.feed.market_status import MarketStatusWatch
from quotes.websocket.session import ClientSession
from tests.conftest import In
from tests.instruments import data
from tests.instruments.factories import (
    equity,
    m_and_m,
    nifty50_index,
    nifty_option,
    reliance,
    snapshot_of,
)
from tests.live import LiveServer
from tests.ticks import MOMENT, message, publish
from tests.waiting import eventually

EXPIRY = date(2099, 8, 25)


def chain() -> list[Any]:
    return [
        nifty_option(f"NIFTY99AUG{strike}{side}", EXPIRY, str(strike), side)
        for strike in range(18000, 19000, 100)
        for side in ("CE", "PE")
    ]


@pytest.fixture(autouse=True)
def master(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [m_and_m(), reliance(), reliance("BSE_EQ"), nifty50_index(), *chain()]
    monkeypatch.setattr(index, "_snapshot", snapshot_of(*rows))


@pytest.mark.parametrize("published", ["NSE:M&M", "NSE_EQ:M&M", "M&M"])
async def test_three_names_are_one_stream(live: LiveServer, redis: Redis, published: str) -> None:
    """Subscribers under each of the names get a tick once each, whichever it came under."""
    async with live.client() as one, live.client() as two, live.client() as three:
        clients = dict(zip(("NSE:M&M", "NSE_EQ:M&M", "M&M"), (one, two, three), strict=True))
        for name, client in clients.items():
            answer = await client.subscribe(name)
            assert answer["symbols"] == [name]
            assert answer.get("keys", {name: name}) == {name: "NSE_EQ:M&M"}
        publish(redis, published, message("M&M", "2000.10"))
        publish(redis, published, message("M&M", "2000.20", MOMENT + 1))
        for client in clients.values():
            for price in (2000.1, 2000.2):
                frame = await client.price()
                assert (frame["symbol"], frame["segment"], frame["price"]) == (
                    "M&M",
                    "NSE_EQ",
                    price,
                )
        again = await one.subscribe("M&M")
        assert again["rejected"][0]["code"] == 409
        assert again["rejected"][0]["key"] == "NSE_EQ:M&M"
        by_key = await one.subscribe("NSE_EQ:M&M")
        assert by_key["rejected"][0]["code"] == 409 and "key" not in by_key["rejected"][0]
        candles = await one.subscribe("M&M", candles="1m")
        assert candles["keys"] == {"M&M": "NSE_EQ:M&M"}
    response = await sync_to_async(HttpClient().get)("/api/prices/NSE:M%26M/")
    assert response.json()["price"] == 2000.2


async def test_segment_narrows_a_bare_name(live: LiveServer, redis: Redis) -> None:
    """The same symbol of two exchanges is two streams; a bare name is the primary listing."""
    async with live.client() as bse, live.client() as cash:
        await bse.subscribe("RELIANCE", segment="BSE_EQ")
        await cash.subscribe("RELIANCE", segment="C")
        publish(redis, "RELIANCE", message("RELIANCE", "1", segment="BSE_EQ"))
        publish(redis, "BSE:RELIANCE", message("RELIANCE", "2", MOMENT + 1))
        publish(redis, "RELIANCE", message("RELIANCE", "3"))
        assert [(await bse.price())["price"] for _ in range(2)] == [1, 2]
        frame = await cash.price()
        assert (frame["price"], frame["segment"]) == (3, "NSE_EQ")
        wrong = await bse.subscribe("TCS", segment="NOWHERE")
        assert wrong["rejected"][0]["code"] == 400


# The name that was published under, the message, and the one listing that may be answered by it.
PUBLISHED = [
    ("RELIANCE", message("RELIANCE"), "NSE_EQ:RELIANCE"),
    ("RELIANCE", '{"price":1}', "NSE_EQ:RELIANCE"),
    ("RELIANCE", message("RELIANCE", segment="BSE_EQ"), "BSE_EQ:RELIANCE"),
    ("RELIANCE", message("RELIANCE", segment="BSE"), "BSE_EQ:RELIANCE"),
    ("RELIANCE", message("BSE:RELIANCE"), ""),
    ("RELIANCE", message("M&M"), ""),
    ("BSE:RELIANCE", message("RELIANCE"), "BSE_EQ:RELIANCE"),
    ("BSE_EQ:RELIANCE", message("RELIANCE"), "BSE_EQ:RELIANCE"),
    ("NSE:RELIANCE", message("RELIANCE"), "NSE_EQ:RELIANCE"),
    ("NSE_EQ:RELIANCE", message("BSE_EQ:RELIANCE"), ""),
]


@pytest.mark.parametrize(("published", "text", "expected"), PUBLISHED)
def test_publishers_key_answers_for_its_own_listing_alone(
    redis: Redis, published: str, text: str, expected: str
) -> None:
    """A publisher's key is the price of the listing that a bridge would take it for, no other's."""
    redis.set(f"stock:{published}", text)
    keys = [InstrumentKey(segment, "RELIANCE") for segment in ("NSE_EQ", "BSE_EQ", "")]
    for key in keys:
        snapshot = read_snapshot([Wanted(key, published)], client=redis)
        assert list(snapshot.ahead) == ([expected] if str(key) == expected else [])


async def test_price_of_another_listing_is_shown_to_nobody(live: LiveServer, redis: Redis) -> None:
    """While no bridge works, a client of BSE is not shown the price of NSE; a client of NSE is."""
    await live.stop_bridges()
    publish(redis, "RELIANCE", message("RELIANCE", "1"))
    async with live.client() as bse, live.client() as nse:
        await bse.subscribe("RELIANCE", segment="BSE_EQ")
        await nse.subscribe("RELIANCE", segment="NSE_EQ")
        frame = await nse.price()
        assert (frame["price"], frame["segment"]) == (1, "NSE_EQ")
        publish(redis, "BSE_EQ:RELIANCE", message("RELIANCE", "2"))
        async with live.client() as other:
            await other.subscribe("BSE_EQ:RELIANCE")
            assert (await other.price())["price"] == 2
        frame = await bse.price()
        assert (frame["price"], frame["segment"]) == (2, "BSE_EQ")


async def test_unknown_segment_of_a_publisher_is_its_own_key(
    live: LiveServer, redis: Redis
) -> None:
    """A publisher's `segment` that is no known code does not lose the tick."""
    async with live.client() as client:
        await client.subscribe("FOO")
        publish(redis, "FOO", message("FOO", "1", segment="my own"))
        assert (await client.price())["segment"] == "my own"


async def test_strict_mode_refuses_what_the_master_does_not_know(
    live: LiveServer, redis: Redis, settings: Any
) -> None:
    """With QUOTES_STRICT_SYMBOLS an unknown name is a 404, on the socket and over REST."""
    settings.QUOTES_STRICT_SYMBOLS = True
    async with live.client() as client:
        answer = await client.subscribe("AAPL", "RELIANCE")
        assert answer["symbols"] == ["RELIANCE"]
        assert [(one["symbol"], one["code"]) for one in answer["rejected"]] == [("AAPL", 404)]
    get = sync_to_async(HttpClient().get)
    assert (await get("/api/prices/AAPL/")).status_code == 404
    many = await get("/api/prices/?symbols=AAPL,RELIANCE")
    assert many.json() == {
        "prices": [],
        "missing": ["AAPL", "RELIANCE"],
        "known": False,
        "unknown": [{"symbol": "AAPL", "suggestions": []}],
    }


async def test_option_chain_is_subscribed_around_the_money(live: LiveServer, redis: Redis) -> None:
    """The strikes around the underlying's price are subscribed and listed, call before put."""
    publish(redis, "NIFTY", message("NIFTY", "18449.9"))
    async with live.client() as client:
        await client.subscribe("NIFTY")
        await client.price()
        answer = await client.ask(
            action="subscribe",
            segment="NFO",
            underlying="NIFTY",
            expiry=EXPIRY.isoformat(),
            strikes_around=1,
        )
        strikes = (18300, 18400, 18500)
        assert answer["symbols"] == [
            f"NFO:NIFTY99AUG{strike}{side}"
            for strike, side in itertools.product(strikes, ("CE", "PE"))
        ]
        publish(redis, "NFO:NIFTY99AUG18400CE", message("NIFTY99AUG18400CE", "120.05"))
        frame = await client.price()
        assert (frame["symbol"], frame["segment"]) == ("NIFTY99AUG18400CE", "NFO")
        whole = await client.ask(action="subscribe", segment="NFO", underlying="NIFTY")
        assert len(whole["symbols"]) == 14 and len(whole["rejected"]) == 6


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"underlying": "NOSUCH"}, 404),
        ({"underlying": "NIFTY", "expiry": "2098-01-01"}, 404),
        ({"underlying": "NIFTY", "segment": "NOWHERE"}, 400),
        ({"underlying": "NIFTY", "expiry": "soon"}, 400),
        ({"underlying": "NIFTY", "strikes_around": -1}, 400),
        ({"underlying": 5}, 400),
    ],
)
async def test_chain_that_is_not_there_is_refused(
    live: LiveServer, wrong: dict[str, Any], code: int
) -> None:
    """An unknown underlying, expiry or segment is an error with its code."""
    async with live.client() as client:
        assert (await client.ask(action="subscribe", **wrong))["code"] == code


async def test_clients_follow_a_name_that_the_master_learns(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bare name that becomes an instrument moves to its stream without a new subscribe."""
    async with live.client() as client:
        await client.subscribe("TCS")
        publish(redis, "TCS", message("TCS", "1"))
        assert "segment" not in await client.price()
        learnt = snapshot_of(m_and_m(), equity("TCS", name="TATA CONSULTANCY"))
        monkeypatch.setattr(index, "_snapshot", learnt)
        live.bridges[0][0].market.rebind_names()
        master_changed()
        await eventually(lambda: live.layer.local_groups() == ["NSE_EQ.-TCS"])
        publish(redis, "TCS", message("TCS", "2", MOMENT + 1))
        frame = await client.price()
        if frame["price"] == 1:  # the instrument's first price is the last one of its bare name
            frame = await client.price()
        assert (frame["price"], frame["segment"]) == (2, "NSE_EQ")
        assert (await client.ask(action="list"))["symbols"] == ["NSE_EQ:TCS"]


@pytest.mark.django_db(transaction=True)
async def test_candles_follow_a_name_that_an_import_brings(
    live: LiveServer, database: In, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every interval moves to the new key, under whichever name; what others chose stays theirs."""
    monkeypatch.setattr(index, "_snapshot", snapshot_of(m_and_m()))
    # The import brings hours, too: by the time of day a market opens with it.
    monkeypatch.setattr(MarketStatusWatch, "changes", lambda watch: [])
    async with live.client() as client:
        for label in ("1m", "5m"):
            await client.subscribe("RELIANCE", "M&M", candles=label)
        await client.subscribe("NSE:RELIANCE", candles="1m")
        await database(file_import, file=io.BytesIO((data.FOLDER / "kite.csv").read_bytes()))
        await database(index.refresh)
        master_changed()
        groups = {"candles.NSE_EQ.-RELIANCE", "candles.NSE_EQ.-M.-M"}
        await eventually(lambda: len(live.layer.local_groups()) == len(groups))
        key = InstrumentKey("NSE_EQ", "RELIANCE")
        texts = dict.fromkeys(("1m", "5m"), '{"start":1,"close":8.50}')
        one = {"type": "quote.candles", "key": str(key), "candles": texts}
        await live.layer.group_send(candle_group(key), one)
        frames = [await client.receive(), await client.receive()]
        assert [(one["key"], one["interval"]) for one in frames] == [
            (str(key), "1m"),
            (str(key), "5m"),
        ]
        gone = await client.ask(action="unsubscribe", symbol="RELIANCE", candles="1m")
        assert (gone["symbols"], gone["subscriptions"]) == (["RELIANCE"], 3)


async def test_mode_of_an_instrument_follows_its_name(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a client chose for one symbol holds for the instrument that the symbol becomes."""
    async with live.client() as client:
        await client.subscribe("TCS", mode="ltp", conflate=False)
        learnt = snapshot_of(m_and_m(), equity("TCS", name="TATA CONSULTANCY"))
        monkeypatch.setattr(index, "_snapshot", learnt)
        live.bridges[0][0].market.rebind_names()
        master_changed()
        await eventually(lambda: live.layer.local_groups() == ["NSE_EQ.-TCS"])
        publish(redis, "TCS", message("TCS", "2", bid=1))
        assert "bid" not in await client.price()
        (session,) = (await current_feed()).listeners
        assert isinstance(session, ClientSession)
        assert session.outbox.lossless == {"NSE_EQ:TCS"}


async def test_forgetting_any_name_forgets_the_instrument(live: LiveServer, redis: Redis) -> None:
    """forget_price by one name deletes what was published under another."""
    publish(redis, "NSE:M&M", message("M&M", "5"))
    await eventually(lambda: live.bridges[0][0].counters.sent == 1)
    assert forget_prices(["M&M"], client=redis) == 1
    assert not redis.exists("stock:NSE:M&M")
    await eventually(lambda: not live.bridges[0][0].market.streams)


async def test_market_status_is_sent_on_request_and_on_change(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each segment's status is answered; a change comes unasked."""
    async with live.client() as client:
        await client.send(action="market_status", id=1)
        answers = [await client.receive() for _ in range(9)]
        assert {one["segment"] for one in answers} >= {"NSE_EQ", "MCX"}
        assert all(one["type"] == "market_status" and one["id"] == 1 for one in answers)
        wrong = await client.ask(action="market_status", segment="NOWHERE")
        assert wrong["code"] == 400
        await client.send(action="market_status", segment="FO", id=2)
        assert [(await client.receive())["segment"] for _ in range(2)] == ["NFO", "BFO"]
        feed = await current_feed()
        opened = MarketStatus("MCX", "open", "", "closed", datetime.now(UTC) + timedelta(days=1))
        real = index.market_status
        monkeypatch.setattr(
            index,
            "market_status",
            lambda segment, moment: opened if segment == "MCX" else real(segment, moment),
        )
        feed.markets.next_check_at = datetime.now(UTC)
        changed = await client.receive()
        assert (changed["segment"], changed["status"], changed["next_status"]) == (
            "MCX",
            "open",
            "closed",
        )
        assert changed["next_change"] > 0


def test_money_of_a_chain_is_exact() -> None:
    """The strike at the money is chosen by decimals."""
    keys = index.chain("NFO", "NIFTY", EXPIRY, 0, Decimal("18450.01"))
    assert [str(key) for key in keys] == ["NFO:NIFTY99AUG18500CE", "NFO:NIFTY99AUG18500PE"]
