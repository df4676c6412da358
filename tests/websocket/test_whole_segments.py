"""Subscriptions to all symbols of a segment, through real sockets."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from redis import Redis

from instruments.index import index
from instruments.models import Instrument
from quotes.access.models import AccessProfile, SegmentGrant, UserClass
from quotes.websocket.feed.feed import current_feed
from quotes.websocket.protocol import parse_request
from tests.access.people import access_token, asha
from tests.conftest import In
from tests.instruments.factories import equity, nifty50_index, snapshot_of
from tests.live import Client, Frame, LiveServer
from tests.ticks import message, publish
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

SHARES = [equity(f"S{number}") for number in range(1200)]


def has_master(monkeypatch: pytest.MonkeyPatch, *instruments: Instrument) -> None:
    monkeypatch.setattr(index, "_snapshot", snapshot_of(*instruments))


@pytest.fixture(autouse=True)
def master(monkeypatch: pytest.MonkeyPatch) -> None:
    has_master(monkeypatch, *SHARES, nifty50_index())


def data_team(**grant: Any) -> User:
    """A user who may have all shares at once."""
    user = asha()
    SegmentGrant.objects.create(user=user, segment="NSE_EQ", is_whole=True, **grant)
    return user


@pytest.fixture
def connect(live: LiveServer, required: None, database: In) -> Callable[..., Any]:
    @contextlib.asynccontextmanager
    async def connected(make: Callable[[], User] = data_team) -> AsyncIterator[Client]:
        token = await database(lambda: access_token(make()))
        header = {"Authorization": f"Bearer {token}"}
        async with live.client(additional_headers=header) as client:
            assert (await client.receive())["type"] == "authenticated"
            yield client

    return connected


async def whole(client: Client, segment: str = "NSE_EQ", **more: Any) -> Frame:
    return await client.ask(action="subscribe", segment=segment, symbols="*", **more)


def price(redis: Redis, symbol: str, value: int) -> None:
    publish(redis, f"NSE_EQ:{symbol}", message(symbol, str(value), segment="NSE_EQ"))


@pytest.mark.parametrize("live", ["wire", "asgi"], indirect=True)
async def test_client_gets_all_instruments(
    connect: Callable[..., Any], redis: Redis, live: LiveServer
) -> None:
    """The latest price of each, then live ones, at an interval; those are not counted."""
    price(redis, "S7", 7)
    await eventually(lambda: redis.hexists("quotes:latest", "NSE_EQ:S7"))
    async with connect() as client:
        assert (await client.subscribe("S1", "AAPL"))["rejected"] != []  # AAPL is of no segment
        answer = await whole(client, id=9)
        assert answer == {
            "type": "subscribed",
            "id": 9,
            "symbols": [],
            "segments": ["NSE_EQ"],
            "instruments": 1199,
            "interval_ms": 250,
            "rejected": [],
            "subscriptions": 1,
            "feed": answer["feed"],
        }
        assert (await client.price())["symbol"] == "S7"
        for number in (1, 1100):
            price(redis, f"S{number}", number)
            assert (await client.price())["price"] == number
        assert await client.ask(action="list") == {
            "type": "subscriptions",
            "symbols": ["NSE_EQ:S1"],
            "segments": ["NSE_EQ"],
            "subscriptions": 1,
        }
        assert (await whole(client))["rejected"] == [
            {"symbol": "NSE_EQ:*", "code": 409, "message": "already subscribed"}
        ]
        answer = await client.ask(action="unsubscribe", segment="nse_eq", symbol="*")
        assert (answer["segments"], answer["subscriptions"]) == (["NSE_EQ"], 1)
        feed = await current_feed()
        (session,) = feed.listeners
        assert list(session.subscriptions.requested) == ["NSE_EQ:S1"]  # type: ignore[attr-defined]
        price(redis, "S7", 8)
        price(redis, "S1", 2)
        assert (await client.price())["price"] == 2
        answer = await client.ask(action="unsubscribe", segment="NSE_EQ", symbols=["*"])
        assert answer["rejected"][0]["code"] == 404


async def test_client_may_want_every_tick(connect: Callable[..., Any], redis: Redis) -> None:
    """With "conflate":false there is no interval, and no tick is left out."""
    async with connect() as client:
        assert (await whole(client, conflate=False, mode="ltp"))["interval_ms"] == 0
        price(redis, "S3", 1)
        assert (await client.price())["price"] == 1  # from here on
        for number in range(2, 50):
            price(redis, "S3", number)
        assert [(await client.price())["price"] for _ in range(48)] == list(range(2, 50))


async def test_interval_of_the_client_stays(connect: Callable[..., Any]) -> None:
    """A client that has set an interval keeps it."""
    async with connect() as client:
        await client.ask(action="configure", interval_ms=1000, batch=True)
        assert (await whole(client))["interval_ms"] == 1000


async def test_client_follows_the_master(
    connect: Callable[..., Any], redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instruments that are new in the segment come by themselves; those that are gone do not."""
    async with connect() as client:
        await whole(client)
        has_master(monkeypatch, *SHARES[1:], equity("NEW"))
        feed = await current_feed()
        await feed.follow_master()
        (session,) = feed.listeners
        requested = session.subscriptions.requested  # type: ignore[attr-defined]
        assert "NSE_EQ:NEW" in requested and "NSE_EQ:S0" not in requested
        price(redis, "NEW", 5)
        assert (await client.price())["symbol"] == "NEW"


