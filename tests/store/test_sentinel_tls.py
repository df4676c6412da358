"""Sentinel and the master over TLS, with a certificate of an authority of their own."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from quotes.runtime.redis_link import RedisDown, RedisLink
from quotes.store.clients import async_client, sync_client
from quotes.store.connections import MasterUnknown, open_pool
from quotes.store.server_check import server_problem
from tests.doctor.certificates import write_certificate
from tests.ports import free_port
from tests.waiting import wait_until


@pytest.fixture
def url(tmp_path: Path, redis_program: str) -> Iterator[str]:
    """The URL of a master and a Sentinel that listen over TLS alone."""
    certificate = str(write_certificate(tmp_path, days=2))
    master, sentinel = free_port(), free_port()
    tls = {
        "tls-cert-file": certificate,
        "tls-key-file": certificate,
        "tls-ca-cert-file": certificate,
        "tls-auth-clients": "no",
        "tls-replication": "yes",
        "port": "0",
        "bind": "127.0.0.1",
        "dir": str(tmp_path),
    }
    text = "".join(f"{name} {value}\n" for name, value in tls.items())
    (tmp_path / "redis.conf").write_text(f'{text}tls-port {master}\nsave ""\n')
    (tmp_path / "sentinel.conf").write_text(
        f"{text}tls-port {sentinel}\nsentinel monitor prices 127.0.0.1 {master} 1\n"
    )
    found = f"rediss+sentinel://127.0.0.1:{sentinel}/prices?ssl_ca_certs={certificate}"
    with ExitStack() as stack, (tmp_path / "log").open("wb") as log:
        for name, options in (("redis.conf", ()), ("sentinel.conf", ("--sentinel",))):
            server = subprocess.Popen(
                [redis_program, str(tmp_path / name), *options], stdout=log, stderr=log
            )
            stack.callback(server.wait)
            stack.callback(server.kill)
        wait_until(lambda: _is_up(found))
        yield found


def _is_up(url: str) -> bool:
    with redis.Redis.from_pool(open_pool(url, socket_timeout=1)) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


async def ask_all(settings: Any, url: str) -> None:
    """Ask over a connection of every kind."""
    settings.REDIS_URL = url
    link = await RedisLink.connect(url)
    await link.ping()
    link.close()
    async with async_client() as client:
        await client.ping()
    await asyncio.to_thread(sync_client().ping)


async def test_certificate_is_checked_on_every_connection(url: str, settings: Any) -> None:
    """By the authority of the URL, unless it says not to."""
    await ask_all(settings, url)
    bare = url.partition("?")[0]
    await ask_all(settings, f"{bare}?ssl_cert_reqs=none&ssl_check_hostname=false")
    settings.REDIS_URL = bare
    with pytest.raises(RedisDown, match="fails the TLS handshake"):
        await RedisLink.connect(bare)
    with pytest.raises(MasterUnknown, match="fails the TLS handshake"):
        await asyncio.to_thread(sync_client().ping)
    assert server_problem(bare) == ""
    assert server_problem(url) == ""
