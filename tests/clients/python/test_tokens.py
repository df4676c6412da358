"""Tokens: given, renewed on the open connection, refused, ended; and what refuses a handshake."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from typing import Any

import pytest
from live_price import (
    Authenticated,
    AuthenticationError,
    ClientError,
    Entitlements,
    PriceClient,
    PriceError,
    StateChange,
    SymbolError,
)
from redis import Redis
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from quotes.access.models import SegmentGrant
from tests.access.people import (
    access_token,
    api_key,
    asha,
    expired_token,
    forged_token,
    now_s,
)
from tests.conftest import In
from tests.live import LiveServer
from tests.ticks import message, publish
from tests.waiting import DEADLINE_S, eventually

pytestmark = pytest.mark.django_db(transaction=True)

AT_ONCE: dict[str, Any] = {"min_backoff_s": 0.01, "max_backoff_s": 0.05}


async def first_price(client: PriceClient[float], name: str) -> float:
    async with asyncio.timeout(DEADLINE_S):
        async for one in client.subscribe(name):
            return one.price
    raise AssertionError


@pytest.mark.parametrize("kind", ["token", "key", "function", "coroutine"])
async def test_credentials_open_the_connection(
    kind: str, live: LiveServer, redis: Redis, required: None, database: In
) -> None:
    """An access token, an API key, or what a function returns."""
    token = await database(lambda: access_token(asha("NSE_EQ")))
    if kind == "key":
        token = await database(lambda: api_key(asha("NSE_EQ", username="ravi"), scope="read"))

    async def later() -> str:
        return str(token)

    given: Any = {"function": lambda: token, "coroutine": later}.get(kind, token)
    publish(redis, "NSE_EQ:RELIANCE", message("RELIANCE", "2950.50"))
    async with PriceClient(live.url, token=given) as client:
        users: list[Authenticated] = []
        client.on(Authenticated, users.append)
        assert await first_price(client, "NSE_EQ:RELIANCE") == 2950.5
        with pytest.raises(SymbolError) as refused:
            await client.subscribe("MCX:GOLD").ready()
        assert refused.value.code == 403
        assert users[0].segments == ("NSE_EQ",) and token not in repr(client)


@pytest.mark.parametrize("make", [expired_token, forged_token])
async def test_bad_token_is_not_tried_again(
    make: Any, live: LiveServer, required: None, database: In
) -> None:
    """The client is closed for good, and loops raise the reason."""
    token = await database(lambda: make(asha("NSE_EQ")))
    calls = []

    def give() -> str:
        calls.append(1)
        return str(token)

    for given, times in ((token, 0), (give, 2)):
        async with PriceClient(live.url, token=given, **AT_ONCE) as client:
            subscription = client.subscribe("A")
            with pytest.raises(AuthenticationError) as refused:
                async for _ in subscription:
                    pass
            assert refused.value.code == 401 and client.state == "closed"
            assert len(calls) == times
            with pytest.raises(AuthenticationError):
                await client.ready()
            with pytest.raises(AuthenticationError):
                client.subscribe("B")


async def test_without_a_token_where_one_is_needed(live: LiveServer, required: None) -> None:
    """It says so at once, and does not come back for ever."""
    async with PriceClient(live.url, **AT_ONCE) as client:
        with pytest.raises(AuthenticationError, match=r"\(401\)"):
            async for _ in client.subscribe("A"):
                pass


async def test_token_is_renewed_on_the_open_connection(
    live: LiveServer, required: None, database: In
) -> None:
    """The function is called before the token ends; no connection is lost."""
    user = await database(asha, "OTHER")
    tokens = [await database(lambda s=s: access_token(user, lifetime_s=s)) for s in (5, 900)]
    given = list(tokens)
    async with PriceClient(live.url, token=lambda: given.pop(0)) as client:
        ends: list[int | None] = []
        states: list[str] = []
        client.on(Authenticated, lambda event: ends.append(event.expires))
        client.on(StateChange, lambda event: states.append(event.state))
        await client.subscribe("A").ready()
        await eventually(lambda: len(ends) == 2)
        assert not given and (ends[1] or 0) > (ends[0] or 0) + 800_000
        assert "waiting" not in states and client.state == "open"


async def test_token_that_cannot_be_renewed_is_an_error_event(
    live: LiveServer, required: None, database: In
) -> None:
    """A fixed token is renewed by `authenticate`; later connections use the new one."""
    user = await database(asha, "OTHER")
    old, new = [await database(lambda s=s: access_token(user, lifetime_s=s)) for s in (50, 900)]
    async with PriceClient(live.url, token=old, **AT_ONCE) as client:
        errors: list[ClientError] = []
        ends: list[int | None] = []
        client.on(ClientError, errors.append)
        client.on(Authenticated, lambda event: ends.append(event.expires))
        await eventually(lambda: errors)
        assert isinstance(errors[0].error, AuthenticationError)
        with pytest.raises(AuthenticationError) as refused:
            await client.authenticate("not a token")
        assert refused.value.code == 402
        await client.authenticate(new)
        assert live.server.server_state.connections
        for connection in list(live.server.server_state.connections):
            connection.transport.abort()
        await eventually(lambda: len(ends) == 3)
        assert ends[1] == ends[2]


async def test_function_that_fails_is_called_again(live: LiveServer) -> None:
    """A log-in server that is down for a moment costs no connection for good."""
    calls = []

    def give() -> str | None:
        calls.append(1)
        if len(calls) < 3:
            raise OSError("no answer")
        return None

    async with PriceClient(live.url, token=give, **AT_ONCE) as client:
        errors: list[ClientError] = []
        client.on(ClientError, errors.append)
        await client.ready()
    assert len(errors) == 2 and "no answer" in str(errors[0].error)


async def test_end_of_access_is_final(live: LiveServer, required: None, database: In) -> None:
    """4501: log in before you connect again."""
    user = await database(asha, "OTHER")
    token = await database(access_token, user)

    def deactivate() -> None:
        user.is_active = False
        user.save()

    async with PriceClient(live.url, token=lambda: token, **AT_ONCE) as client:
        subscription = client.subscribe("A")
        await subscription.ready()
        await database(deactivate)
        with pytest.raises(AuthenticationError) as ended:
            async with asyncio.timeout(DEADLINE_S):
                async for _ in subscription:
                    pass
        assert ended.value.code == 4501 and client.state == "closed"


async def test_changed_entitlements(
    live: LiveServer, redis: Redis, required: None, database: In
) -> None:
    """What the user may not see any more is refused, and comes back with the grant."""
    user = await database(asha, "OTHER")
    token = await database(access_token, user)
    publish(redis, "A", message("A", "1"))
    async with PriceClient(live.url, token=token) as client:
        changes: list[Entitlements] = []
        client.on(Entitlements, changes.append)
        subscription = client.subscribe("A")
        await subscription.ready()
        await database(lambda: SegmentGrant.objects.all().delete())
        await eventually(lambda: changes)
        assert changes[0].dropped == ("A",) and subscription.rejected["A"].code == 403
        await database(lambda: SegmentGrant.objects.create(user=user, segment="OTHER"))
        await eventually(lambda: not subscription.rejected)


# -- handshakes that another server refuses -------------------------------------------------------


@contextlib.asynccontextmanager
async def refusing(*statuses: int, **headers: str) -> AsyncIterator[tuple[str, list[Request]]]:
    """A server that refuses handshakes with these statuses in turn, and then opens them."""
    requests: list[Request] = []
    waiting: Iterator[int] = iter(statuses)

    def process(connection: ServerConnection, request: Request) -> Response | None:
        requests.append(request)
        status = next(waiting, None)
        if status is None:
            return None
        response = connection.respond(HTTPStatus(status), '{"code": 1, "message": "not now"}')
        response.headers.update(headers)
        return response

    async def handle(connection: ServerConnection) -> None:
        await connection.wait_closed()

    server: Server
    async with serve(handle, "127.0.0.1", 0, process_request=process) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}/live-price", requests


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
async def test_refusals_for_now_are_tried_again(status: int) -> None:
    """The server is busy, or cannot look up users."""
    async with refusing(status, status) as (url, requests):
        async with PriceClient(url, **AT_ONCE) as client:
            states: list[StateChange] = []
            client.on(StateChange, states.append)
            async with asyncio.timeout(DEADLINE_S):
                await client.ready()
        [first, _] = [one for one in states if one.state == "waiting"]
        assert first.error is not None and first.error.code == status and first.retry_at
        assert len(requests) == 3 and "not now" in str(first.error)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 426])
async def test_refusals_for_good_are_not(status: int) -> None:
    """They would come again."""
    async with refusing(status) as (url, requests):
        async with PriceClient(url, token="a.b.c", **AT_ONCE) as client:
            with pytest.raises(PriceError, match="not now") as refused:
                async for _ in client.subscribe("A"):
                    pass
            assert refused.value.code == status
            client.connect()
            if status != 401:  # the token is still the one that was refused
                await client.ready()
        assert len(requests) == (1 if status == 401 else 2)
        assert requests[0].headers["Authorization"] == "Bearer a.b.c"


async def test_server_says_when_to_come_back() -> None:
    """`Retry-After` is waited for."""
    async with (
        refusing(503, **{"Retry-After": "120"}) as (url, _),
        PriceClient(url, **AT_ONCE) as client,
    ):
        waits: list[int] = []
        client.on(StateChange, lambda one: waits.append(one.retry_at or 0))
        await eventually(lambda: client.state == "waiting")
        assert max(waits) > now_s() * 1000 + 100_000
        client.connect()
        await client.ready()


async def test_no_server_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """A port where nobody listens, until somebody does; secrets of the address are not logged."""
    async with PriceClient(
        "ws://u:secret@127.0.0.1:1/live-price?token=secret", **AT_ONCE
    ) as client:
        await eventually(lambda: client.state == "waiting")
        assert "127.0.0.1:1/live-price" in caplog.text and "127.0.0.1:1/live-price" in repr(client)
        assert "secret" not in caplog.text + repr(client)
        assert (await asyncio.wait_for(client.events().__anext__(), DEADLINE_S)).state
