"""Option chains of a client: around the price of the right instrument, and following it."""

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from redis import Redis

from instruments.index import index
from instruments.models import Instrument
from quotes.store.latest import decode_latest
from quotes.store.names import own_key
from quotes.websocket.feed.feed import current_feed, master_changed
from tests.instruments.factories import equity, nifty50_index, sensex_index, snapshot_of
from tests.live import Client, Frame, LiveServer
from tests.ticks import MOMENT, message, publish
from tests.waiting import eventually

EXPIRY = date(2039, 8, 25)
LATER = date(2039, 9, 29)


def option(segment: str, root: str, strike: str, side: str, expiry: date = EXPIRY) -> Instrument:
    month = f"{expiry:%y%b}".upper()
    return Instrument(
        segment_id=segment,
        symbol=f"{root}{month}{strike}{side}",
        instrument_type=side,
        underlying=root,
        expiry=expiry,
        strike=Decimal(strike),
    )


def future(segment: str, root: str, expiry: date = EXPIRY) -> Instrument:
    month = f"{expiry:%y%b}".upper()
    return Instrument(
        segment_id=segment,
        symbol=f"{root}{month}FUT",
        instrument_type="FUT",
        underlying=root,
        expiry=expiry,
    )


def index_of(segment: str, symbol: str) -> Instrument:
    return Instrument(segment_id=segment, symbol=symbol, instrument_type="INDEX")


# Segment, root, and the strikes.
CHAINS = [
    ("NFO", "NIFTY", range(22000, 30500, 500)),
    ("NFO", "BANKNIFTY", range(50000, 60500, 500)),
    ("NFO", "FINNIFTY", range(22000, 30500, 500)),
    ("NFO", "MIDCPNIFTY", range(10000, 16500, 500)),
    ("NFO", "RELIANCE", range(1000, 2000, 100)),
    ("BFO", "SENSEX", range(80000, 90500, 500)),
    ("BFO", "BANKEX", range(60000, 70500, 500)),
    ("CDS", "USDINR", range(80, 95)),
    ("MCX", "GOLD", range(100000, 140000, 1000)),
]


@pytest.fixture(autouse=True)
def master(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        nifty50_index(),
        sensex_index(),
        index_of("BSE_INDEX", "BANKEX"),
        index_of("NSE_INDEX", "NIFTY BANK"),
        index_of("NSE_INDEX", "NIFTY FIN SERVICE"),
        index_of("NSE_INDEX", "NIFTY MID SELECT"),
        equity("RELIANCE"),
        equity("RELIANCE", "BSE_EQ"),
        equity("GOLD"),  # a share that is no commodity
        future("CDS", "USDINR"),
        future("MCX", "GOLD"),
        future("MCX", "GOLD", LATER),
        future("NFO", "NIFTY"),
    ]
    for segment, root, strikes in CHAINS:
        rows += [
            option(segment, root, str(each), side) for each in strikes for side in ("CE", "PE")
        ]
    monkeypatch.setattr(index, "_snapshot", snapshot_of(*rows))
    monkeypatch.setattr("quotes.websocket.feed.chain_prices._EVERY_S", 0.05)


@pytest.fixture
async def client(live: LiveServer) -> AsyncIterator[Client]:
    async with live.client() as one:
        yield one


async def subscribe(client: Client, underlying: str, around: int | None = 1, **more: Any) -> Frame:
    if around is not None:
        more["strikes_around"] = around
    return await client.ask(action="subscribe", underlying=underlying, **more)


def strikes_of(keys: list[str]) -> list[str]:
    """Return the strikes of calls and puts, each once."""
    return list(dict.fromkeys(key.partition("AUG")[2][:-2] for key in keys))


