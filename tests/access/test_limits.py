"""Limits of connections, messages and symbols, and what happens without Redis or database."""

import asyncio
import json
import signal
from contextlib import AsyncExitStack
from typing import Any

import pytest
import websockets
from django.db import OperationalError
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from websockets.exceptions import InvalidStatus

from quotes.access import account_reader as reading
from quotes.access.connection_counts import ConnectionCounts, Scope
from quotes.access.errors import LimitReached
from quotes.access.models import AccessProfile, UserClass
from quotes.store.request_clients import RequestRedis
from tests.access.people import access_token, asha
from tests.conftest import In
from tests.live import LiveServer
from tests.valkey import ValkeyProcess
from tests.waiting import eventually

OTHERS = Scope("all", 100, "too many")
TWO = Scope("user:1", 2, "a user may have at most 2 connections")


@pytest.fixture
async def stack() -> Any:
    async with AsyncExitStack() as found:
        yield found


async def process(stack: AsyncExitStack, url: str) -> ConnectionCounts:
    """The counts of one more web process."""
    client = AsyncRedis.from_url(url, socket_timeout=1)
    stack.push_async_callback(client.aclose)
    return ConnectionCounts(RequestRedis(client))


async def test_counts_of_processes_add_up(
    redis: Redis, redis_server: ValkeyProcess, stack: AsyncExitStack
) -> None:
    """All scopes or none; what one process gives back another may take."""
    first, second = [await process(stack, redis_server.url) for _ in range(2)]
    await first.acquire([OTHERS, TWO])
    await second.acquire([OTHERS, TWO])
    for one in (first, second):
        with pytest.raises(LimitReached, match="a user may have at most 2 connections"):
            await one.acquire([OTHERS, TWO])
    assert first.counts == second.counts == {"all": 1, "user:1": 1}
    first.release(["all", "user:1"])
    await first.renew()
    await second.acquire([OTHERS, TWO])
    assert redis.hgetall("quotes:connections:user:1") == {second.process.encode(): b"2"}


async def test_a_rush_takes_no_more_than_there_is(
    redis: Redis, redis_server: ValkeyProcess, stack: AsyncExitStack
) -> None:
    """Of many at the same moment, in two processes, as many come in as may."""
    both = [await process(stack, redis_server.url) for _ in range(2)]
    scope = Scope("address:192.0.2.1", 10, "full")
    rush = [one.acquire([scope]) for _ in range(20) for one in both]
    results = await asyncio.gather(*rush, return_exceptions=True)
    assert results.count(None) == 10
    assert sum(one.counts["address:192.0.2.1"] for one in both) == 10


async def test_lost_counts_are_written_again(
    redis: Redis, redis_server: ValkeyProcess, stack: AsyncExitStack
) -> None:
    """A Redis that comes back empty knows of all connections after the next renewal."""
    first, second = [await process(stack, redis_server.url) for _ in range(2)]
    await first.acquire([TWO])
    await first.acquire([TWO])
    redis.flushall()
    await first.renew()
    with pytest.raises(LimitReached):
        await second.acquire([TWO])
    assert 0 < redis.pttl(f"quotes:process:{first.process}") <= 9000
    assert redis.ttl("quotes:connections:user:1") > 0
    await first.leave()
    await second.acquire([TWO])


async def test_without_redis_each_process_holds_its_own(
    redis: Redis, redis_server: ValkeyProcess, stack: AsyncExitStack
) -> None:
    """Nobody is refused for the outage, and the limit holds all the same."""
    counts = await process(stack, redis_server.url)
    redis_server.kill()
    await counts.acquire([TWO])
    await counts.acquire([TWO])
    with pytest.raises(LimitReached):
        await counts.acquire([TWO])
    redis_server.start()
    await counts.renew()
    assert redis.hgetall("quotes:connections:user:1") == {counts.process.encode(): b"2"}


