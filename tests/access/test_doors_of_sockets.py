"""Every door with a WebSocket times every kind of caller: who gets a price, and who gets none."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import websockets
from redis import Redis
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from config.doors import mounts
from config.doors import websockets as routes
from instruments.index import index
from tests.access.people import access_token, asha
from tests.access.test_doors import BAD, GOOD, TOKENS
from tests.conftest import In
from tests.instruments.factories import reliance, snapshot_of
from tests.kite.client import read_frame
from tests.live import LiveServer
from tests.ticks import message, publish
from tests.waiting import DEADLINE_S, eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("required")]

PRICE, NOTHING, REFUSED = "a price", "nothing", "refused"
TOKEN_OF_RELIANCE = 738561

Caller = tuple[str, str]  # name of the user, and the token
Door = Callable[[int, Caller], Awaitable[str]]


@contextlib.asynccontextmanager
async def opened(url: str, token: str = "") -> AsyncIterator[ClientConnection]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with websockets.connect(url, additional_headers=headers) as socket:
        yield socket


async def received(socket: ClientConnection) -> Any:
    async with asyncio.timeout(DEADLINE_S):
        return await socket.recv()


async def live_price(port: int, caller: Caller) -> str:
    """The answer to the next request follows the price, if there is one; so elsewhere."""
    async with opened(f"ws://127.0.0.1:{port}/live-price", caller[1]) as socket:
        await socket.send('{"action":"subscribe","symbol":"NSE_EQ:RELIANCE"}')
        await socket.send('{"action":"unsubscribe","symbol":"NSE_EQ:RELIANCE"}')
        while True:
            frame = json.loads(await received(socket))
            if frame.get("code") == 401:
                return REFUSED
            if "price" in frame:
                return PRICE
            if frame["type"] == "unsubscribed":
                return NOTHING


async def kite(port: int, caller: Caller) -> str:
    """A heartbeat comes after a second without a price."""
    name, token = caller
    url = f"ws://127.0.0.1:{port}/kite?api_key={name}&access_token={token}"
    async with opened(url) as socket:
        await socket.send(json.dumps({"a": "subscribe", "v": [TOKEN_OF_RELIANCE]}))
        while True:
            data = await received(socket)
            if isinstance(data, bytes):
                return PRICE if len(data) > 1 and read_frame(data) else NOTHING


async def socket_io(port: int, caller: Caller) -> str:
    url = f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"
    async with opened(url) as socket:
        await received(socket)
        await socket.send("40" + (json.dumps({"token": caller[1]}) if caller[1] else ""))
        if (await received(socket)).startswith("44"):
            return REFUSED
        await socket.send('421["subscribe","NSE_EQ:RELIANCE"]')
        await socket.send('422["unsubscribe","NSE_EQ:RELIANCE"]')
        while True:
            text = await received(socket)
            if text.startswith('42["stockUpdate"'):
                return PRICE
            if text.startswith("431") and '"code":401' in text:
                return REFUSED
            if text.startswith("432"):
                return NOTHING


async def openalgo(port: int, caller: Caller) -> str:
    async with opened(f"ws://127.0.0.1:{port}/openalgo") as socket:
        await socket.send(json.dumps({"action": "authenticate", "api_key": caller[1] or "none"}))
        if json.loads(await received(socket))["status"] != "success":
            return REFUSED
        await socket.send(
            '{"action":"subscribe","symbol":"RELIANCE","exchange":"NSE","mode":"LTP"}'
        )
        await socket.send('{"action":"unsubscribe_all"}')
        while True:
            frame = json.loads(await received(socket))
            if frame.get("type") == "market_data":
                return PRICE
            if frame.get("type") == "unsubscribe":
                return NOTHING


DOORS: dict[str, Door] = {
    "live-price": live_price,
    "kite": kite,
    "socket.io": socket_io,
    "openalgo": openalgo,
}


def test_every_door_has_a_row() -> None:
    """A WebSocket's address without a row fails."""
    paths = {str(route.pattern).strip("/") for route in routes()}
    assert {*paths, "live-price", *(path.strip("/") for path in mounts())} == set(DOORS)


def delayed() -> str:
    return access_token(asha("NSE_EQ", delay_minutes=15))


CALLERS = {**TOKENS, "delayed": delayed}
EXPECTED = {
    "anonymous": REFUSED,
    **dict.fromkeys(BAD, REFUSED),
    **dict.fromkeys(GOOD, NOTHING),
    "delayed": NOTHING,
    "entitled": PRICE,
    "superuser": PRICE,
}


@pytest.mark.parametrize("caller", CALLERS)
async def test_every_door_gives_every_caller_the_same(
    caller: str,
    live: LiveServer,
    redis: Redis,
    database: In,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A door is a way in, and no right."""
    monkeypatch.setattr(index, "_snapshot", snapshot_of(reliance()))
    token = await database(CALLERS[caller])
    name = "feedhandler" if caller == "publisher" else "asha"
    publish(redis, "RELIANCE", message("RELIANCE", "2950.05"))
    await eventually(lambda: redis.hexists("quotes:latest", "NSE_EQ:RELIANCE"))

    async def outcome(door: Door) -> str:
        try:
            return await door(live.port, (name, token))
        except (InvalidStatus, ConnectionClosed):
            return REFUSED

    found = dict(zip(DOORS, await asyncio.gather(*map(outcome, DOORS.values())), strict=True))
    assert found == dict.fromkeys(DOORS, EXPECTED[caller])
