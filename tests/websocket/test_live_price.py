"""The public contract of /live-price, over real sockets."""

import asyncio
import json

import pytest
from redis import Redis
from websockets.exceptions import ConnectionClosed

from tests.live import LiveServer
from tests.ticks import MOMENT, message, publish
from tests.waiting import eventually

# The contract holds on any ASGI server, with prepared frames or without.
pytestmark = pytest.mark.parametrize("live", ["wire", "asgi"], indirect=True)


async def test_first_versions_example_works_unchanged(live: LiveServer, redis: Redis) -> None:
    """A subscriber of AAPL gets exactly what was published, digits and all."""
    async with live.client() as client:
        await client.send(action="subscribe", symbol="AAPL")
        assert (await client.receive())["type"] == "subscribed"
        text = '{"symbol":"AAPL","price":189.45,"timestamp":1712331900000}'
        publish(redis, "AAPL", text)
        assert await client.receive_text() == text


async def test_subscribe_sends_the_latest_tick_first(live: LiveServer, redis: Redis) -> None:
    """The value of stock:AAPL comes first, then every message of the channel."""
    publish(redis, "AAPL", message(price="1.10"))
    async with live.client() as client:
        await client.subscribe("AAPL")
        assert (await client.price())["price"] == 1.1
        publish(redis, "AAPL", message(price="1.20"))
        assert (await client.price())["price"] == 1.2
        async with live.client() as second:
            await second.subscribe("AAPL")
            assert (await second.price())["price"] == 1.2


async def test_value_that_was_only_set_is_sent_on_subscribe(live: LiveServer, redis: Redis) -> None:
    """A publisher that SETs without PUBLISH is served on subscribe."""
    redis.set("stock:TCS", message("TCS", "3900.05"))
    async with live.client() as client:
        await client.subscribe("TCS")
        assert (await client.price())["price"] == 3900.05


@pytest.mark.parametrize("symbol", ["M&M", "NIFTY 50", "BAJAJ-AUTO", "360ONE", "A" * 64, "é/₹"])
async def test_symbols_of_the_market_stream(live: LiveServer, redis: Redis, symbol: str) -> None:
    """A symbol with &, space, dash or letters of any script is a stream."""
    async with live.client() as client:
        answer = await client.subscribe(symbol)
        assert answer["symbols"] == [symbol] and answer["rejected"] == []
        publish(redis, symbol, message(symbol, "7"))
        assert (await client.price())["symbol"] == symbol


async def test_acknowledgement_lists_what_was_taken_and_what_not(live: LiveServer) -> None:
    """Each symbol of a subscribe is in the acknowledgement, with a code when it is refused."""
    async with live.client() as client:
        answer = await client.subscribe("A", "B", "A", "*", "", "x\x00y", id=7)
        assert answer["type"] == "subscribed" and answer["id"] == 7
        assert answer["symbols"] == ["A", "B"] and answer["subscriptions"] == 2
        assert [(one["symbol"], one["code"]) for one in answer["rejected"]] == [
            ("*", 400),
            ("", 400),
            ("x\x00y", 400),
        ]
        again = await client.subscribe("B", "C")
        assert again["symbols"] == ["C"] and again["subscriptions"] == 3
        assert [(one["symbol"], one["code"]) for one in again["rejected"]] == [("B", 409)]
        listed = await client.ask(action="list", id="x")
        assert listed == {
            "type": "subscriptions",
            "id": "x",
            "symbols": ["A", "B", "C"],
            "subscriptions": 3,
        }
        gone = await client.ask(action="unsubscribe", symbols=["A", "Z"])
        assert gone["type"] == "unsubscribed" and gone["symbols"] == ["A"]
        assert gone["rejected"][0]["symbol"] == "Z" and gone["subscriptions"] == 2
        assert (await client.ask(action="ping", id=1))["type"] == "pong"


async def test_unsubscribed_symbol_is_silent(live: LiveServer, redis: Redis) -> None:
    """After the acknowledgement of an unsubscribe no price of the symbol comes."""
    async with live.client() as client:
        await client.subscribe("A", "B")
        await client.ask(action="unsubscribe", symbol="A")
        publish(redis, "A", message("A"))
        publish(redis, "B", message("B"))
        assert (await client.price())["symbol"] == "B"


