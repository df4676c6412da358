"""Authentication and entitlements of connected clients, through real sockets."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
import websockets
from redis import Redis
from websockets.exceptions import ConnectionClosed, InvalidStatus

from quotes.access.accounts import Accounts, Identity
from quotes.access.credentials.tickets import ticket_issue
from quotes.access.entitlements import Entitlements
from quotes.access.models import ApiKey
from quotes.access.selectors import read_accounts
from quotes.websocket.feed.feed import current_feed
from quotes.websocket.session import ClientSession
from tests.access.people import (
    access_token,
    api_key,
    asha,
    expired_token,
    forged_token,
    now_s,
    past,
    stray_token,
    unsigned_token,
)
from tests.conftest import In
from tests.live import LiveServer
from tests.ticks import message, publish
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)


def bearer(token: str) -> dict[str, Any]:
    return {"additional_headers": {"Authorization": f"Bearer {token}"}}


async def test_without_a_token_only_ping_is_answered(live: LiveServer, required: None) -> None:
    """Where authentication is required, every other action is 401 before it."""
    async with live.client() as client:
        assert (await client.ask(action="ping"))["type"] == "pong"
        for action in ("list", "configure", "market_status", "subscribe"):
            answer = await client.ask(action=action, symbol="NSE_EQ:RELIANCE", id=1)
            assert (answer["code"], answer["id"]) == (401, 1)


async def test_anybody_may_subscribe_by_default(live: LiveServer) -> None:
    """Authentication is optional unless it is set otherwise, and then no frame is new."""
    async with live.client() as client:
        answer = await client.subscribe("NSE_EQ:RELIANCE")
        assert answer["type"] == "subscribed" and not answer["rejected"]


async def test_message_authenticates(
    live: LiveServer, redis: Redis, required: None, database: In
) -> None:
    """After `authenticate` the client gets the prices that its user is entitled to."""
    token = await database(lambda: access_token(asha("NSE_EQ", "MCX")))
    async with live.client() as client:
        answer = await client.ask(action="authenticate", token=token, id="a")
        assert abs(answer.pop("expires") / 1000 - now_s() - 900) < 10
        assert answer == {
            "type": "authenticated",
            "id": "a",
            "user": "asha",
            "segments": ["NSE_EQ", "MCX"],
            "limits": {
                "max_symbols": 3000,
                "max_connections": 5,
                "max_messages_per_s": 50.0,
                "max_message_bytes": 262144,
            },
        }
        answer = await client.subscribe("NSE_EQ:RELIANCE", "NFO:NIFTY26AUGFUT", "AAPL")
        assert answer["symbols"] == ["NSE_EQ:RELIANCE"]
        assert answer["rejected"] == [
            {"symbol": "NFO:NIFTY26AUGFUT", "code": 403, "message": "not entitled to NFO"},
            {
                "symbol": "AAPL",
                "code": 403,
                "message": "not entitled to symbols that are not in the instrument master",
            },
        ]
        publish(redis, "NSE_EQ:RELIANCE", message("RELIANCE", "2950.50"))
        assert (await client.price())["price"] == 2950.50


async def test_each_way_of_the_handshake_opens(
    live: LiveServer, redis: Redis, required: None, database: In, settings: Any
) -> None:
    """A ticket, the header, the subprotocol, and the URL where it is allowed."""
    settings.QUOTES_QUERY_TOKEN = True
    user = await database(asha, "NSE_EQ")
    token = await database(access_token, user)
    ticket = ticket_issue(identity=Identity(user.pk, "", "", now_s() + 60), client=redis)
    ways: list[tuple[str, dict[str, Any]]] = [
        (f"?ticket={ticket}", {}),
        ("", bearer(token)),
        ("", {"subprotocols": ["live-price", f"bearer.{token}"]}),
        (f"?token={token}", {}),
    ]
    for query, options in ways:
        async with websockets.connect(live.url + query, **options) as connection:
            frame = json.loads(await connection.recv())
            assert (frame["type"], frame["user"]) == ("authenticated", "asha")
            expected = "live-price" if "subprotocols" in options else None
            assert connection.subprotocol == expected


async def test_ticket_is_good_once(live: LiveServer, redis: Redis, database: In) -> None:
    """A second socket with the same ticket is refused with 401."""
    user = await database(asha)
    ticket = ticket_issue(identity=Identity(user.pk, "", "", now_s() + 60), client=redis)
    assert 0 < redis.ttl(redis.keys("quotes:ticket:*")[0]) <= 30
    assert ticket.encode() not in redis.keys()[0]
    async with websockets.connect(f"{live.url}?ticket={ticket}"):
        with pytest.raises(InvalidStatus) as refused:
            await websockets.connect(f"{live.url}?ticket={ticket}")
    assert refused.value.response.status_code == 401


async def test_key_opens_and_ends_the_socket(
    live: LiveServer, required: None, database: In
) -> None:
    """An API key that may read opens a socket, which ends with the key."""
    text = await database(lambda: api_key(asha("NSE_EQ"), scope="read"))
    header = {"additional_headers": {"Authorization": f"Api-Key {text}"}}
    async with live.client(**header) as opened, live.client() as other:
        assert (await opened.receive())["user"] == "asha"
        answer = await other.ask(action="authenticate", token=text)
        assert answer["type"] == "authenticated"
        assert answer["expires"] > (now_s() + 86_400) * 1000
        await database(lambda: ApiKey.objects.get().delete())
        for client in (opened, other):
            with pytest.raises(ConnectionClosed) as closed:
                await client.receive()
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 4501


@pytest.mark.parametrize("text", ["lp_", "lp_0_1", "publisher's", "expired"])
async def test_bad_key_is_refused(
    text: str, live: LiveServer, required: None, database: In
) -> None:
    """So is one that is only for publishing, or has expired."""
    if text == "publisher's":
        text = await database(lambda: api_key(asha("*"), scope="publish"))
    elif text == "expired":
        text = await database(lambda: api_key(asha("*"), scope="read", expires_at=past()))
    with pytest.raises(InvalidStatus) as refused:
        async with live.client(additional_headers={"Authorization": f"Api-Key {text}"}):
            pass
    assert refused.value.response.status_code == 401


@pytest.mark.parametrize("make", [expired_token, forged_token, unsigned_token, stray_token])
async def test_bad_token_is_refused_by_every_way(
    live: LiveServer, redis: Redis, database: In, make: Any
) -> None:
    """HTTP 401 with the reason at the handshake, error 402 in a message; optional or not."""
    token = await database(lambda: make(asha("*")))
    for options in (bearer(token), {"subprotocols": ["live-price", f"bearer.{token}"]}):
        with pytest.raises(InvalidStatus) as refused:
            await websockets.connect(live.url, **options)
        assert refused.value.response.status_code == 401
        body = json.loads(refused.value.response.body)
        assert body["code"] == 401 and "token" in body["message"] and token not in str(body)
    async with live.client() as client:
        answer = await client.ask(action="authenticate", token=token, id=4)
        assert (answer["type"], answer["code"], answer["id"]) == ("error", 402, 4)
        for _ in range(9):
            await client.send(action="authenticate", token=token)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await client.receive()
        assert closed.value.rcvd and closed.value.rcvd.code == 4429


async def test_token_in_the_url_is_off_by_default(live: LiveServer, database: In) -> None:
    """A good token in the URL is refused unless QUOTES_QUERY_TOKEN is set."""
    token = await database(lambda: access_token(asha()))
    with pytest.raises(InvalidStatus) as refused:
        await websockets.connect(f"{live.url}?token={token}")
    assert refused.value.response.status_code == 401


async def test_silence_is_closed_in_time(live: LiveServer, required: None, settings: Any) -> None:
    """A client that must authenticate and does not in time gets 408 and is closed."""
    settings.QUOTES_AUTH_TIMEOUT_S = 0.3
    async with live.client() as client:
        assert (await client.receive())["code"] == 408
        with pytest.raises(ConnectionClosed) as closed:
            await client.receive()
        assert closed.value.rcvd and closed.value.rcvd.code == 4407


async def test_token_is_renewed_on_the_open_socket(
    live: LiveServer, required: None, settings: Any, database: In
) -> None:
    """A warning comes before the end; a newer token goes on; without one the socket closes."""
    settings.QUOTES_TOKEN_WARNING_S = 10
    settings.QUOTES_TOKEN_GRACE_S = 0.2
    user = await database(asha, "NSE_EQ")
    other = await database(asha, username="other")
    async with live.client(**bearer(await database(access_token, user, lifetime_s=5))) as client:
        assert (await client.receive())["type"] == "authenticated"
        warning = await client.receive()
        assert (warning["type"], warning["status"]) == ("status", "token_expiring")
        assert list(warning) == ["type", "status", "expires"]
        token = await database(access_token, other)
        assert (await client.ask(action="authenticate", token=token))["code"] == 402
        token = await database(access_token, user, lifetime_s=11)
        assert (await client.ask(action="authenticate", token=token))["type"] == "authenticated"
        token = await database(access_token, user, lifetime_s=0.3)
        assert (await client.ask(action="authenticate", token=token))["type"] == "authenticated"
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await client.receive()
        assert closed.value.rcvd and closed.value.rcvd.code == 4401


async def test_anonymous_callers_get_what_the_setting_says(
    live: LiveServer, settings: Any, database: In
) -> None:
    """QUOTES_ANONYMOUS_SEGMENTS names segments; users get those of their grants besides."""
    settings.QUOTES_ANONYMOUS_SEGMENTS = "NSE_INDEX"
    token = await database(lambda: access_token(asha("NSE_EQ")))
    async with live.client() as client:
        answer = await client.subscribe("NSE_EQ:RELIANCE", "NSE_INDEX:NIFTY 50")
        assert answer["symbols"] == ["NSE_INDEX:NIFTY 50"]
        answer = await client.ask(action="authenticate", token=token)
        assert answer["segments"] == ["NSE_EQ", "NSE_INDEX"]
        assert (await client.subscribe("NSE_EQ:RELIANCE"))["symbols"] == ["NSE_EQ:RELIANCE"]


async def test_acknowledgement_precedes_the_prices_that_a_token_opens(
    live: LiveServer, redis: Redis, settings: Any, database: In
) -> None:
    """Prices with delay for anonymous clients come at once to a user, after `authenticated`."""
    settings.QUOTES_ANONYMOUS_SEGMENTS = "NFO@15"
    token = await database(lambda: access_token(asha("NFO")))
    async with live.client() as client:
        assert (await client.subscribe("NFO:NIFTY26AUGFUT"))["rejected"] == []
        publish(redis, "NFO:NIFTY26AUGFUT", message("NIFTY26AUGFUT", "24000"))
        await eventually(lambda: redis.hexists("quotes:latest", "NFO:NIFTY26AUGFUT"))
        await client.send(action="authenticate", token=token)
        first, second = [await client.receive() for _ in range(2)]
        assert first["type"] == "authenticated"
        assert (second["symbol"], second["price"]) == ("NIFTY26AUGFUT", 24000)


async def test_change_of_entitlements_takes_its_turn(live: LiveServer, database: In) -> None:
    """It waits for the request under way, and is reported before the next change is answered."""
    user = await database(asha, "NSE_EQ")
    token = await database(access_token, user)
    async with live.client(**bearer(token)) as client:
        await client.receive()
        await client.subscribe("NSE_EQ:RELIANCE")
        [session] = (await current_feed()).listeners
        assert isinstance(session, ClientSession)
        found = (await database(read_accounts, [user.pk])).users[user.pk]
        nothing = replace(found, entitlements=Entitlements())
        async with session.turn:
            session.access.review(Accounts({user.pk: nothing}, set()))
            await asyncio.sleep(0)  # the change is next
            await session.handle('{"action":"unsubscribe","symbol":"NSE_EQ:RELIANCE"}')
            assert "NSE_EQ:RELIANCE" in session.subscriptions.requested
        first, second = [await client.receive() for _ in range(2)]
        assert (first["status"], first["dropped"]) == ("entitlements_changed", ["NSE_EQ:RELIANCE"])
        assert (second["type"], second["symbols"]) == ("unsubscribed", [])