async def show(redis: Redis, name: str, price: str, at: int = 0) -> None:
    """Publish a price, and return when the bridge shows it."""
    symbol = name.rpartition(":")[2]
    publish(redis, name, message(symbol, price, MOMENT + at))
    key = str(index.resolve(name))

    def is_shown() -> bool:
        record = redis.hget(own_key("latest"), key)
        return isinstance(record, bytes) and decode_latest(record).timestamp == MOMENT + at

    await eventually(is_shown)


SOURCES = [
    ("NIFTY", "", "NSE_INDEX:NIFTY 50", "26035", ["25500", "26000", "26500"]),
    ("BANKNIFTY", "NFO", "NSE_INDEX:NIFTY BANK", "58480.55", ["58000", "58500", "59000"]),
    ("FINNIFTY", "", "NSE_INDEX:NIFTY FIN SERVICE", "27001", ["26500", "27000", "27500"]),
    ("MIDCPNIFTY", "", "NSE_INDEX:NIFTY MID SELECT", "14010", ["13500", "14000", "14500"]),
    ("SENSEX", "", "BSE_INDEX:SENSEX", "85020", ["84500", "85000", "85500"]),
    ("BANKEX", "BFO", "BSE_INDEX:BANKEX", "65100", ["64500", "65000", "65500"]),
    ("RELIANCE", "", "NSE_EQ:RELIANCE", "1478", ["1400", "1500", "1600"]),
    ("USDINR", "", "CDS:USDINR39AUGFUT", "88.4", ["87", "88", "89"]),
    ("USDINR", "CDS", "USDINR", "89.2", ["88", "89", "90"]),
    ("GOLD", "", "MCX:GOLD39AUGFUT", "121400", ["120000", "121000", "122000"]),
    ("nifty", "nfo", "NSE_INDEX:NIFTY 50", "26035", ["25500", "26000", "26500"]),
    ("NIFTY 50", "", "NSE_INDEX:NIFTY 50", "26035", ["25500", "26000", "26500"]),
    ("NSE_INDEX:NIFTY 50", "", "NSE_INDEX:NIFTY 50", "26035", ["25500", "26000", "26500"]),
    ("NIFTY", "", "NFO:NIFTY39AUGFUT", "27010", ["26500", "27000", "27500"]),
    ("NIFTY", "", "NIFTY", "27010", ["26500", "27000", "27500"]),
]


@pytest.mark.parametrize(("underlying", "segment", "source", "price", "strikes"), SOURCES)
async def test_chain_lies_around_its_underlyings_price(
    client: Client,
    redis: Redis,
    underlying: str,
    segment: str,
    source: str,
    price: str,
    strikes: list[str],
) -> None:
    """An underlying is mapped to its index, share, spot or nearest future, and that is reported."""
    await show(redis, "NSE_EQ:GOLD", "9")
    await show(redis, source, price)
    answer = await subscribe(client, underlying, segment=segment)
    assert strikes_of(answer["symbols"]) == strikes
    chain = answer["chain"]
    assert (chain["price_of"], chain["price"]) == (source, float(price))
    assert str(chain["strike"]) == strikes[1] and chain["follow"] is False
    assert chain["expiry"] == "2039-08-25"


async def test_price_that_is_much_older_is_passed_over(client: Client, redis: Redis) -> None:
    """An index that was published long before the future gives way to it."""
    await show(redis, "NIFTY 50", "23000")
    await show(redis, "NFO:NIFTY39AUGFUT", "26100", 3_700_000)
    answer = await subscribe(client, "NIFTY")
    assert answer["chain"]["price_of"] == "NFO:NIFTY39AUGFUT"


async def test_chain_without_a_price_says_so(client: Client) -> None:
    """Without a price the middle strikes are subscribed, and no price is reported."""
    answer = await subscribe(client, "NIFTY")
    assert (answer["chain"]["price_of"], answer["chain"]["price"]) == (None, None)
    assert answer["chain"]["strike"] == 26000
    whole = await subscribe(client, "USDINR", None)
    assert len(whole["symbols"]) == 30
    assert whole["chain"] == {"segment": "CDS", "underlying": "USDINR", "expiry": "2039-08-25"}