async def test_symbol_limit_is_refused_with_405(
    live: LiveServer, settings: pytest.FixtureRequest
) -> None:
    """Beyond QUOTES_MAX_SYMBOLS each symbol is refused, and the rest is served."""
    settings.QUOTES_MAX_SYMBOLS = 2  # type: ignore[attr-defined]
    async with live.client() as client:
        answer = await client.subscribe("A", "B", "C")
        assert answer["symbols"] == ["A", "B"]
        assert answer["rejected"][0]["code"] == 405


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", 400),
        ("not json", 400),
        ("[]", 400),
        ("5", 400),
        ("null", 400),
        ('"subscribe"', 400),
        ("{}", 400),
        ('{"action":5}', 410),
        ('{"action":"fly"}', 410),
        ('{"action":"subscribe"}', 400),
        ('{"action":"subscribe","symbol":5}', 400),
        ('{"action":"subscribe","symbols":"A"}', 400),
        ('{"action":"subscribe","symbols":[1]}', 400),
        ('{"action":"ping","id":{}}', 400),
        ('{"action":"ping","id":"' + "x" * 65 + '"}', 400),
        ("[" * 50_000, 400),
        ('{"action":' + '{"a":' * 10_000 + "1" + "}" * 10_001, 400),
        ('{"action":"ping","id":"\ud800"}'.encode("utf-8", "ignore").decode(), 0),
        (b"\x00\xff", 400),
    ],
)
async def test_bad_message_is_an_answer(live: LiveServer, text: str | bytes, code: int) -> None:
    """A message that is not valid is answered with its code; the connection stays open."""
    async with live.client() as client:
        await client.connection.send(text)
        answer = await client.receive()
        if code:
            assert answer["type"] == "error" and answer["code"] == code and answer["message"]
        assert (await client.ask(action="ping"))["type"] == "pong"


async def test_message_too_large_is_refused(live: LiveServer) -> None:
    """A message of 1 MB gets an error, or the close code of the standard."""
    async with live.client() as client:
        await client.connection.send('{"action":"ping","pad":"' + "x" * 1_000_000 + '"}')
        try:
            assert (await client.receive())["code"] == 400
        except ConnectionClosed as closed:
            assert closed.rcvd is not None and closed.rcvd.code == 1009


async def test_too_many_messages_are_refused_with_429(
    live: LiveServer, settings: pytest.FixtureRequest
) -> None:
    """Above the rate messages are answered with 429; a client that goes on is closed with 4429."""
    settings.QUOTES_MAX_MESSAGES_PER_S = 1  # type: ignore[attr-defined]
    async with live.client() as client:
        for _ in range(5):
            await client.send(action="ping")
        answers = [await client.receive() for _ in range(5)]
        assert [answer["type"] for answer in answers] == ["pong"] * 4 + ["error"]
        assert answers[-1]["code"] == 429
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                for _ in range(20):  # at once: a slow machine sends one by one below the rate
                    await client.send(action="ping")
                for _ in range(20):
                    await client.receive()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4429


async def test_subscribe_under_load_has_no_gap_and_no_repeat(
    live: LiveServer, redis: Redis
) -> None:
    """Whoever subscribes while ticks come gets each from its first one on, once, in order."""
    total = 1500
    done = asyncio.Event()

    async def publish_all() -> None:
        for number in range(total):
            publish(redis, "BUSY", message("BUSY", str(number), MOMENT + number))
            if number % 5 == 0:
                await asyncio.sleep(0)
        done.set()

    async def watch(delay: int) -> None:
        async with live.client() as client:
            await eventually(lambda: last_number(live) >= delay)
            await client.subscribe("BUSY")
            first = int((await client.price())["price"])
            expected = first
            while expected < total - 1:
                expected += 1
                assert (await client.price())["price"] == expected

    publisher = asyncio.create_task(publish_all())
    await asyncio.gather(*(watch(delay) for delay in (0, 50, 100, 300, 600, 900)))
    await publisher
    assert done.is_set()


def last_number(live: LiveServer) -> int:
    return live.bridges[0][0].market.counters.shown