def reader() -> User:
    return asha("NSE_EQ")


def late() -> User:
    return data_team(delay_minutes=15)


def limited() -> User:
    user = data_team()
    of_user = UserClass.objects.create(name="small", max_segment_symbols=1199)
    AccessProfile.objects.create(user=user, user_class=of_user)
    return user


@pytest.mark.parametrize(
    ("make", "segment", "codes"),
    [
        (reader, "NSE_EQ", [403]),
        (asha, "NSE_EQ", [403]),
        (late, "NSE_EQ", [403]),
        (limited, "NSE_EQ", [405]),
        (data_team, "NFO", [403]),
        (lambda: asha(is_superuser=True), "NFO", [404]),
        (lambda: asha(is_superuser=True), "NSE_INDEX", []),
    ],
)
async def test_few_may_have_a_segment(
    connect: Callable[..., Any], make: Callable[[], User], segment: str, codes: list[int]
) -> None:
    """A grant says so; a superuser may; delayed prices and more than the limit are refused."""
    async with connect(make) as client:
        answer = await whole(client, segment)
        assert [one["code"] for one in answer["rejected"]] == codes
        assert answer["segments"] == ([] if codes else [segment])
        assert answer["interval_ms"] == (0 if codes else 250)


async def test_anonymous_clients_may_not(live: LiveServer) -> None:
    """Whatever the setting lets them see."""
    async with live.client() as client:
        assert [one["code"] for one in (await whole(client))["rejected"]] == [403]


async def test_segment_ends_with_its_grant(
    connect: Callable[..., Any], database: In, redis: Redis
) -> None:
    """A grant that is withdrawn drops the segment, and leaves what was named."""
    async with connect() as client:
        await database(lambda: SegmentGrant.objects.create(user=User.objects.get(), segment="MCX"))
        await client.subscribe("S1")
        await whole(client)
        await database(lambda: SegmentGrant.objects.filter(segment="NSE_EQ").update(is_whole=False))
        while (status := await client.receive()).get("dropped") != ["NSE_EQ:*"]:
            pass
        assert "NSE_EQ" in status["segments"]
        price(redis, "S2", 2)
        price(redis, "S1", 1)
        assert (await client.price())["price"] == 1


@pytest.mark.parametrize(
    "text",
    [
        '{"action":"subscribe","symbols":"*"}',
        '{"action":"subscribe","symbol":"*"}',
        '{"action":"subscribe","symbols":["*"],"segment":""}',
        '{"action":"subscribe","symbols":"*","segment":"NSE_EQ","symbol":"TCS"}',
        '{"action":"subscribe","symbols":"*","segment":"NSE_EQ","candles":"1m"}',
        '{"action":"subscribe","symbols":"*","segment":"NSE_EQ","history":{"ticks":1}}',
        '{"action":"subscribe","symbols":"*","segment":"NSE_EQ","since":{"epoch":1,"seq":1}}',
        '{"action":"subscribe","symbols":"*","segment":"NFO","underlying":"NIFTY"}',
        '{"action":"unsubscribe","symbols":"*"}',
        '{"action":"subscribe","symbols":"**","segment":"NSE_EQ"}',
    ],
)
def test_bad_request_is_an_error(text: str) -> None:
    """A segment is needed, and what cannot be had of thousands at once is refused."""
    from quotes.errors import ProtocolError

    with pytest.raises(ProtocolError) as refused:
        parse_request(text)
    assert refused.value.code == 400


async def test_unknown_segment_is_an_error(connect: Callable[..., Any]) -> None:
    """So is one that does not exist."""
    async with connect() as client:
        assert (await whole(client, "NOPE"))["code"] == 400


async def test_all_or_nothing_where_redis_does_not_answer(
    connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segment whose prices cannot be joined is not half subscribed."""
    from quotes.errors import ProtocolError
    from quotes.websocket.subscriptions.membership import GroupMembership

    join = GroupMembership.join
    joined = 0

    async def fails(self: GroupMembership, groups: Any, *, until: float) -> None:
        nonlocal joined
        joined += len(groups)
        if joined > 600:
            raise ProtocolError(503, "try again")
        await join(self, groups, until=until)

    async with connect() as client:
        monkeypatch.setattr(GroupMembership, "join", fails)
        assert (await whole(client))["type"] == "subscribed"
        assert (await client.receive())["code"] == 503
        answer = await client.ask(action="list")
        assert (answer["symbols"], answer.get("segments")) == ([], None)
        (session,) = (await current_feed()).listeners
        assert not session.subscriptions.requested  # type: ignore[attr-defined]
