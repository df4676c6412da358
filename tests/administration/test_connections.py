"""What operators see of connections, and closing one: in one process, with real sockets."""

import asyncio
from functools import partial
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client as HttpClient
from redis import Redis
from websockets.exceptions import ConnectionClosed

from quotes.access.bulk_grants import Order, digest_of, grants_apply, plan_grants
from quotes.store.connection_reports import Answers, ConnectionRow, ask_processes, requests_channel
from quotes.websocket.feed.feed import feeds
from quotes.websocket.protocol import CloseCode
from quotes.websocket.session import ClientSession
from tests.access.people import access_token, asha
from tests.conftest import In
from tests.instruments.factories import reliance
from tests.live import LiveServer
from tests.ticks import message as price
from tests.ticks import publish
from tests.waiting import eventually

PAGE, DATA, CLOSE = (f"/admin/connections/{name}" for name in ("", "data/", "close/"))


async def asked(**terms: Any) -> Answers:
    return await asyncio.to_thread(partial(ask_processes, **terms))


async def rows(**terms: Any) -> list[ConnectionRow]:
    return [row for one in (await asked(limit=10, **terms)).reports for row in one.rows]


def sessions() -> list[ClientSession]:
    feed = feeds[asyncio.get_running_loop()]
    return [one for one in feed.listeners if isinstance(one, ClientSession)]


def listening(redis: Redis) -> bool:
    return dict(redis.pubsub_numsub(requests_channel()))[requests_channel().encode()] > 0


@pytest.fixture
async def listener(live: LiveServer, redis: Redis) -> LiveServer:
    """A server whose process listens to operators: it does from its first client on."""
    async with live.client() as client:
        await client.ask(action="ping")
        await eventually(partial(listening, redis))
    await eventually(lambda: not sessions())
    return live


@pytest.mark.django_db(transaction=True)
async def test_a_connection_is_listed_as_it_is(
    listener: LiveServer, database: In, redis: Redis, settings: Any
) -> None:
    """User, address, path without its query, program, symbols, and what it resumed."""
    settings.QUOTES_AUTH = "optional"
    token = await database(lambda: access_token(asha("*", is_superuser=True)))
    headers = {"Authorization": f"Bearer {token}"}
    options = {"additional_headers": headers, "user_agent_header": f"reader/1 token={token}"}
    async with listener.client(**options) as client, listener.client():
        assert (await client.receive())["type"] == "authenticated"
        await client.subscribe("AAPL", "MSFT")
        await client.ask(action="subscribe", symbol="TSLA", since={"epoch": 1, "seq": 1})
        await client.ask(action="subscribe", symbol="AAPL", candles="1m")
        (row,) = await rows(user="ash")
        assert (row.user, row.address, row.path) == ("asha", "127.0.0.1", "/live-price")
        assert row.agent.startswith("reader/1 token=") and token[:20] not in row.agent
        assert (row.symbols, row.resumed, row.unsent, row.is_slow) == (4, 1, 0, False)
        assert len(await rows()) == len(await rows(address="127.")) == 2
        assert [one.id for one in await rows(symbol="TSLA")] == [row.id]
        assert await rows(symbol="GOOG") == await rows(address="10.") == []
        (report,) = (await asked(limit=10)).reports
        assert dict(report.top_symbols) == {"AAPL": 1, "MSFT": 1, "TSLA": 1}
        assert (report.connections, report.matching, report.slow) == (2, 2, 0)


async def test_a_client_that_does_not_read_is_slow_and_comes_first(
    listener: LiveServer, redis: Redis
) -> None:
    """What is unsent and what it missed is shown, while others are served."""
    async with listener.client() as good, listener.client(max_queue=1) as slow:
        await good.subscribe("MSFT")
        await slow.subscribe("AAPL")
        (session,) = [one for one in sessions() if "AAPL" in one.subscriptions.requested]
        session.transport.unsent = lambda: 1 << 20  # type: ignore[method-assign]
        publish(redis, "AAPL", price())
        await eventually(lambda: session.outbox.conflating)
        for number in range(5):
            publish(redis, "AAPL", price(price=f"{190 + number}.05"))
        await eventually(lambda: session.outbox.skipped > 0)
        first, second = await rows()
        assert first.id == session.id and first.is_slow and first.unsent >= 1 << 20
        assert first.conflated > 0 and not second.is_slow
        (report,) = (await asked(limit=1)).reports
        assert (report.slow, [row.id for row in report.rows]) == (1, [session.id])


async def test_closing_one_connection_leaves_the_others(listener: LiveServer) -> None:
    """The client gets 4411, which means come back, behind what is due."""
    async with listener.client() as one, listener.client() as other:
        await one.subscribe("AAPL")
        await other.subscribe("MSFT")
        (row,) = await rows(symbol="AAPL")
        assert not any(report.closed for report in (await asked(close=True)).reports)
        assert not (await asked(connection=row.id + "0", close=True)).reports[0].closed
        assert (await asked(connection=row.id, close=True)).reports[0].closed
        with pytest.raises(ConnectionClosed) as closed:
            await one.price()
        assert closed.value.rcvd and closed.value.rcvd.code == CloseCode.CLOSED_BY_OPERATOR.value
        assert (await other.ask(action="ping"))["type"] == "pong"
        await eventually(lambda: len(sessions()) == 1)


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b'{"limit":3}', b'{"id":7}', b"\xff", b"null"]
)
async def test_requests_that_cannot_be_read_are_dropped(
    payload: bytes, listener: LiveServer, redis: Redis
) -> None:
    """The process goes on to answer those that can."""
    redis.publish(requests_channel(), payload)
    assert len((await asked(limit=1)).reports) == 1


