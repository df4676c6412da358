"""Delayed prices: clients entitled to them get what the log had then, and no sooner."""

import asyncio
import json
import re
from typing import Any

import msgspec
import pytest
from redis import Redis

from instruments.index import index
from quotes.access.models import SegmentGrant
from quotes.history.candles.intervals import Interval
from quotes.history.queries.ranges import TimeRange
from quotes.history.rest.parameters import visible
from quotes.runtime.clock import DAY_MS, india_time, now_ms
from quotes.store.clients import async_client
from quotes.store.tick_log import LoggedTick
from quotes.websocket.delivery.day_fields import day_fields
from quotes.websocket.feed import delayed
from quotes.websocket.feed.delayed import DelayedReader
from quotes.websocket.feed.feed import current_feed, master_changed
from tests.access.people import access_token, asha
from tests.conftest import In
from tests.instruments.factories import equity, snapshot_of
from tests.live import LiveServer
from tests.test_protocol_docs import TEXT
from tests.ticks import message, publish
from tests.waiting import eventually

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("required"),
]

KEY = "NFO:NIFTY26AUGFUT"
MINUTES = 15


def log(redis: Redis, at: int, *prices: str, shown: bool = True, key: str = KEY) -> None:
    """Put ticks into the log as a bridge did at that time."""
    rows = [
        LoggedTick(key, 1, n, at, message(key.split(":")[-1], price, at).encode(), shown, at)
        for n, price in enumerate(prices, 1)
    ]
    redis.xadd("quotes:log:1", {"n": 1, "7": msgspec.msgpack.encode(rows)}, id=f"{at}-0")


def documented(part: str) -> dict[str, Any]:
    """Return the frame of docs/protocol.md that has a part."""
    frames = re.findall(r"^```json frame\n(.*?)\n```$", TEXT, re.MULTILINE)
    (text,) = (frame for frame in frames if part in frame)
    found: dict[str, Any] = json.loads(text)
    return found


async def test_delayed_ticks_come_from_the_log(
    live: LiveServer, redis: Redis, database: In
) -> None:
    """The last price of that time comes first, later ticks when their time has come, none live."""
    user = await database(lambda: asha("NFO", delay_minutes=MINUTES))
    token = await database(access_token, user)
    async with (
        live.client(additional_headers={"Authorization": f"Bearer {token}"}) as client,
        asyncio.timeout(10),
    ):
        first = await client.receive()
        assert first["delayed"] == {"NFO": MINUTES}
        assert list(first) == list(documented('"type":"authenticated"'))
        assert list(first["limits"]) == list(documented('"type":"authenticated"')["limits"])
        now = now_ms()
        then = now - MINUTES * 60_000
        log(redis, then - 60_000, "100", "101")
        log(redis, then - 30_000, "99", shown=False)
        log(redis, then + 1_500, "102", "103")
        log(redis, then + 600_000, "104")
        answer = await client.subscribe(KEY)
        assert (answer["symbols"], answer["subscriptions"]) == ([KEY], 1)
        publish(redis, KEY, message("NIFTY26AUGFUT", "999"))
        assert (await client.price())["price"] == 101
        assert now_ms() < then + MINUTES * 60_000 + 1_500
        assert [(await client.price())["price"] for _ in range(2)] == [102, 103]
        assert now_ms() >= then + MINUTES * 60_000 + 1_500
        # A second one finds the last price of the reader that is there.
        await client.ask(action="configure", interval_ms=20)
        async with live.client(additional_headers={"Authorization": f"Bearer {token}"}) as second:
            await second.subscribe(KEY)
            assert (await second.price())["price"] == 103
        # From now on in real time: what is live comes.
        await database(SegmentGrant.objects.filter(user=user).update, delay_minutes=0)
        while (status := await client.receive()).get("status") != "entitlements_changed":
            pass
        assert list(status) == list(documented('"status":"entitlements_changed"'))
        await eventually(lambda: redis.hexists("quotes:latest", KEY))
        assert (await client.price())["price"] == 999
        assert (await client.ask(action="list"))["symbols"] == [KEY]
        # And late again: the price of now comes no more.
        await database(SegmentGrant.objects.filter(user=user).update, delay_minutes=MINUTES)
        while (await client.receive()).get("status") != "entitlements_changed":
            pass
        publish(redis, KEY, message("NIFTY26AUGFUT", "1000"))
        assert (await client.ask(action="unsubscribe", symbol=KEY))["symbols"] == [KEY]


