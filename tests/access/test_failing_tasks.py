"""The tasks of access, made to fail from inside: each goes on, and is listed meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from redis import Redis

from quotes.access import account_reader
from quotes.access.account_reader import AccountReader
from quotes.access.accounts import Accounts
from quotes.access.connection_counts import ConnectionCounts, Scope
from quotes.access.errors import AccessDown
from quotes.access.revocation import AccessWatch
from quotes.access.service import AccessService
from quotes.runtime.background import background_failures
from quotes.store.names import own_key
from quotes.store.request_clients import RequestRedis
from quotes.websocket.feed.feed import current_feed
from quotes.websocket.session import ClientSession
from tests.access.people import access_token, asha
from tests.conftest import In
from tests.live import LiveServer
from tests.waiting import DEADLINE_S, eventually

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def service(redis: Redis) -> AsyncIterator[AccessService]:
    requests = RequestRedis()
    found = AccessService(requests)
    yield found
    await found.close()
    await requests.aclose()


class Seat:
    """A watched socket that keeps what it was last told."""

    login = ""

    def __init__(self, user: int) -> None:
        self.user = user
        self.is_active = True

    def review(self, accounts: Accounts) -> None:
        self.is_active = accounts.users[self.user].is_active

    def cut_off(self) -> None:
        raise AssertionError


async def test_watch_that_fails_goes_on(
    service: AccessService, database: In, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change reaches the sockets of its user all the same."""
    user = await database(asha)
    seat = Seat(user.pk)
    check = AccessWatch.check
    failures: list[str] = []

    async def fails(watch: AccessWatch) -> None:
        if not failures:
            failures.append("failed")
            raise KeyError("as an odd row would")
        await check(watch)

    monkeypatch.setattr(AccessWatch, "check", fails)
    service.watch.add(seat)
    await eventually(background_failures)
    assert [one.name for one in background_failures()] == ["reviewing connected users"]
    await database(User.objects.update, is_active=False)
    await eventually(lambda: not seat.is_active)


async def test_counts_that_fail_go_on(
    service: AccessService, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The count of a connection that ended meanwhile is written in the end."""
    renew = ConnectionCounts.renew
    failures: list[str] = []

    async def fails(counts: ConnectionCounts) -> None:
        if not failures:
            failures.append("failed")
            raise KeyError("as a mistake would")
        await renew(counts)

    await service.counts.acquire([Scope("all", 9, "")])
    monkeypatch.setattr(ConnectionCounts, "renew", fails)
    service.counts.release(["all"])
    await eventually(background_failures)
    assert [one.name for one in background_failures()] == ["counting connections"]
    await eventually(lambda: not redis.exists(own_key("connections:all")))


async def test_reader_that_fails_goes_on(database: In, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those whose read failed are answered, and those who came meanwhile are read."""
    user = await database(asha)
    reader = AccountReader()
    read_all: Any = account_reader._read_all
    failures: list[str] = []

    def fails(lookups: list[Any]) -> Accounts:
        if not failures:
            failures.append("failed")
            raise KeyError("as a mistake would")
        return read_all(lookups)  # type: ignore[no-any-return]

    monkeypatch.setattr(account_reader, "_read_all", fails)
    monkeypatch.setattr(account_reader, "_BATCH", 1)
    async with asyncio.timeout(DEADLINE_S):
        first, second = await asyncio.gather(
            *(reader.read(user.pk) for _ in range(2)), return_exceptions=True
        )
    assert isinstance(first, AccessDown) and isinstance(second, Accounts)
    await reader.close()


@pytest.mark.usefixtures("required")
async def test_client_whose_entitlements_cannot_be_applied_is_ended(
    live: LiveServer, database: In, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would go on to see what it may no longer see; the log says why, and others stay."""
    user = await database(lambda: asha("NSE_EQ"))
    token = await database(access_token, user)

    def fails(session: ClientSession, text: bytes) -> None:
        raise KeyError("as a mistake would")

    async with live.client(additional_headers={"Authorization": f"Bearer {token}"}) as client:
        await client.ask(action="ping")
        monkeypatch.setattr(ClientSession, "send_control", fails)
        await database(lambda: user.segment_grants.all().delete())
        async with asyncio.timeout(DEADLINE_S):
            await client.connection.wait_closed()
        assert client.connection.close_code == 4000
        assert (await current_feed()).failed_clients == 1
    assert not background_failures()