async def test_group_membership_ends_with_the_connection(live: LiveServer) -> None:
    """Closed, aborted or broken off, a connection leaves no member of any group."""
    async with live.client() as client:
        await client.subscribe("A", "B")
        assert len(live.layer.local_groups()) == 2
    await eventually(lambda: not live.layer.local_groups())
    async with live.client() as client:
        await client.subscribe("A")
        client.connection.transport.abort()
        await eventually(lambda: not live.layer.local_groups())


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://127.0.0.1:{port}", True),
        ("http://127.0.0.1:1", False),
        ("https://evil.example", False),
        ("null", False),
        ("http://[", False),
        ("https://app.example", True),
    ],
)
async def test_pages_of_foreign_sites_are_refused(
    live: LiveServer, settings: pytest.FixtureRequest, origin: str | None, allowed: bool
) -> None:
    """A missing Origin is let in, the server's own and the allowed ones are, others are not."""
    settings.QUOTES_ALLOWED_ORIGINS = "https://app.example"  # type: ignore[attr-defined]
    text = origin and origin.format(port=live.port)
    try:
        async with live.client(origin=text) as client:
            await client.ask(action="ping")
            accepted = True
    except Exception as error:
        assert "403" in str(error)
        accepted = False
    assert accepted is allowed


@pytest.mark.parametrize("origin", ["null", "file://", "http://localhost:5173"])
async def test_pages_of_this_machine_may_connect_where_the_setting_says_so(
    live: LiveServer, settings: pytest.FixtureRequest, origin: str
) -> None:
    """A file in a browser, and a development server on another port."""
    settings.QUOTES_LOCAL_ORIGINS = True  # type: ignore[attr-defined]
    async with live.client(origin=origin) as client:
        assert (await client.ask(action="ping"))["type"] == "pong"


async def test_published_rubbish_stops_nothing(live: LiveServer, redis: Redis) -> None:
    """A publication that is no tick is counted and dropped; the next tick is shown."""
    async with live.client() as client:
        await client.subscribe("AAPL")
        for rubbish in (b"", b"\xff", b"[]", b"{}", b'{"price":NaN}', b"x" * 20_000):
            redis.publish("stock:AAPL", rubbish)
        redis.publish(b"stock:\xff", message())
        redis.publish("stock:AAPL", message("MSFT"))
        publish(redis, "AAPL", message())
        assert (await client.price())["price"] == 189.45
        assert live.bridges[0][0].market.counters.bad == 8


async def test_older_tick_is_not_shown(live: LiveServer, redis: Redis) -> None:
    """Newest wins: an older tick is stale, an equally old one passes."""
    async with live.client() as client:
        await client.subscribe("AAPL")
        for price, timestamp in (("1", 5), ("2", 4), ("3", 5), ("4", 6)):
            publish(redis, "AAPL", message(price=price, timestamp=MOMENT + timestamp))
        assert [(await client.price())["price"] for _ in range(3)] == [1, 3, 4]
        assert live.bridges[0][0].market.counters.stale == 1


async def test_frames_are_text_and_json(live: LiveServer, redis: Redis) -> None:
    """More keys follow the three, unknown ones unchanged, and a price has no type."""
    async with live.client() as client:
        await client.subscribe("AAPL")
        publish(redis, "AAPL", message(volume=5, type="trap", note={"deep": [1.50, "é"]}))
        frame = json.loads(await client.receive_text())
        assert frame == {
            "symbol": "AAPL",
            "price": 189.45,
            "timestamp": MOMENT,
            "volume": 5,
            "note": {"deep": [1.5, "é"]},
        }


async def test_price_of_zero_of_a_share_is_not_shown(live: LiveServer, redis: Redis) -> None:
    """It is no trade: the last price stays, for subscribers and for new ones."""
    name = "NSE_EQ:RELIANCE"
    redis.set(f"stock:{name}", message("RELIANCE", "0", MOMENT))
    async with live.client() as client:
        await client.subscribe(name, "AAPL")
        publish(redis, name, message("RELIANCE", "2950.5", MOMENT))
        for price in ("0", "-1", "0.00"):
            publish(redis, name, message("RELIANCE", price, MOMENT + 1))
        publish(redis, "AAPL", message("AAPL", "0", MOMENT))
        assert (await client.price())["price"] == 2950.5
        shown = await client.price()
        assert (shown["symbol"], shown["price"]) == ("AAPL", 0)
        async with live.client() as second:
            await second.subscribe(name)
            assert (await second.price())["price"] == 2950.5