async def test_redis_that_hangs_holds_nobody_up_for_long(
    redis: Redis, redis_server: ValkeyProcess, stack: AsyncExitStack
) -> None:
    """Of many who connect at the same moment only the first waits for an answer."""
    counts = await process(stack, redis_server.url)
    await counts.acquire([OTHERS])
    assert redis_server.process
    redis_server.process.send_signal(signal.SIGSTOP)
    try:
        async with asyncio.timeout(2):
            await asyncio.gather(*(counts.acquire([OTHERS]) for _ in range(50)))
        assert counts.counts["all"] == 51
    finally:
        redis_server.process.send_signal(signal.SIGCONT)
    await counts.renew()
    assert redis.hvals("quotes:connections:all") == [b"51"]


async def test_connections_of_an_address_are_limited(live: LiveServer, settings: Any) -> None:
    """The refusal says why; connections of this machine itself are not counted by address."""
    settings.QUOTES_MAX_CONNECTIONS_PER_ADDRESS = 2
    settings.QUOTES_TRUSTED_PROXIES = "127.0.0.1"
    headers = {"X-Forwarded-For": "192.0.2.1"}
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(live.client(additional_headers=headers))
        with pytest.raises(InvalidStatus) as refused:
            await websockets.connect(live.url, additional_headers=headers)
        assert refused.value.response.status_code == 429
        body = json.loads(refused.value.response.body)
        assert body == {"code": 429, "message": "an address may have at most 2 connections"}
        for _ in range(5):
            await stack.enter_async_context(live.client())
        settings.QUOTES_MAX_CONNECTIONS = 7
        with pytest.raises(InvalidStatus):
            await websockets.connect(live.url)
    # Closed ones make room.
    async with live.client(additional_headers=headers):
        pass


@pytest.mark.django_db(transaction=True)
async def test_user_class_says_what_its_users_are_held_to(
    live: LiveServer, database: In, settings: Any
) -> None:
    """Symbols, connections, messages and bytes of the class instead of the settings'."""

    def make() -> str:
        user = asha("*")
        kind = UserClass.objects.create(
            name="trial",
            max_symbols=2,
            max_connections=1,
            max_messages_per_s=1,
            max_message_bytes=256,
        )
        AccessProfile.objects.create(user=user, user_class=kind)
        return access_token(user)

    token = await database(make)
    headers = {"Authorization": f"Bearer {token}"}
    async with live.client(additional_headers=headers) as client:
        limits = (await client.receive())["limits"]
        assert list(limits.values()) == [2, 1, 1.0, 256]
        with pytest.raises(InvalidStatus) as refused:
            await websockets.connect(live.url, additional_headers=headers)
        assert refused.value.response.status_code == 429
        async with live.client() as other:
            settings.QUOTES_MAX_MESSAGE_BYTES = 65536
            answer = await other.ask(action="authenticate", token=token)
            assert answer["code"] == 406
        answer = await client.subscribe("A", "B", "C")
        assert [one["code"] for one in answer["rejected"]] == [405]
        assert (await client.ask(action="ping", more="x" * 300))["code"] == 400
        answers = [await client.ask(action="ping") for _ in range(4)]
        assert answers[-1]["code"] == 429


@pytest.mark.django_db(transaction=True)
async def test_nobody_comes_in_while_users_cannot_be_looked_up(
    live: LiveServer, database: In, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that fails is 503, at the handshake and in a message; who is in stays."""
    token = await database(lambda: access_token(asha("*")))
    headers = {"Authorization": f"Bearer {token}"}
    async with live.client(additional_headers=headers) as client:
        await client.receive()

        def fail(*arguments: Any) -> Any:
            raise OperationalError("the database is away")

        monkeypatch.setattr(reading, "in_database", fail)
        with pytest.raises(InvalidStatus) as refused:
            await websockets.connect(live.url, additional_headers=headers)
        assert refused.value.response.status_code == 503
        async with live.client() as other:
            assert (await other.ask(action="authenticate", token=token))["code"] == 503
        assert (await client.subscribe("A"))["symbols"] == ["A"]


async def test_what_ended_counts_no_more(live: LiveServer, redis: Redis) -> None:
    """Sockets that close, are refused or break off leave no count behind."""
    async with live.client():
        await eventually(lambda: redis.hvals("quotes:connections:all") == [b"1"])
    with pytest.raises(InvalidStatus):
        await websockets.connect(f"{live.url}?ticket=none")
    connection = await websockets.connect(live.url)
    connection.transport.abort()
    await eventually(lambda: not redis.exists("quotes:connections:all"))
