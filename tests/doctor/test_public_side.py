"""The public side over a real WebSocket, in clear and through a proxy with TLS."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from redis import Redis

from quotes.doctor import certificates, public_side
from quotes.doctor.certificates import check_certificates
from quotes.doctor.deployment import Deployment
from quotes.doctor.findings import Finding, Level
from quotes.doctor.public_side import BadAddress, check_public_side, parse_url
from quotes.rest import readiness
from quotes.runtime.clock import now_ms
from tests.doctor.certificates import tls_proxy, write_certificate
from tests.live import LiveServer
from tests.ports import free_port
from tests.ticks import message

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's threads leave the database of the test alone."""
    monkeypatch.setattr(readiness, "calendar_warnings", list)
    monkeypatch.setattr(readiness, "_database_state", lambda: "ok")


async def checked(url: str, **options: Any) -> list[Finding]:
    deployment = Deployment(url=url, **options)
    return await asyncio.to_thread(lambda: list(check_public_side(deployment)))


def texts(findings: list[Finding], level: Level) -> list[str]:
    return [f"{one.text} -> {one.cure}" for one in findings if one.level is level]


async def test_in_clear_and_over_tls(
    live: LiveServer, redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A price comes; a certificate that clients refuse, or that ends soon, is named."""
    redis.set("stock:AAPL", message("AAPL", "189.45", now_ms()))
    redis.publish("stock:AAPL", message("AAPL", "189.45", now_ms()))
    url = f"http://127.0.0.1:{live.port}"
    found = await checked(url, symbol="AAPL")
    assert texts(found, Level.WARNING) + texts(found, Level.ERROR) == []
    assert "the WebSocket opens" in [one.text for one in found]
    assert found[-1].text.startswith("the price of AAPL came")
    certificate = write_certificate(tmp_path, days=10)
    async with tls_proxy(certificate, live.port) as port:
        url = f"https://127.0.0.1:{port}"
        found = await checked(url, symbol="AAPL")
        (refused,) = texts(found, Level.ERROR)
        assert "clients refuse the certificate: self-signed" in refused
        assert "WebSocket" not in str(found)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        found = await checked(url, symbol="AAPL")
        (ending,) = texts(found, Level.WARNING)
        assert "the certificate of the public address ends on" in ending and "renew" in ending
        assert texts(found, Level.ERROR) == [] and "the price of AAPL came" in found[-1].text


async def test_what_a_client_is_refused_for(
    live: LiveServer, redis: Redis, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad token, no token where one is required, a foreign name, a symbol without a price."""
    monkeypatch.setattr(public_side, "_PRICE_WITHIN_S", 0.3)
    url = f"http://127.0.0.1:{live.port}"
    (found,) = texts(await checked(url, symbol="NONE"), Level.ERROR)
    assert "no price of NONE came within 0.3 s" in found and "--symbol" in found
    (found,) = texts(await checked(url, token="not-a-token"), Level.ERROR)
    assert "refused with HTTP 401" in found and "--token-file" in found
    assert "not-a-token" not in found
    settings.QUOTES_AUTH = "required"
    (found,) = texts(await checked(url, symbol="AAPL"), Level.ERROR)
    assert "the server refuses AAPL" in found and "--token-file" in found
    settings.ALLOWED_HOSTS = ["prices.example.com"]
    found = texts(await checked(url, symbol="AAPL"), Level.ERROR)[0]
    assert "refuses the name 127.0.0.1 -> add it to ALLOWED_HOSTS" in found


async def test_nobody_answers() -> None:
    """The address is named, in clear and over TLS."""
    for scheme in ("http", "https"):
        (found,) = texts(await checked(f"{scheme}://127.0.0.1:{free_port()}"), Level.ERROR)
        assert "127.0.0.1" in found


async def test_certificates_of_servers(
    redis: Redis, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of Redis and PostgreSQL are read as their protocols begin, trusted or not."""
    monkeypatch.setattr(certificates, "_TIMEOUT_S", 2.0)
    redis_port = int(settings.REDIS_URL.rpartition(":")[2].partition("/")[0])
    ended, soon = write_certificate(tmp_path, days=-1), write_certificate(tmp_path, days=2)
    async with (
        tls_proxy(ended, redis_port) as one,
        tls_proxy(soon, redis_port, greeting=b"S") as two,
        tls_proxy(soon, redis_port, greeting=b"N") as three,
    ):
        databases = {
            port: {"HOST": "127.0.0.1", "PORT": port, "OPTIONS": {"sslmode": "require"}}
            for port in (two, three)
        }
        url = f"rediss://:pa55word@127.0.0.1:{one}/0"
        changed = SimpleNamespace(REDIS_URL=url, DATABASES=databases)
        monkeypatch.setattr(certificates, "settings", changed)
        found = await asyncio.to_thread(lambda: list(check_certificates(Deployment())))
    first, second, third = texts(found, Level.ERROR)
    assert first.startswith("the certificate of Redis ended on")
    assert second.startswith("the certificate of PostgreSQL ends on")
    assert "offers no TLS" in third
    assert "pa55word" not in str(found)


@pytest.mark.parametrize(
    "url", ["", "prices.example.com", "ftp://a", "https://", "https://a:x", "https://me:pw@a"]
)
def test_bad_addresses(url: str) -> None:
    """They are refused with what to write, before anything is done."""
    with pytest.raises(BadAddress, match="--url must"):
        parse_url(url)
