"""History over the WebSocket: numbers, last ticks, resuming without a gap, and candles."""

import asyncio
import json
import random
import threading
from typing import Any

import pytest
from django.db import DatabaseError, connections
from redis import Redis
from websockets.exceptions import ConnectionClosed

from instruments.keys import InstrumentKey
from quotes.history.recording.announcements import Announcer
from quotes.history.router import ALIAS
from quotes.publish.publishing import forget_prices, publish_ticks
from quotes.runtime.clock import DAY_MS, now_ms
from quotes.store.group_names import candle_group
from quotes.store.names import own_key
from quotes.store.positions import StreamPosition
from quotes.ticks import Tick
from quotes.websocket.delivery.day_fields import day_fields
from quotes.websocket.feed import stream_history
from quotes.websocket.feed.feed import current_feed
from quotes.websocket.protocol import CloseCode, Since
from tests.history.conftest import HistoryDatabase
from tests.history.logs import record
from tests.live import Client, LiveServer
from tests.ticks import MOMENT, tick
from tests.waiting import DEADLINE_S, eventually


@pytest.fixture
def stored(history: HistoryDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database of history that threads find too."""
    values = connections[ALIAS].settings_dict
    monkeypatch.setitem(connections.settings, ALIAS, values)


async def publish(redis: Redis, *ticks: Tick) -> None:
    """Publish, and wait until the bridge has logged it."""
    before = int(redis.get("quotes:log:1:n") or 0)
    publish_ticks(ticks, client=redis)
    await eventually(lambda: int(redis.get("quotes:log:1:n") or 0) >= before + len(ticks))


def ticks(first: int, last: int, symbol: str = "A") -> list[Tick]:
    """Return ticks whose prices are these numbers."""
    return [tick(symbol, str(number), MOMENT + number) for number in range(first, last + 1)]


async def resume(client: Client, symbol: str, since: dict[str, int]) -> dict[str, Any]:
    """Subscribe from a number on and return what is said of it."""
    ack = await client.subscribe(symbol, since=since, seq=True)
    assert ack["type"] == "subscribed", ack
    frame = await client.receive()
    assert frame["type"] == "resumed" and frame["symbol"] == symbol
    return frame


async def test_prices_have_numbers_for_who_asks(live: LiveServer, redis: Redis) -> None:
    """With seq each price has its epoch and number, in every mode; others get none."""
    async with live.client() as client, live.client() as plain:
        await plain.subscribe("A")
        await client.subscribe("A", seq=True)
        await publish(redis, *ticks(1, 2))
        first, second = await client.price(), await client.price()
        assert [first["seq"], second["seq"]] == [1, 2] and first["epoch"] == second["epoch"]
        answer = await client.ask(action="configure", mode="ltp")
        assert answer["seq"] is True
        await publish(redis, tick("A", "3", MOMENT + 3, bid=1))
        assert list(await client.price()) == ["symbol", "price", "timestamp", "epoch", "seq"]
        assert "seq" not in await plain.price()
        await client.ask(action="configure", seq=False, mode="full")
        await publish(redis, *ticks(4, 4))
        assert "seq" not in await client.price()


async def test_history_comes_before_what_is_live(live: LiveServer, redis: Redis) -> None:
    """The last ticks come in one frame, those that follow one by one; none twice, none missing."""
    await publish(redis, *ticks(1, 9), tick("A", "0", MOMENT))
    async with live.client() as client:
        await client.send(action="subscribe", symbols=["A", "B"], id=5, history={"ticks": 4})
        assert (await client.receive())["type"] == "subscribed"
        frame = await client.receive()
        assert frame["type"] == "history" and (frame["symbol"], frame["id"]) == ("A", 5)
        assert [one["price"] for one in frame["ticks"]] == [
            6,
            7,
            8,
            9,
        ]  # the late one was not shown
        assert (await client.receive())["ticks"] == []
        await publish(redis, *ticks(10, 11))
        assert [(await client.price())["price"] for _ in range(2)] == [10, 11]


async def test_missed_ticks_are_sent_on_return(live: LiveServer, redis: Redis) -> None:
    """Who comes back with its last number gets exactly what it missed, then what is live."""
    await publish(redis, *ticks(1, 5))
    async with live.client() as client:
        await client.subscribe("A", seq=True)
        last = await client.price()
    await publish(redis, *ticks(6, 900))
    since = {"epoch": last["epoch"], "seq": last["seq"]}
    async with live.client() as client:
        frame = await resume(client, "A", since)
        assert frame["recovered"] is True and frame["ticks"] == 895
        await publish(redis, *ticks(901, 902))
        prices = [await client.price() for _ in range(897)]
    assert [one["price"] for one in prices] == list(range(6, 903))
    assert [one["seq"] for one in prices] == list(range(6, 903))
    async with live.client() as client:  # and who missed nothing gets nothing twice
        since["seq"] = 902
        assert (await resume(client, "A", since))["ticks"] == 0
        await publish(redis, *ticks(903, 903))
        assert (await client.price())["price"] == 903


async def test_each_symbol_is_resumed_from_its_own_number(live: LiveServer, redis: Redis) -> None:
    """`since` may have a number for each symbol; one without gets its latest price."""
    await publish(redis, *ticks(1, 3, "A"), *ticks(1, 3, "B"), *ticks(1, 3, "C"))
    async with live.client() as client:
        await client.subscribe("A", "B", seq=True)
        epochs = {one["symbol"]: one["epoch"] for one in [await client.price() for _ in range(2)]}
    since = {name: {"epoch": epochs[name], "seq": seq} for name, seq in (("A", 1), ("B", 2))}
    async with live.client() as client:
        await client.send(action="subscribe", symbols=["A", "B", "C"], since=since)
        frames = [await client.receive() for _ in range(7)]
    said = [(one["symbol"], one.get("ticks", one.get("price"))) for one in frames[1:]]
    assert said == [("A", 2), ("A", 2), ("A", 3), ("B", 1), ("B", 3), ("C", 3)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"seq": 99}, "ahead"), ({"epoch": 5}, "started over"), ({"seq": 0}, "more than 3 ticks")],
)
async def test_what_cannot_be_recovered_is_said(
    live: LiveServer, redis: Redis, settings: Any, change: dict[str, int], reason: str
) -> None:
    """With the reason comes the latest price, as if it were the first subscription."""
    settings.QUOTES_RESUME_MAX_TICKS = 3
    await publish(redis, *ticks(1, 5))
    async with live.client() as client:
        await client.subscribe("A", seq=True)
        last = await client.price()
    async with live.client() as client:
        frame = await resume(client, "A", {"epoch": last["epoch"], "seq": 4} | change)
        assert frame["recovered"] is False and reason in frame["reason"] and frame["ticks"] == 0
        assert "retry" not in frame
        assert (await client.price())["price"] == 5


@pytest.mark.parametrize("is_slow", [False, True])
async def test_database_that_cannot_be_read_is_no_loss_for_good(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch, is_slow: bool
) -> None:
    """The frame asks the client to resume later; once the database answers, without `retry`."""
    is_over = threading.Event()

    def ticks_after(**position: Any) -> tuple[list[Any], bool]:
        if is_slow:
            is_over.wait(DEADLINE_S)
        raise DatabaseError("no space left, says postgres://user:secret@host")

    await publish(redis, *ticks(1, 5))
    async with live.client() as client:
        await client.subscribe("A", seq=True)
        since = {"epoch": (await client.price())["epoch"], "seq": 2}
    feed = await current_feed()
    monkeypatch.setattr(stream_history, "_QUERY_TIMEOUT_S", 0.1)
    with monkeypatch.context() as failing:
        failing.setattr(stream_history, "ticks_after", ticks_after)
        failing.setattr(feed.history.recent, "rows_of", lambda key: [])
        try:
            async with live.client() as client:
                frame = await resume(client, "A", since)
                assert (frame["recovered"], frame["retry"], frame["ticks"]) == (False, True, 0)
                assert "database cannot be read" in frame["reason"] and "secret" not in str(frame)
                assert (await client.price())["price"] == 5
        finally:
            is_over.set()
    async with live.client() as client:
        frame = await resume(client, "A", since)
        assert frame["recovered"] is True and "retry" not in frame
        assert [(await client.price())["price"] for _ in range(3)] == [3, 4, 5]


@pytest.mark.parametrize(
    ("epoch", "seq", "is_temporary"),
    [(0, 5, False), (0, 6, True), (1, 1, True), (-1, 9, False)],
)
async def test_client_may_have_heard_more_than_an_unreadable_log_shows(
    live: LiveServer, redis: Redis, epoch: int, seq: int, is_temporary: bool
) -> None:
    """While Redis does not answer, a later position is not wrong: it cannot be looked up."""
    await publish(redis, *ticks(1, 5))
    async with live.client() as client:
        await client.subscribe("A", seq=True)
        newest = StreamPosition((last := await client.price())["epoch"], last["seq"])
    history = (await current_feed()).history
    since = Since(newest.epoch + epoch, seq)
    key = InstrumentKey.parse("A")
    missed = await history.missed_ticks(key, since, newest, is_current=False)
    assert missed.retry is is_temporary
    assert not (await history.missed_ticks(key, since, newest)).retry


async def test_forgotten_numbers_are_not_recovered(live: LiveServer, redis: Redis) -> None:
    """After forget_price the numbering is another: nobody is told that nothing was missed."""
    await publish(redis, *ticks(1, 5))
    async with live.client() as client:
        await client.subscribe("A", seq=True)
        last = await client.price()
    forget_prices(["A"], client=redis)
    await publish(redis, *ticks(1, 9))
    async with live.client() as client:
        frame = await resume(client, "A", {"epoch": last["epoch"], "seq": 5})
        assert frame["recovered"] is False


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"history": {"ticks": 0}}, "history"),
        ({"history": {"ticks": 1001}}, "at most 1000"),
        ({"since": {"epoch": 1}}, "since"),
        ({"since": {"A": {"epoch": -1, "seq": 2}}}, "since"),
        ({"candles": "2m"}, "interval"),
        ({"candles": "1w"}, "live candles"),
        ({"candles": "1m", "history": {"ticks": 5}}, "interval subscribed to"),
        ({"candles": "1m", "history": {"candles": {"interval": "5m", "count": 5}}}, "interval"),
        ({"candles": "1m", "history": {"candles": {"interval": "1m", "count": 5000}}}, "1000"),
    ],
)
async def test_wrong_wishes_get_a_clear_error(
    live: LiveServer, message: dict[str, Any], text: str
) -> None:
    """What is wrong with a wish for the past is named, and nothing is subscribed."""
    async with live.client() as client:
        answer = await client.ask(action="subscribe", symbol="A", **message)
        assert answer["code"] == 400 and text in answer["message"]
        assert (await client.ask(action="list"))["symbols"] == []


@pytest.mark.usefixtures("stored")
async def test_older_ticks_come_from_the_database(
    live: LiveServer, redis: Redis, settings: Any
) -> None:
    """What is no longer among the newest of the log is looked up where it was recorded."""
    await publish(redis, *ticks(1, 300))
    await asyncio.to_thread(record_here, redis)
    redis.xtrim("quotes:log:1", maxlen=0)
    await publish(redis, *ticks(301, 320))
    async with live.client() as client:
        await client.send(action="subscribe", symbol="A", seq=True, history={"ticks": 250})
        await client.receive()
        frame = await client.receive()
        assert [one["price"] for one in frame["ticks"]] == list(range(71, 321))
        epoch = frame["ticks"][0]["epoch"]
    async with live.client() as client:
        answer = await resume(client, "A", {"epoch": epoch, "seq": 100})
        assert (answer["recovered"], answer["ticks"]) == (True, 220)
        prices = [(await client.price())["seq"] for _ in range(220)]
    assert prices == list(range(101, 321))


def record_here(redis: Redis) -> None:
    record(redis, all_hours=True)
    connections[ALIAS].close()


@pytest.mark.usefixtures("stored")
async def test_a_gap_in_the_past_is_not_called_recovered(live: LiveServer, redis: Redis) -> None:
    """What neither the log nor the database has is not passed over in silence."""
    await publish(redis, *ticks(1, 300))
    redis.xtrim("quotes:log:1", maxlen=0)
    await publish(redis, *ticks(301, 320))
    async with live.client() as client:
        await client.subscribe("A", seq=True)
        last = await client.price()
    async with live.client() as client:
        answer = await resume(client, "A", {"epoch": last["epoch"], "seq": 100})
        assert answer["recovered"] is False and "no longer kept" in answer["reason"]
        assert (await client.price())["seq"] == 320


@pytest.mark.usefixtures("stored")
async def test_candles_come_as_they_were_and_as_they_form(live: LiveServer, redis: Redis) -> None:
    """Stored candles come in one frame, then each change, for the subscribed intervals alone."""
    await publish(redis, tick("A", "5", MOMENT), tick("A", "7", MOMENT + 60_000))
    await asyncio.to_thread(record_here, redis)
    wish = {"candles": {"interval": "1m", "count": 10}}
    async with live.client() as client:
        await client.send(action="subscribe", symbol="A", candles="1m", history=wish)
        ack = await client.receive()
        assert (ack["candles"], ack["symbols"], ack["subscriptions"]) == ("1m", ["A"], 1)
        past = await client.receive()
        assert past["type"] == "candles" and past["interval"] == "1m"
        assert [one["close"] for one in past["candles"]] == [5, 7]
        again = await client.ask(action="subscribe", symbol="A", candles="minute")
        assert again["rejected"][0]["code"] == 409
        key = InstrumentKey("", "A")
        texts = {"1m": '{"start":1,"close":8.50,"final":true}', "5m": '{"start":1,"close":9}'}
        message = {"type": "quote.candles", "key": "A", "candles": texts}
        await client.ask(action="configure", mode="ltp", seq=True)
        await live.layer.group_send(candle_group(key), message)
        live_one = await client.receive()
        assert live_one == {
            "type": "candle",
            "key": "A",
            "interval": "1m",
            "start": 1,
            "close": 8.5,
            "final": True,
        }
        gone = await client.ask(action="unsubscribe", symbol="A", candles="1m")
        assert (gone["symbols"], gone["subscriptions"]) == (["A"], 0)
        await live.layer.group_send(candle_group(key), message)
        assert (await client.ask(action="ping"))["type"] == "pong"
        assert not live.layer.local_groups()


@pytest.mark.usefixtures("stored")
async def test_candles_that_were_missed_are_sent_after_a_reconnect(
    live: LiveServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A web server that was cut off from Redis sends the candle that forms and the one before."""
    await publish(redis, tick("A", "5", MOMENT), tick("A", "6", MOMENT + 60_000))
    await asyncio.to_thread(record_here, redis)
    async with live.client() as client, live.client() as other:
        await client.subscribe("A", "B", candles="1m")
        await client.subscribe("A", candles="5m")
        await other.subscribe("A", candles="1m")
        with monkeypatch.context() as patch:
            patch.setattr(Announcer, "send_due", lambda announcer: None)
            await publish(redis, tick("A", "7", MOMENT + 61_000))
            await asyncio.to_thread(record_here, redis)
        await (await current_feed()).refresh()
        frames = [await client.receive() for _ in range(3)]
        found = [(frame["interval"], frame["close"]) for frame in frames]
        assert sorted(found) == [("1m", 5), ("1m", 7), ("5m", 7)]
        assert found.index(("1m", 5)) < found.index(("1m", 7))
        assert [(await other.receive())["close"] for _ in range(2)] == [5, 7]


@pytest.mark.usefixtures("stored")
async def test_quotes_say_what_is_known_of_the_day(live: LiveServer, redis: Redis) -> None:
    """What the publisher did not send of the day comes from what was recorded, digit for digit."""
    await publish(redis, tick("A", "100.00", MOMENT - DAY_MS))
    await publish(redis, tick("A", "101.50", MOMENT, volume=10), tick("A", "99.05", MOMENT + 1))
    await asyncio.to_thread(record_here, redis)
    async with live.client() as client:
        await client.ask(action="configure", mode="quote")
        await client.subscribe("A")
        await client.price()
        await eventually(lambda: day_fields.days)
        await publish(redis, tick("A", "102.10", MOMENT + 2, low=1), tick("A", "101", MOMENT + 3))
        quote, after = await client.price(), await client.price()
        assert {name: quote[name] for name in quote if name not in ("symbol", "timestamp")} == {
            **{"price": 102.1, "low": 1, "open": 101.5, "high": 102.1, "prev_close": 100.0},
            **{"volume": 10, "change": 2.1, "change_pct": 2.1},
        }
        assert (after["high"], after["low"], after["change"]) == (102.1, 99.05, 1)
        await publish(redis, tick("A", "103", MOMENT + DAY_MS))  # of a day not recorded
        assert "open" not in await client.price()


@pytest.mark.usefixtures("stored")
async def test_tick_a_day_ahead_leaves_no_day_of_tomorrow(
    live: LiveServer, redis: Redis, settings: Any
) -> None:
    """When it is forgotten, the statistics are those of today, and stay so at each start."""
    settings.QUOTES_MAX_AHEAD_S = 2 * DAY_MS // 1000
    now = now_ms()
    await publish(redis, Tick("A", "999", now + DAY_MS))
    await asyncio.to_thread(record_here, redis)
    await asyncio.to_thread(forget_prices, ["A"], client=redis)
    await asyncio.to_thread(record_here, redis)
    assert not redis.hexists(own_key("day"), "A")
    await publish(redis, tick("A", "100", now))
    for _ in range(2):
        await asyncio.to_thread(record_here, redis)
        day = json.loads(redis.hget(own_key("day"), "A") or b"")
        assert (day["high"], day["prev_close"]) == (100, None)


@pytest.mark.slow
async def test_a_hundred_returns_leave_no_gap(live: LiveServer, redis: Redis) -> None:
    """Who loses its connection a hundred times during a replay has every tick once, in order."""
    rng = random.Random(7)
    symbols = ("A", "B", "C")
    got: dict[str, list[int]] = {name: [] for name in symbols}
    since: dict[str, dict[str, int]] = {}
    total = 7_500

    async def take(client: Client, least: int) -> None:
        count = 0
        while count < least and sum(map(len, got.values())) < total:
            frame = await client.receive()
            if frame.get("type") == "resumed":
                assert frame["recovered"], str(frame)
            elif "type" not in frame:
                name = frame["symbol"]
                got[name].append(frame["seq"])
                since[name] = {"epoch": frame["epoch"], "seq": frame["seq"]}
                count += 1

    async def stay(least: int) -> None:
        """Come back, take at least so many prices, and lose the connection."""
        async with live.client() as client:
            wish = {"seq": True, "since": since, "conflate": False}
            await client.send(action="subscribe", symbols=list(symbols), **wish)
            try:
                await take(client, least)
            except ConnectionClosed as closed:
                # The other way to lose it: this program was slow, and is told to resume.
                assert closed.rcvd and closed.rcvd.code == CloseCode.TOO_SLOW_FOR_EVERY_TICK
            client.connection.transport.abort()

    await publish(redis, *(tick(name, "1", MOMENT) for name in symbols))
    await stay(3)  # the first price of each
    published = asyncio.create_task(replay(redis, symbols, total // 3))
    for _ in range(100):
        await stay(rng.randrange(1, 200))
    async with asyncio.timeout(DEADLINE_S):
        await published
        while sum(map(len, got.values())) < total:
            await stay(total)
    for name in symbols:
        assert got[name] == list(range(1, total // 3 + 1))


async def replay(redis: Redis, symbols: tuple[str, ...], count: int) -> None:
    """Publish in small pieces while others work."""
    for first in range(2, count + 1, 25):
        numbers = range(first, min(first + 25, count + 1))
        publish_ticks(
            [tick(name, str(n), MOMENT + n) for n in numbers for name in symbols], client=redis
        )
        await asyncio.sleep(0)