async def test_chain_follows_the_money(client: Client, redis: Redis) -> None:
    """With `follow`, strikes come and go with the money, with their prices; swings move none."""
    await show(redis, "NIFTY 50", "26035")
    await show(redis, "NFO:NIFTY39AUG27000CE", "11.5")
    answer = await subscribe(client, "NIFTY", follow=True)
    assert answer["chain"]["follow"] is True and answer["subscriptions"] == 6
    for at, price in enumerate(("26260", "26240", "26370", "26130"), 1):
        await show(redis, "NIFTY 50", price, at)  # within a quarter beyond the middle, and back
        await follow_now(redis, "NSE_INDEX:NIFTY 50", price)
    await show(redis, "NIFTY 50", "26380", 9)
    moved = await next_chain(client)
    assert (moved["price"], moved["strike"], moved["subscriptions"]) == (26380, 26500, 6)
    assert moved["added"] == ["NFO:NIFTY39AUG27000CE", "NFO:NIFTY39AUG27000PE"]
    assert moved["removed"] == ["NFO:NIFTY39AUG25500CE", "NFO:NIFTY39AUG25500PE"]
    assert (await client.price())["price"] == 11.5
    await show(redis, "NFO:NIFTY39AUG25500CE", "1")
    await show(redis, "NFO:NIFTY39AUG27000PE", "2")
    assert (await client.price())["symbol"] == "NIFTY39AUG27000PE"
    await show(redis, "NIFTY 50", "26120", 10)
    assert (await next_chain(client))["strike"] == 26000


async def follow_now(redis: Redis, key: str, price: str) -> None:
    """Have the chains follow a price, without waiting for the next second."""
    await eventually(
        lambda: f'"price":{price}'.encode() in (redis.hget("quotes:latest", key) or b"")
    )
    chains = (await current_feed()).chain_prices
    chains.follow(await chains._read())


async def next_chain(client: Client) -> Frame:
    while True:
        frame = await client.receive()
        if frame.get("type") == "chain":
            return frame


async def test_chain_that_does_not_follow_reports_that_the_money_moved(
    client: Client, redis: Redis
) -> None:
    """Without `follow` a frame names the new strike at the money; nothing else changes."""
    await show(redis, "NIFTY 50", "26035")
    answer = await subscribe(client, "NIFTY")
    await show(redis, "NIFTY 50", "27600", 1)
    moved = await next_chain(client)
    assert (moved["strike"], moved["follow"]) == (27500, False)
    assert (moved["added"], moved["removed"], moved["subscriptions"]) == ([], [], 6)
    listed = await client.ask(action="list")
    assert listed["symbols"] == answer["symbols"]


async def test_what_a_client_named_itself_stays(client: Client, redis: Redis) -> None:
    """A chain takes away no option that the client subscribed to, or keeps out by unsubscribing."""
    await show(redis, "NIFTY 50", "26000")
    mine = ["NFO:NIFTY39AUG25500CE", "NFO:NIFTY39AUG26000PE"]
    await client.subscribe(mine[0])
    await subscribe(client, "NIFTY", follow=True)
    assert (await client.subscribe(mine[1]))["rejected"][0]["code"] == 409
    await client.ask(action="unsubscribe", symbol="NFO:NIFTY39AUG26500PE")
    await show(redis, "NIFTY 50", "26500", 1)
    moved = await next_chain(client)
    assert moved["removed"] == ["NFO:NIFTY39AUG25500PE"]
    await show(redis, "NIFTY 50", "29000", 2)
    moved = await next_chain(client)
    listed = (await client.ask(action="list"))["symbols"]
    assert set(mine) <= set(listed) and len(listed) == 8
    assert "NFO:NIFTY39AUG26500PE" not in moved["removed"]


