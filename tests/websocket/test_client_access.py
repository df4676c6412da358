"""A socket's access acts on its client through one small interface, and only after `attach`."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from quotes.access.accounts import Account, Accounts, Identity, Limits
from quotes.access.credentials.presented import Credentials
from quotes.access.entitlements import Entitlements
from quotes.access.errors import BadCredentials
from quotes.access.service import AccessService
from quotes.errors import ProtocolError
from quotes.store.request_clients import RequestRedis
from quotes.websocket.client_access import Client, ClientAccess
from quotes.websocket.protocol import Authenticate, CloseCode, ControlFrame
from quotes.websocket.session import ClientSession
from tests.access.people import now_s
from tests.waiting import eventually

ASHA = Account(7, "asha", True, "", Entitlements({"NSE_EQ": 0}), Limits())
TOKEN = Credentials(False, "a token")


class FakeClient:
    """A client that keeps what its access did to it, in order."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.dropped: list[str] = []

    def send_control(self, control: ControlFrame) -> None:
        self.calls.append(control.values.get("status") or control.kind)

    def close(self, code: CloseCode, reason: str) -> None:
        self.calls.append(code)

    def cut_off(self) -> None:
        self.calls.append("cut off")

    def limits_changed(self) -> None:
        self.calls.append("limits")

    def fail(self, error: Exception) -> None:
        self.calls.append("fail")

    async def reconsider(self) -> list[str]:
        self.calls.append("reconsider")
        return self.dropped


class FakeService(AccessService):
    """A service whose tokens are all of one user, for as long as the test says."""

    lifetime_s = 900.0
    good = True
    found = ASHA

    async def verify(self, token: str) -> Identity:
        if not self.good:
            raise BadCredentials("the token has expired")
        return Identity(self.found.user_id, "", "", now_s() + self.lifetime_s)

    async def account(self, identity: Identity) -> Account:
        return self.found


@pytest.fixture
async def service(redis: Any) -> AsyncIterator[FakeService]:
    requests = RequestRedis()
    service = FakeService(requests)
    yield service
    await service.close()
    await requests.aclose()


def accounts(account: Account) -> Accounts:
    return Accounts({account.user_id: account}, set())


async def attached(service: FakeService) -> tuple[ClientAccess, FakeClient]:
    """Return the access of a user whose connection was accepted, and its client."""
    access, client = ClientAccess(service, []), FakeClient()
    await access.enter(TOKEN)
    access.attach(client)
    assert client.calls == ["authenticated"]
    client.calls.clear()
    return access, client


def test_session_is_a_client() -> None:
    """The session has each method of the interface; mypy compares their types."""
    methods = [name for name in vars(Client) if not name.startswith("_")]
    assert len(methods) == 6
    assert all(callable(getattr(ClientSession, name)) for name in methods)


async def test_nothing_is_called_before_the_client_is_attached(service: FakeService) -> None:
    """During the handshake there is no client, whatever becomes of the user and its token."""
    service.lifetime_s = -3600
    access = ClientAccess(service, [])
    await access.enter(TOKEN)
    access.check_deadlines()
    access.review(Accounts({}, set()))
    access.review(accounts(replace(ASHA, entitlements=Entitlements())))
    access.cut_off()
    assert access.entitlements == ASHA.entitlements
    assert access.client is None
    client = FakeClient()
    access.attach(client)
    assert client.calls == ["authenticated"]


async def test_anonymous_client_is_greeted_by_nothing(service: FakeService) -> None:
    """Without credentials `attach` sends no frame."""
    access, client = ClientAccess(service, []), FakeClient()
    access.attach(client)
    access.check_deadlines()
    assert client.calls == []


async def test_client_that_must_authenticate_is_closed_in_time(
    service: FakeService, settings: Any
) -> None:
    """The error comes first, then the close; neither comes twice."""
    settings.QUOTES_AUTH = "required"
    settings.QUOTES_AUTH_TIMEOUT_S = 0.1
    access, client = ClientAccess(service, []), FakeClient()

    def is_called() -> bool:
        access.check_deadlines()
        return bool(client.calls)

    access.attach(client)
    await eventually(is_called)
    access.check_deadlines()
    assert client.calls == ["error", CloseCode.AUTHENTICATION_TIMEOUT]


async def test_limits_that_change_are_passed_on(service: FakeService) -> None:
    """New limits reach the client from a token and from the watch; unchanged ones do not."""
    access, client = await attached(service)
    access.review(accounts(ASHA))
    assert client.calls == []
    slower = replace(ASHA, limits=replace(ASHA.limits, max_messages_per_s=1.0))
    access.review(accounts(slower))
    assert client.calls == ["limits"] and access.limits.max_messages_per_s == 1.0
    service.found = ASHA
    await access.authenticate(Authenticate(token="newer"))
    assert client.calls == ["limits", "limits", "authenticated"]


async def test_warning_is_sent_once_then_the_client_is_closed(
    service: FakeService, settings: Any
) -> None:
    """A token that ends soon is warned of once; after its end and the grace the client closes."""
    settings.QUOTES_TOKEN_WARNING_S = 60
    settings.QUOTES_TOKEN_GRACE_S = 30
    service.lifetime_s = 10
    access, client = await attached(service)
    for _ in range(3):
        access.check_deadlines()
    assert client.calls == ["token_expiring"]
    service.lifetime_s = -31
    await access.authenticate(Authenticate(token="newer"))
    access.check_deadlines()
    assert client.calls == ["token_expiring", "authenticated", CloseCode.TOKEN_EXPIRED]


async def test_user_who_is_gone_is_closed(service: FakeService) -> None:
    """A user whom the watch finds no more is closed with the code that says not to come back."""
    access, client = await attached(service)
    access.review(Accounts({}, set()))
    assert client.calls == [CloseCode.ACCESS_ENDED]


async def test_change_of_entitlements_is_reported_after_it_took_effect(
    service: FakeService,
) -> None:
    """The client reconsiders first, then its user learns what was dropped."""
    access, client = await attached(service)
    access.review(accounts(replace(ASHA, entitlements=Entitlements())))
    await eventually(lambda: len(client.calls) == 2)
    assert client.calls == ["reconsider", "entitlements_changed"]


async def test_ended_access_says_nothing(service: FakeService) -> None:
    """After the end neither the watch nor a change that was under way reaches the client."""
    access, client = await attached(service)
    access.review(accounts(replace(ASHA, entitlements=Entitlements())))
    access.end()
    access.review(Accounts({}, set()))
    access.check_deadlines()
    await eventually(lambda: client.calls == ["reconsider"])
    assert service.watch.sockets == {}


async def test_many_bad_tokens_close_the_client(service: FakeService) -> None:
    """Nine bad tokens are answered, the tenth closes."""
    access, client = ClientAccess(service, []), FakeClient()
    access.attach(client)
    service.good = False
    for _ in range(9):
        with pytest.raises(ProtocolError, match="the token has expired"):
            await access.authenticate(Authenticate(token="old"))
    await access.authenticate(Authenticate(token="old"))
    assert client.calls == [CloseCode.FLOOD]


async def test_socket_that_cannot_be_reviewed_cuts_its_client_off(service: FakeService) -> None:
    """`cut_off` reaches the client and nothing else does."""
    access, client = await attached(service)
    access.cut_off()
    assert client.calls == ["cut off"]
