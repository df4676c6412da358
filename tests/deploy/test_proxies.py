"""The examples for nginx and Caddy, in front of a real server."""

import asyncio
import contextlib
import http.client
import json
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
from redis import Redis
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from quotes.access.service import AccessService
from tests.deploy.proxies import NAME, Caddy, Nginx, Proxy
from tests.live import Client, LiveServer
from tests.ports import free_port

FORGED = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
SECRET = "do-not-log-me"


class Answer(NamedTuple):
    status: int
    headers: Message
    text: str


@pytest.fixture(params=[Nginx, Caddy])
def proxy(
    request: pytest.FixtureRequest, live: LiveServer, settings: Any, tmp_path: Path
) -> Iterator[Proxy]:
    """A proxy in front of the server, and of a second one that is down."""
    settings.QUOTES_TRUSTED_PROXIES = "127.0.0.1"
    settings.ALLOWED_HOSTS = [NAME]
    with request.param(tmp_path, (live.port, free_port())) as started:
        yield started


def _tls(proxy: Proxy) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=proxy.certificate)


@contextlib.asynccontextmanager
async def _client(proxy: Proxy, path: str = "/live-price", **options: Any) -> AsyncIterator[Client]:
    """A WebSocket by TLS."""
    url = f"wss://{NAME}:{proxy.port}{path}"
    async with connect(url, ssl=_tls(proxy), **options) as connection:
        yield Client(connection)


async def _request(
    proxy: Proxy,
    method: str,
    path: str,
    *,
    body: bytes = b"",
    tls: bool = True,
    headers: Mapping[str, str] = {},
) -> Answer:
    """Return the answer to a request."""

    def ask() -> Answer:
        connection = http.client.HTTPConnection(NAME, proxy.http_port, timeout=10)
        if tls:
            connection = http.client.HTTPSConnection(
                NAME, proxy.port, timeout=10, context=_tls(proxy)
            )
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read().decode())

    return await asyncio.to_thread(ask)


async def test_prices_pass(proxy: Proxy, live: LiveServer, redis: Redis) -> None:
    """Sockets of each door and REST work by TLS, while one of two upstreams is down."""
    tick = b'{"symbol":"AAPL","price":189.45,"timestamp":1712331900000}'
    redis.set("stock:AAPL", tick)
    redis.publish("stock:AAPL", tick)
    for _ in range(3):  # of the upstreams, one is down
        async with _client(proxy) as client:
            assert (await client.subscribe("AAPL"))["type"] == "subscribed"
            assert (await client.price())["price"] == 189.45
    async with _client(proxy, "/socket.io/?EIO=4&transport=websocket") as client:
        assert (await client.receive_text()).startswith("0{")
    async with _client(proxy, "/openalgo") as client:
        await client.send(action="nothing")
        assert json.loads(await client.receive_text())
    response = await _request(proxy, "GET", "/healthz", headers=FORGED)
    assert response.status == 200
    # The server knows that it was HTTPS, and no header comes twice.
    assert response.headers.get_all("Strict-Transport-Security") == [
        "max-age=31536000; includeSubDomains; preload"
    ]
    assert response.headers.get_all("X-Content-Type-Options") == ["nosniff"]
    polling = await _request(proxy, "GET", "/socket.io/?EIO=4&transport=polling")
    assert polling.text.startswith("0{")


async def test_address_of_clients(proxy: Proxy, live: LiveServer) -> None:
    """The server sees the address of the client: not that of the proxy, nor a forged one."""
    addresses = []
    count = AccessService.count_connection

    async def note(service: AccessService, address: str) -> Any:
        addresses.append(address)
        return await count(service, address)

    with mock.patch.object(AccessService, "count_connection", note):
        async with _client(proxy, local_addr=("127.0.0.3", 0), additional_headers=FORGED):
            pass
        async with live.client(additional_headers=FORGED, local_addr=("127.0.0.4", 0)):
            pass
    assert addresses == ["127.0.0.3", "127.0.0.4"]
    origin = f"https://{NAME}:{proxy.port}"
    async with _client(proxy, origin=origin):  # the page of this server
        pass
    with pytest.raises(InvalidStatus):
        async with _client(proxy, origin="https://elsewhere.example"):
            pass


async def test_what_is_refused(proxy: Proxy) -> None:
    """Large uploads, /metrics and plain HTTP do not pass; logs have no credentials."""
    too_long = await _request(proxy, "POST", "/api/prices/", body=b" " * 2_600_000)
    # The server refuses by the length and closes, which Caddy may meet while it still sends.
    assert too_long.status in ((413, 502) if isinstance(proxy, Caddy) else (413,))
    assert (await _request(proxy, "POST", "/admin/", body=b" " * 2_600_000)).status != 413
    for path in ("/metrics", "/metrics/", "/metrics?x=1", "//metrics", "/%6detrics"):
        response = await _request(proxy, "GET", path)
        assert (response.status, "quotes" in response.text) == (404, False)

    redirect = await _request(proxy, "GET", "/docs/?a=b", tls=False, headers={"Host": NAME})
    assert redirect.status == 308
    ports = ("", f":{proxy.port}")  # Caddy knows the port, which nginx takes for 443
    assert redirect.headers["Location"] in [f"https://{NAME}{port}/docs/?a=b" for port in ports]
    for path in (
        f"/udf/key/{SECRET}/config",
        f"/kite?access_token={SECRET}",
        f"/x?ticket={SECRET}",
    ):
        headers = {"Authorization": f"Bearer {SECRET}", "Referer": f"/?{SECRET}"}
        await _request(proxy, "GET", path, headers=headers)
    with contextlib.suppress(InvalidStatus):
        async with _client(proxy, f"/live-price?ticket={SECRET}"):
            pass
    assert "/kite" in proxy.log()
    assert SECRET not in proxy.log()
    if isinstance(proxy, Nginx):
        script = await _request(proxy, "GET", "/static/app.js")
        assert script.text == "export {};\n"
        assert script.headers["Strict-Transport-Security"]
        assert "max-age=60" in script.headers["Cache-Control"]