async def test_chain_is_unsubscribed_by_its_underlying(client: Client, redis: Redis) -> None:
    """`unsubscribe` with the underlying ends the chain and leaves its options."""
    await show(redis, "NIFTY 50", "26000")
    answer = await subscribe(client, "NIFTY", follow=True)
    await client.subscribe("RELIANCE")
    wrong = await client.ask(action="unsubscribe", underlying="BANKNIFTY")
    assert (wrong["type"], wrong["code"]) == ("error", 404)
    gone = await client.ask(action="unsubscribe", underlying="nifty", segment="nfo")
    assert (gone["symbols"], gone["subscriptions"]) == (answer["symbols"], 1)
    feed = await current_feed()
    chains = feed.chain_prices
    await chains._read()
    assert not chains.followers


async def test_chain_ends_with_the_last_of_its_options(client: Client, redis: Redis) -> None:
    """A client that leaves all options one by one is sent no more of the chain."""
    answer = await subscribe(client, "NIFTY", 0, follow=True)
    await client.ask(action="unsubscribe", symbols=answer["symbols"])
    chains = (await current_feed()).chain_prices
    await chains._read()
    assert not chains.followers


async def test_moving_within_the_symbol_limit(
    live: LiveServer, redis: Redis, settings: Any
) -> None:
    """A chain that moves at the limit of symbols leaves before it takes."""
    settings.QUOTES_MAX_SYMBOLS = 6
    await show(redis, "NIFTY 50", "26000")
    async with live.client() as limited:
        await subscribe(limited, "NIFTY", follow=True)
        await show(redis, "NIFTY 50", "28000", 1)
        moved = await next_chain(limited)
    assert len(moved["added"]) == len(moved["removed"]) == 6 and moved["subscriptions"] == 6


async def test_chain_follows_the_master(
    client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strikes that the exchange adds in between are taken up."""
    await show(redis, "NIFTY 50", "26000")
    await subscribe(client, "NIFTY", follow=True)
    rows = [nifty50_index()]
    rows += [option("NFO", "NIFTY", str(each), "CE") for each in range(22000, 30250, 250)]
    monkeypatch.setattr(index, "_snapshot", snapshot_of(*rows))
    master_changed()
    moved = await next_chain(client)
    assert moved["added"] == ["NFO:NIFTY39AUG25750CE", "NFO:NIFTY39AUG26250CE"]


@pytest.mark.parametrize(
    "wrong", [{"follow": True}, {"follow": "yes", "strikes_around": 1}, {"underlying": "NIFTTY"}]
)
async def test_wrong_requests_are_refused(client: Client, wrong: dict[str, Any]) -> None:
    """Following needs strikes around the money, and an underlying that exists."""
    answer = await client.ask(action="subscribe", **{"underlying": "NIFTY", **wrong})
    assert answer["type"] == "error" and answer["code"] in (400, 404)


async def test_chain_resumes_by_the_keys_of_its_options(client: Client, redis: Redis) -> None:
    """`since` may name the options of a chain; the client has them by the chain all the same."""
    await show(redis, "NIFTY 50", "26000")
    key = "NFO:NIFTY39AUG26000CE"
    await show(redis, key, "100")
    await subscribe(client, "NIFTY", follow=True, seq=True)
    first = await client.price()
    await client.ask(action="unsubscribe", underlying="NIFTY")
    for at in (1, 2):
        await show(redis, key, f"10{at}", at)
    since = {key: {"epoch": first["epoch"], "seq": first["seq"]}}
    await subscribe(client, "NIFTY", follow=True, since=since)
    resumed = await client.receive()
    assert (resumed["type"], resumed["symbol"], resumed["ticks"]) == ("resumed", key, 2)
    assert [(await client.price())["price"] for _ in range(2)] == [101, 102]
    left = await client.ask(action="unsubscribe", underlying="NIFTY")
    assert left["subscriptions"] == 0