async def test_delayed_prices_follow_a_name_that_the_master_learns(
    live: LiveServer, redis: Redis, database: In, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ticks logged under the bare name come to their end, none twice, and those of the key follow.

    A name that becomes an instrument of which the user may see nothing is reported as dropped.
    """
    monkeypatch.setattr(index, "_snapshot", snapshot_of())
    then = now_ms() - MINUTES * 60_000
    log(redis, then - 60_000, "100", key="TCS")
    log(redis, then + 1_500, "101", key="TCS")
    log(redis, then + 2_000, "102", key="NSE_EQ:TCS")
    user = await database(lambda: asha("OTHER", "NSE_EQ", delay_minutes=MINUTES))
    token = await database(access_token, user)
    async with (
        live.client(additional_headers={"Authorization": f"Bearer {token}"}) as client,
        asyncio.timeout(10),
    ):
        await client.receive()
        await client.subscribe("TCS", "GOLD")
        assert (await client.price())["price"] == 100
        gold = equity("GOLD", segment="MCX")
        monkeypatch.setattr(index, "_snapshot", snapshot_of(equity("TCS"), gold))
        master_changed()
        status = await client.receive()
        assert (status["status"], status["dropped"]) == ("entitlements_changed", ["MCX:GOLD"])
        assert [(await client.price())["price"] for _ in range(2)] == [101, 102]
        assert (await client.ask(action="list"))["symbols"] == ["NSE_EQ:TCS"]
        (reader,) = (await current_feed()).delayed._readers.values()
        assert set(reader._receivers) == {"TCS", "NSE_EQ:TCS"}
        await client.ask(action="unsubscribe", symbol="TCS")
        assert not reader._receivers


async def test_delayed_quotes_have_nothing_of_now(
    live: LiveServer, redis: Redis, database: In
) -> None:
    """The day's statistics, which the process reads for clients without delay, are left out."""
    then = now_ms() - MINUTES * 60_000
    log(redis, then - 1000, "100")
    day = india_time(then - 1000).date().isoformat()
    stored = {"date": day, "open": 1, "high": 999, "low": 1, "prev_close": 80, "volume": 7}
    day_fields.take(KEY, json.dumps(stored).encode())
    user = await database(lambda: asha("NFO", delay_minutes=MINUTES))
    token = await database(access_token, user)
    async with live.client(additional_headers={"Authorization": f"Bearer {token}"}) as client:
        await client.receive()
        await client.ask(action="configure", mode="quote")
        await client.subscribe(KEY)
        assert not (await client.price()).keys() & {*stored, "change", "change_pct"}
    assert KEY not in day_fields.wanted
    day_fields.take(KEY, None)


async def test_first_price_after_a_rest_is_of_that_time(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that rested does not begin with the last price that it knew then."""
    client = async_client()
    reader = DelayedReader(MINUTES, client)
    got: list[float] = []

    def receive(message: Any) -> None:
        got.append(json.loads(message.frame)["price"])

    monkeypatch.setattr(delayed, "_IDLE_S", 1.0)
    log(redis, now_ms() - MINUTES * 60_000 - 2000, "100")
    reader.join(KEY, receive)
    await eventually(lambda: got == [100])
    reader.leave(KEY, receive)
    await eventually(lambda: reader._task is not None and reader._task.done())
    log(redis, now_ms() - MINUTES * 60_000 - 500, "200")
    reader.join(KEY, receive)
    await eventually(lambda: len(got) > 1)
    assert got == [100, 200]
    await reader.close()
    await client.aclose()


def test_history_ends_where_what_is_late_ends() -> None:
    """Ticks up to then, and candles that had ended by then; callers without delay see all."""
    span = TimeRange(0, 10_000_000_000)
    assert visible(span, None, [None, None]) == span
    assert visible(span, None, [None, 5_000_000_000]).end == 5_000_000_000
    assert visible(span, Interval.MINUTE, [5_000_000_000]).end == 5_000_000_000 - 60_000
    assert visible(span, Interval.MONTH, [5_000_000_000]).end < 5_000_000_000 - 30 * DAY_MS
    late = visible(TimeRange(9_000_000_000, 10_000_000_000), None, [5_000_000_000])
    assert late.start == late.end


async def test_candles_are_for_clients_without_delay(
    live: LiveServer, redis: Redis, database: In
) -> None:
    """Candles are refused with 403 to clients that see prices with delay, or not at all."""
    user = await database(lambda: asha("NSE_EQ", delay_minutes=0))
    await database(SegmentGrant.objects.create, user=user, segment="NFO", delay_minutes=5)
    token = await database(access_token, user)
    async with live.client(additional_headers={"Authorization": f"Bearer {token}"}) as client:
        await client.receive()
        answer = await client.subscribe("NSE_EQ:TCS", KEY, "MCX:GOLD26DECFUT", candles="1m")
        assert answer["symbols"] == ["NSE_EQ:TCS"]
        assert [one["code"] for one in answer["rejected"]] == [403, 403]
        await database(SegmentGrant.objects.filter(segment="NSE_EQ").update, delay_minutes=5)
        while (status := await client.receive()).get("status") != "entitlements_changed":
            pass
        assert status["dropped"] == ["NSE_EQ:TCS"]


async def test_reader_of_the_log_survives_an_outage_of_redis(
    live: LiveServer, redis: Redis, database: In
) -> None:
    """A log that cannot be read is read again later; its ticks come then."""
    now = now_ms()
    log(redis, now - MINUTES * 60_000 - 1000, "100")
    user = await database(lambda: asha("NFO", delay_minutes=MINUTES))
    token = await database(access_token, user)
    async with live.client(additional_headers={"Authorization": f"Bearer {token}"}) as client:
        await client.subscribe(KEY)
        assert (await client.price())["price"] == 100
        redis.set("quotes:log:1", "no log")
        redis.delete("quotes:log:1")
        log(redis, now_ms() - MINUTES * 60_000, "101")
        assert (await client.price())["price"] == 101