async def test_many_connections_are_counted_and_few_are_sent(listener: LiveServer) -> None:
    """Of 10,000 clients an answer has no more than 200, and it is made in time slices."""
    feed = feeds[asyncio.get_running_loop()]

    class Many:
        def __init__(self, number: int) -> None:
            self.row = ConnectionRow(f"many.{number}", symbols=number)
            self.written_bytes = 0
            self.is_patient = False

        def report(self) -> ConnectionRow:
            return self.row

        def check_deadlines(self, now: float) -> None:
            pass

    many: Any = [Many(number) for number in range(10_000)]
    feed.listeners.update(many)
    try:
        answers = await asked(limit=10**6)
        assert not answers.reports or len(answers.reports[0].rows) == 200
        await eventually(lambda: len(feed.listeners) == 10_000)
        while not answers.reports:  # a busy machine may take longer than one request
            answers = await asked(limit=10**6)
        assert answers.reports[0].connections == answers.reports[0].matching == 10_000
        assert answers.reports[0].rows[0].id == "many.9999"
    finally:
        feed.listeners.difference_update(many)


@pytest.fixture
def http(db: None, redis: Redis) -> HttpClient:
    client = HttpClient()
    client.force_login(asha(username="operator", is_staff=True, is_superuser=True))
    return client


@pytest.mark.django_db(databases=["default", "history"])
def test_page_works_without_processes_and_says_what_is_missing(http: HttpClient) -> None:
    """Tables are there without JavaScript, with a strict policy and no script in the page."""
    answer = http.get(PAGE)
    text = answer.content.decode()
    assert answer.status_code == 200 and "0 of 0 shown" in text
    assert "no bridge works" in text and "<script>" not in text
    assert "default-src 'self'" in answer["Content-Security-Policy"]
    values = http.get(DATA).json()
    assert values["tables"]["connections"] == [] and values["problem"] == ""


@pytest.mark.django_db(databases=["default", "history"])
def test_processes_that_do_not_answer_are_named(http: HttpClient, redis: Redis) -> None:
    """What they count is shown: a process of an earlier release, or one that hangs."""
    redis.hset("quotes:connections:all", mapping={"hung": 120, "gone": 7})
    redis.set("quotes:process:hung", 1, px=60_000)
    (row,) = http.get(DATA).json()["tables"]["processes"]
    assert row["id"] == "hung" and row["warns"] and row["cells"][0] == "does not answer"
    assert "120" in row["cells"] and "120 in all" in http.get(DATA).json()["summary"]


@pytest.mark.django_db(databases=["default", "history"])
def test_page_says_that_redis_is_down(http: HttpClient, settings: Any) -> None:
    """The page and its data are answered, and closing something says so."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert "Redis does not answer" in http.get(PAGE).content.decode()
    assert "Redis" in http.get(DATA).json()["problem"]
    answer = http.post(CLOSE, {"id": "p.1"}, follow=True)
    assert "Nothing was closed: Redis cannot be reached." in answer.content.decode()


@pytest.mark.django_db(databases=["default", "history"])
@pytest.mark.parametrize("symbol", ["RELIANCE", "NSE:RELIANCE", "x" * 5000, "\x00", "<b>", "::"])
def test_any_filter_is_answered(symbol: str, http: HttpClient) -> None:
    """What is no name of an instrument is said, and nothing of it is markup."""
    reliance().save()
    answer = http.get(PAGE, {"symbol": symbol, "user": symbol, "address": symbol})
    assert answer.status_code == 200 and "<b>" not in answer.content.decode()


@pytest.mark.django_db(databases=["default", "history"])
def test_a_connection_that_is_gone_is_not_closed(http: HttpClient) -> None:
    """The operator goes back to the list, and nothing is recorded."""
    for method in (http.get, http.post):
        for id in ("p.1", "", "x" * 500):
            answer = method(CLOSE, {"id": id}, follow=True)
            assert "There is no connection" in answer.content.decode()
    assert not LogEntry.objects.exists()


@pytest.mark.django_db(databases=["default", "history"])
@pytest.mark.parametrize(
    ("permissions", "statuses"),
    [
        ((), (403, 403, 403)),
        (("close_connections",), (403, 403, 403)),
        (("view_connections",), (200, 200, 403)),
        (("view_connections", "close_connections"), (200, 200, 302)),
    ],
)
def test_permissions_of_their_own_open_the_pages(
    permissions: tuple[str, ...], statuses: tuple[int, ...], redis: Redis
) -> None:
    """Staff need one permission to view connections, and another to close them."""
    user = asha(is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = HttpClient()
    client.force_login(User.objects.get())
    assert tuple(client.get(one).status_code for one in (PAGE, DATA, CLOSE)) == statuses
    assert ("Connections" in client.get("/admin/").content.decode()) is (statuses[0] == 200)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("required")
async def test_connected_clients_learn_of_grants_to_many(live: LiveServer, database: In) -> None:
    """What an operator grants and withdraws for many reaches open sockets within seconds."""
    user = await database(asha, "NFO")
    boss = await database(asha, username="boss")
    token = await database(access_token, user)

    def carry_out(order: Order) -> None:
        plan = plan_grants(order, users=[user], groups=[])
        grants_apply(order, users=[user], groups=[], digest=digest_of(plan), actor=boss)

    async with live.client(additional_headers={"Authorization": f"Bearer {token}"}) as client:
        assert (await client.receive())["segments"] == ["NFO"]
        await database(carry_out, Order(False, ["MCX"], 15))
        changed = await client.receive()
        assert (changed["segments"], changed["delayed"]) == (["NFO", "MCX"], {"MCX": 15})
        await database(carry_out, Order(True, ["NFO"]))
        assert (await client.receive())["segments"] == ["MCX"]
