"""Access over several web processes: revocation, limits, and what the logs hold."""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import websockets
from redis import Redis
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.access.deployment import Deployment, Web
from tests.access.issuer import AUDIENCE, ISSUER, OTHER_RSA, RSA, Issuer, issued
from tests.live import Client
from tests.postgres import PostgresServer
from tests.valkey import ValkeyProcess
from tests.waiting import eventually

WITHIN_S = 5.0
LEASE_S = 1.5


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as found:
        found.add(RSA, "k1")
        yield found


@pytest.fixture(scope="module")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, redis_server: ValkeyProcess, issuer: Issuer
) -> Iterator[Deployment]:
    """Two uvicorn processes and one of Daphne, which log all they can."""
    redis_server.start()
    folder: Path = tmp_path_factory.mktemp("site")
    with Deployment(
        folder,
        redis_server.url,
        QUOTES_AUTH="required",
        QUOTES_QUERY_TOKEN="true",
        QUOTES_TRUSTED_PROXIES="127.0.0.1",
        QUOTES_CONNECTION_LEASE_MS=str(round(LEASE_S * 1000)),
        QUOTES_JWKS_URL=issuer.url,
        QUOTES_JWKS_ISSUER=ISSUER,
        QUOTES_JWKS_AUDIENCE=AUDIENCE,
        LOG_LEVEL="DEBUG",
    ) as found:
        for _ in range(2):
            found.uvicorn("--log-level", "debug")
        found.daphne("--access-log", "-", "-v", "2")
        found.wait()
        yield found


async def until_closed(client: Client) -> int:
    try:
        while True:
            await client.receive()
    except ConnectionClosed as error:
        return error.rcvd.code if error.rcvd else 1006


async def until_dropped(client: Client) -> list[str]:
    while True:
        frame = await client.receive()
        if frame.get("type") == "status":
            assert frame["status"] == "entitlements_changed"
            return list(frame["dropped"])


def ticket_client(web: Web, key: str) -> Any:
    """Open a socket with a ticket that an API key gets."""
    header = {"Authorization": f"Api-Key {key}"}
    status, answer = web.request("POST", "/api/ws-ticket/", {}, **header)
    assert status == 200
    return web.client(query=f"?ticket={answer['ticket']}")


@pytest.mark.parametrize(("number", "drip"), [(0, "head"), (1, "body"), (2, "head")])
async def test_junk_tokens_hold_up_nobody_while_the_issuer_is_slow(
    deployment: Deployment, redis: Redis, issuer: Issuer, number: int, drip: str
) -> None:
    """On both servers: sockets with own tokens and API keys are served, and then the issuer's."""
    web, name = deployment.webs[number], f"reader{number}"
    own = deployment.do("user", name, ["NSE_EQ"], [])["access"]
    key = deployment.do("api_key", name)
    fetches = issuer.fetches
    issuer.drip = drip
    issuer.hurry.clear()

    async def refused(junk: int) -> None:
        with pytest.raises(InvalidStatus):
            async with web.client(issued(OTHER_RSA, "RS256", f"junk {junk}")):
                pass

    tasks = [asyncio.create_task(refused(junk)) for junk in range(40)]
    await eventually(lambda: issuer.fetches > fetches)
    for entrance in (web.client(own), ticket_client(web, key)):
        async with entrance as client:
            assert (await client.receive())["type"] == "authenticated"
            answer = await client.subscribe("NSE_EQ:TCS", history={"ticks": 5})
            assert len(answer["symbols"]) == 1
    issuer.hurry.set()
    await asyncio.gather(*tasks)
    assert issuer.fetches == fetches + 1
    async with web.client(issued(RSA, "RS256", sub=name)) as client:
        assert (await client.receive())["user"] == name


# what is done -> the groups of the user, and what becomes of its socket
KINDS: dict[str, tuple[list[str], Any]] = {
    "logout": ([], 4501),
    "deactivate": ([], 4501),
    "deactivate_by_sql": ([], 4501),
    "change_password": ([], 4501),
    "delete": ([], 4501),
    "revoke_grant": ([], ["NSE_EQ:TCS"]),
    "end_grant": ([], ["NSE_EQ:TCS"]),
    "leave_group": (["metals"], ["MCX:GOLD26DECFUT"]),
    "delete_key": ([], 4501),
    "deactivate_key": ([], 4501),
    "delete_group": (["energy"], ["MCX:GOLD26DECFUT"]),
}


