"""Connections of two web processes, uvicorn and Daphne: seen and closed from either."""

import asyncio
import json
import signal
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from websockets.exceptions import ConnectionClosed

from tests.access.deployment import Deployment, Web
from tests.valkey import ValkeyProcess
from tests.waiting import DEADLINE_S, wait_until

# Web processes take 2 s to start, or many times that on a busy machine.
START_S = 60.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, redis_server: ValkeyProcess
) -> Iterator[Deployment]:
    redis_server.start()
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
    with Deployment(
        tmp_path_factory.mktemp("site"), redis_server.url, QUOTES_REDIS_TIMEOUT_S="3"
    ) as site:
        site.uvicorn()
        site.daphne()
        for web in site.webs:
            wait_until(web.answers, timeout_s=START_S)
        yield site


@pytest.fixture(scope="module")
def cookie(deployment: Deployment) -> str:
    """The session of an operator."""
    return f"sessionid={deployment.do('session', 'boss')}"


def data(web: Web, cookie: str, **filters: str) -> dict[str, Any]:
    path = f"/admin/connections/data/?{urllib.parse.urlencode(filters)}"
    status, values = web.request("GET", path, Cookie=cookie)
    assert status == 200
    return values


async def shown(web: Web, cookie: str, **filters: str) -> dict[str, Any]:
    return await asyncio.to_thread(data, web, cookie, **filters)


def close(web: Web, cookie: str, link: str) -> None:
    """Confirm on the page that a link leads to, as a browser does."""
    status, text = web.request_text("GET", link, Cookie=cookie)
    assert status == 200 and "Close the connection" in text
    token = text.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
    id = urllib.parse.parse_qs(link.partition("?")[2])["id"][0]
    body = urllib.parse.urlencode({"csrfmiddlewaretoken": token, "id": id})
    request = urllib.request.Request(
        f"http://127.0.0.1:{web.port}/admin/connections/close/",
        body.encode(),
        {"Cookie": f"{cookie}; csrftoken={token}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200 and "<h1>Connections</h1>" in answer.read().decode()


async def test_connections_of_all_processes_are_seen_and_closed(
    deployment: Deployment, cookie: str
) -> None:
    """Either process lists both, and closes a client of the other, which may come back."""
    uvicorn, daphne = deployment.webs
    async with (
        uvicorn.client(user_agent_header="one/1") as one,
        daphne.client(user_agent_header="two/2") as two,
    ):
        await one.subscribe("AAPL")
        await two.subscribe("AAPL", "MSFT")
        listed: dict[str, Any] = {}
        for asked in (uvicorn, daphne):
            async with asyncio.timeout(DEADLINE_S):
                while True:  # a process listens soon after its first client came
                    listed = await shown(asked, cookie)
                    if len(listed["tables"]["connections"]) == 2:
                        break
        rows = {row["cells"][3]: row for row in listed["tables"]["connections"]}
        assert rows.keys() == {"one/1", "two/2"}
        assert rows["two/2"]["cells"][:3] == ["anonymous", "127.0.0.1", "/live-price"]
        assert rows["two/2"]["cells"][5] == "2"
        symbols = {row["id"]: row["cells"][1] for row in listed["tables"]["symbols"]}
        assert symbols == {"AAPL": "2", "MSFT": "1"}
        assert len(listed["tables"]["processes"]) == 2
        some = await shown(uvicorn, cookie, symbol="MSFT")
        assert [row["cells"][3] for row in some["tables"]["connections"]] == ["two/2"]
        for asked, client, agent in ((uvicorn, two, "two/2"), (daphne, one, "one/1")):
            await asyncio.to_thread(close, asked, cookie, rows[agent]["link"])
            with pytest.raises(ConnectionClosed) as closed:
                await client.price()
            assert closed.value.rcvd and closed.value.rcvd.code == 4411
        async with uvicorn.client() as again:
            assert (await again.ask(action="ping"))["type"] == "pong"


async def test_a_process_that_hangs_is_named(deployment: Deployment, cookie: str) -> None:
    """The page waits a bounded time, shows the others, and says which does not answer."""
    uvicorn, daphne = deployment.webs
    async with uvicorn.client(user_agent_header="one/1") as one, daphne.client() as two:
        await one.subscribe("AAPL")
        await two.subscribe("AAPL")
        daphne.program.process.send_signal(signal.SIGSTOP)
        try:
            values: dict[str, Any] = {}
            async with asyncio.timeout(DEADLINE_S):
                while "does not answer" not in json.dumps(values):
                    values = await shown(uvicorn, cookie)
            agents = [row["cells"][3] for row in values["tables"]["connections"]]
            assert agents == ["one/1"]
            assert "1 of 2 processes answered" in values["summary"]
        finally:
            daphne.program.process.send_signal(signal.SIGCONT)
        async with asyncio.timeout(DEADLINE_S):
            while len((await shown(uvicorn, cookie))["tables"]["connections"]) != 2:
                pass


async def test_processes_answer_again_after_redis_was_restarted(
    deployment: Deployment, cookie: str, redis_server: ValkeyProcess
) -> None:
    """While Redis is down the page says so; afterwards it lists the connections as before."""
    uvicorn, _ = deployment.webs
    async with uvicorn.client() as one:
        await one.subscribe("AAPL")
        redis_server.kill()
        values = await shown(uvicorn, cookie)
        assert "Redis" in values["problem"] and values["tables"]["connections"] == []
        redis_server.start()
        async with asyncio.timeout(DEADLINE_S):
            while not (await shown(uvicorn, cookie))["tables"]["connections"]:
                pass
