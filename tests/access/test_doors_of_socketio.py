"""Each event of the Socket.IO door times every kind of caller, over both transports."""

import asyncio
import json
from typing import Any

import pytest
from redis import Redis

from quotes.runtime.clock import now_ms
from tests.access.people import access_token, asha
from tests.access.test_doors import ACTION_ROWS, BAD, CALLERS, TOKENS, told
from tests.conftest import In
from tests.live import LiveServer
from tests.socketio.test_door import socket_client
from tests.socketio.wire import PollingClient
from tests.ticks import message, publish
from tests.websocket.test_delayed import KEY, MINUTES, log

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("required"),
]


async def ask_polling(client: PollingClient, *event: Any) -> Any:
    await client.emit(*event, ack=7)
    while True:
        for packet in await client.poll():
            if packet.startswith("437["):
                return json.loads(packet[3:])[0]


@pytest.mark.parametrize("caller", CALLERS)
async def test_every_event_answers_every_caller_as_it_should(
    caller: str, live: LiveServer, database: In
) -> None:
    """What /live-price answers to the action; a caller with a bad token is refused."""
    token = await database(TOKENS[caller])
    auth = json.dumps({"token": token}) if token else ""
    polls = await PollingClient.open(live.port, join=False)
    await polls.send("40" + auth)
    first = (await polls.poll())[0]
    if caller in BAD:
        assert first.startswith("44{") and json.loads(first[2:])["data"] == {"code": 402}
        async with socket_client(live.port, auth=None) as client:
            await client.packet()
            await client.connection.send("40" + auth)
            assert (await client.packet()).startswith("44{")
        return
    column = 0 if caller == "anonymous" else 2 if caller in ("entitled", "superuser") else 1
    async with socket_client(live.port, auth=auth) as client:
        for event, (values, answers) in ACTION_ROWS.items():
            assert told(await client.ask(event, values)) == answers[column], event
            assert told(await ask_polling(polls, event, values)) == answers[column], event


async def test_delayed_user_gets_prices_late(live: LiveServer, redis: Redis, database: In) -> None:
    """The price of that time, and none of now; when the right ends a notice says so."""
    user = await database(lambda: asha("NFO", delay_minutes=MINUTES))
    token = await database(access_token, user)
    then = now_ms() - MINUTES * 60_000
    log(redis, then - 60_000, "100")
    async with socket_client(live.port, auth=json.dumps({"token": token})) as client:
        assert (await client.event("notice"))["delayed"] == {"NFO": MINUTES}
        await client.emit("subscribe", KEY)
        publish(redis, KEY, message("NIFTY26AUGFUT", "999"))
        assert (await client.event("stockUpdate"))["price"] == 100
        await database(user.segment_grants.all().delete)
        async with asyncio.timeout(15):
            while (notice := await client.event("notice"))["type"] != "status":
                pass
        assert notice["dropped"] == [KEY]