async def test_revocation_reaches_open_sockets_within_five_seconds(
    deployment: Deployment, redis: Redis
) -> None:
    """Each kind, in every process: the socket closes, or lets go of what is granted no more."""
    async with contextlib.AsyncExitStack() as stack:
        sockets: dict[str, list[Client]] = {}
        tokens = {}
        for kind, (groups, _) in KINDS.items():
            tokens[kind] = deployment.do("user", kind, ["NSE_EQ"], groups)
            key = deployment.do("api_key", kind) if kind.endswith("_key") else ""
            for web in deployment.webs:
                client = await stack.enter_async_context(
                    ticket_client(web, key) if key else web.client(tokens[kind]["access"])
                )
                await client.receive()
                answer = await client.subscribe("NSE_EQ:TCS", "MCX:GOLD26DECFUT")
                assert len(answer["symbols"]) == 1 + len(groups)
                sockets.setdefault(kind, []).append(client)
        done: dict[str, float] = {}
        took: dict[str, float] = {}
        async with asyncio.TaskGroup() as group:

            async def end(kind: str, client: Client) -> None:
                expected = KINDS[kind][1]
                wait = until_closed if isinstance(expected, int) else until_dropped
                assert await wait(client) == expected, kind
                took[kind] = max(took.get(kind, 0), time.monotonic() - done[kind])

            for kind, clients in sockets.items():
                for client in clients:
                    group.create_task(end(kind, client))
            for kind, (groups, _) in KINDS.items():
                done[kind] = time.monotonic()
                if kind == "logout":
                    header = {"Authorization": f"Bearer {tokens[kind]['access']}"}
                    status, _ = deployment.webs[0].request("POST", "/api/logout/", {}, **header)
                    assert status == 204
                else:
                    deployment.do(kind, groups[0] if kind == "delete_group" else kind)
                await asyncio.sleep(0)
        assert max(took.values()) < WITHIN_S, took
        for kind in ("logout", "deactivate", "change_password", "delete"):
            with pytest.raises(InvalidStatus) as refused:
                async with deployment.webs[0].client(tokens[kind]["access"]):
                    pass
            assert refused.value.response.status_code == 401


async def opens(web: Web, stack: contextlib.AsyncExitStack, token: str, address: str) -> int:
    """Open a socket from an address; return 101, or the status of the refusal."""
    try:
        headers = {"X-Forwarded-For": address}
        client = await stack.enter_async_context(web.client(token, additional_headers=headers))
        assert (await client.receive())["type"] == "authenticated"
    except InvalidStatus as error:
        return error.response.status_code
    return 101


async def test_refreshing_at_the_same_time_gives_one_pair(
    deployment: Deployment, redis: Redis
) -> None:
    """Of twelve requests with one refresh token one gets a pair, in any of the processes."""
    refresh = deployment.do("user", "twelve", ["NSE_EQ"], [])["refresh"]
    assert deployment.do("refresh_together", refresh) == 1
    refresh = deployment.do("tokens", "twelve")["refresh"]

    def ask(web: Web) -> int:
        return web.request("POST", "/api/token/refresh/", {"refresh": refresh})[0]

    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(ask, deployment.webs * 4))
    assert sorted(statuses) == [200] + [401] * 11


def test_refreshing_at_the_same_time_gives_one_pair_on_postgresql(
    tmp_path: Path, redis_server: ValkeyProcess, postgres: PostgresServer
) -> None:
    """There too, where all of them write at once: the database lets one succeed."""
    redis_server.start()
    url = postgres.url(postgres.create())
    with Deployment(tmp_path, redis_server.url, DATABASE_URL=url) as found:
        refresh = found.do("user", "twelve", ["NSE_EQ"], [])["refresh"]
        for _ in range(5):
            assert found.do("refresh_together", refresh) == 1
            refresh = found.do("tokens", "twelve")["refresh"]


async def test_limits_hold_over_processes_and_after_one_is_killed(
    deployment: Deployment, redis: Redis
) -> None:
    """Five sockets of a user over two processes; those of a killed process count no more."""
    doomed = deployment.uvicorn("--log-level", "warning")
    other = deployment.webs[0]
    deployment.wait()
    token = deployment.do("user", "ravi", ["NSE_EQ"], [])["access"]
    async with contextlib.AsyncExitStack() as stack:
        for web in (doomed, doomed, doomed, other, other):
            assert await opens(web, stack, token, "192.0.2.1") == 101
        assert await opens(other, stack, token, "192.0.2.2") == 429
        assert await opens(doomed, stack, token, "192.0.2.2") == 429
        deployment.webs.remove(doomed)
        doomed.program.process.kill()
        killed = time.monotonic()
        assert await opens(other, stack, token, "192.0.2.3") == 429
        while await opens(other, stack, token, "192.0.2.3") == 429:
            assert time.monotonic() - killed < LEASE_S + 3
            await asyncio.sleep(0.05)
        for _ in range(2):
            assert await opens(other, stack, token, "192.0.2.4") == 101
        assert await opens(other, stack, token, "192.0.2.4") == 429
    doomed.program.__exit__(None, None, None)
    # Sockets that are closed count no more either, as soon as their server has seen it.
    async with contextlib.AsyncExitStack() as stack:
        closed = time.monotonic()
        for web in (deployment.webs[1], other) * 2:
            while (status := await opens(web, stack, token, "192.0.2.5")) == 429:
                assert time.monotonic() - closed < LEASE_S * 2 / 3
                await asyncio.sleep(0.02)
            assert status == 101


async def test_no_token_is_in_any_log(deployment: Deployment, redis: Redis) -> None:
    """Every way in, good and bad, over both servers that log all they can: no credential shows."""
    secrets = deployment.do("user", "meera", ["NSE_EQ"], [])
    secrets["key"] = deployment.do("api_key", "meera")
    secrets["URL key"] = deployment.do("url_key", "meera")
    access = secrets["access"]
    bearer = {"Authorization": f"Bearer {access}"}
    for number, web in enumerate(deployment.webs):
        secrets[f"ticket {number}"] = web.request("POST", "/api/ws-ticket/", **bearer)[1]["ticket"]
        bad = secrets[f"bad {number}"] = access[:-4] + "AAAA"
        ways: list[tuple[str, dict[str, Any]]] = [
            (f"?ticket={secrets[f'ticket {number}']}", {}),
            (f"?token={access}", {}),
            ("", {"additional_headers": bearer}),
            ("", {"subprotocols": ["live-price", f"bearer.{access}"]}),
        ]
        for query, options in ways:
            async with websockets.connect(web.url + query, **options) as connection:
                assert json.loads(await connection.recv())["type"] == "authenticated"
        bad_ways: list[tuple[str, dict[str, Any]]] = [
            (f"?ticket={secrets[f'ticket {number}']}", {}),
            (f"?token={bad}", {}),
            ("", {"additional_headers": {"Authorization": f"Bearer {bad}"}}),
            ("", {"subprotocols": ["live-price", f"bearer.{bad}"]}),
        ]
        for query, options in bad_ways:
            with pytest.raises(InvalidStatus):
                await websockets.connect(web.url + query, **options)
        async with web.client() as client:
            answer = await client.ask(action="authenticate", token=access)
            assert answer["type"] == "authenticated"
            assert (await client.ask(action="authenticate", token=bad))["code"] == 402
            assert (await client.ask(action="subscribe", token=access, symbol=5))["code"] == 400
        for header in (f"Bearer {access}", f"Bearer {bad}", f"Api-Key {secrets['key']}"):
            web.request("GET", f"/api/prices/TCS/?token={access}", Authorization=header)
        for key in (secrets["URL key"], secrets["URL key"].replace("_", "%5F"), secrets["key"]):
            for address in ("/api/prices.csv?symbols=NSE_EQ:TCS&key=", "/no/such/page?key="):
                status, text = web.request_text("GET", address + key)
                assert status in (200, 401, 404) and key not in text
            for address in (f"/udf/key/{key}/config", f"/udf/key/{key}/nosuch"):
                status, text = web.request_text("GET", address)
                assert status in (200, 401, 404) and key not in text
        web.request("POST", "/api/token/verify/", {"token": access})
        body = {"username": "meera", "password": "not her password"}
        assert web.request("POST", "/api/token/", body)[0] == 401
        old = {"refresh": secrets["refresh"]}
        status, renewed = web.request("POST", "/api/token/refresh/", old)
        assert status == 200
        secrets["refresh"] = renewed["refresh"]
        secrets[f"access {number}"] = renewed["access"]
        secrets[f"refresh {number}"] = renewed["refresh"]
    secrets["password"] = "not her password"
    del secrets["id"]
    for web in deployment.webs:
        web.program.wait_for("/api/token/refresh/")
        text = web.program.text
        assert "/live-price" in text
        for name, secret in secrets.items():
            # The signature alone would do: the rest of a token is no secret.
            assert secret.rpartition(".")[2] not in text, name
            assert secret not in text, name
