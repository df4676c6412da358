"""Servers that can never be used are refused at the start, with what to write instead.

And a connection to a server that is no master any more ends.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from redis import Redis

from quotes.runtime.redis_link import NotMaster as LinkNotMaster
from quotes.runtime.redis_link import RedisDown, RedisLink
from quotes.runtime.sentinel import NoMaster, find_master_now
from quotes.runtime.sentinel_url import parse_sentinel_url
from quotes.serve.redis_probe import RedisUnavailable
from quotes.serve.startup import find_redis
from quotes.store.clients import async_client, sync_client
from quotes.store.connections import NotMaster
from quotes.store.request_clients import RequestRedis, cause_of, request_client
from quotes.store.server_check import server_problem
from tests.ports import free_port
from tests.programs import ROOT
from tests.sentinels import MASTER, SENTINEL_PASSWORD, SentinelGroup, SentinelProcess
from tests.valkey import ValkeyProcess
from tests.waiting import eventually


@pytest.fixture(scope="module")
def group() -> Iterator[SentinelGroup]:
    with SentinelGroup() as group:
        yield group


@pytest.fixture(scope="module")
def cluster_node() -> Iterator[ValkeyProcess]:
    with ValkeyProcess(free_port(), "--cluster-enabled", "yes") as server:
        yield server


@pytest.fixture(scope="module")
def ports(group: SentinelGroup, cluster_node: ValkeyProcess) -> dict[str, int]:
    """Port of each kind of server."""
    return {
        "replica": group.replica.port,
        "sentinel": group.sentinel.port,
        "cluster": cluster_node.port,
        "master": group.master.port,
        "nobody": free_port(),
    }


# A URL, and what is said of it.
WRONG = [
    ("redis://127.0.0.1:{replica}/0", "127.0.0.1:{replica} is a replica: write the URL of its ma"),
    ("redis://server:hush@127.0.0.1:{replica}/0", "127.0.0.1:{replica} is a replica: write the U"),
    (
        "redis://:" + SENTINEL_PASSWORD + "@127.0.0.1:{sentinel}/0",
        "{sentinel} is a Sentinel, not R",
    ),
    ("redis://127.0.0.1:{cluster}/0", "127.0.0.1:{cluster} is a node of a Redis Cluster, which is"),
    ("redis+sentinel://127.0.0.1:{master}/prices", "127.0.0.1:{master} is Redis, not Sentinel: na"),
    (
        "redis+sentinel://127.0.0.1:{sentinel}/other?sentinel_password=" + SENTINEL_PASSWORD,
        "127.0.0.1:{sentinel} watches no master of this name: write the one that",
    ),
    (
        "redis+sentinel://127.0.0.1:{sentinel}/prices",
        "127.0.0.1:{sentinel} refuses the server's credentials: set sentinel_password",
    ),
    (
        "redis+sentinel://127.0.0.1:{sentinel}/prices?sentinel_password=hush",
        "127.0.0.1:{sentinel} refuses the server's credentials: set sentinel_password",
    ),
    ("redis+sentinel://:hush@127.0.0.1", "name the master behind the hosts"),
]


@pytest.mark.parametrize(("url", "sentence"), WRONG)
def test_wrong_server_is_refused_with_what_to_write(
    ports: dict[str, int], url: str, sentence: str
) -> None:
    url, sentence = url.format(**ports), sentence.format(**ports)
    problem = server_problem(url)
    assert sentence in problem and "hush" not in problem
    with pytest.raises(RedisUnavailable) as caught:  # as `serve` finds out
        find_redis(url)
    assert sentence in str(caught.value) and "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:{master}/0",
        "redis://:hush@127.0.0.1:{nobody}/0",
        "redis://nobody:hush@127.0.0.1:{master}/0",
        "redis+sentinel://127.0.0.1:{nobody}/prices",
        "redis+sentinel://127.0.0.1:{nobody},127.0.0.1:{sentinel}/prices?sentinel_password="
        + SENTINEL_PASSWORD,
    ],
)
def test_right_or_silent_server_is_waited_for(ports: dict[str, int], url: str) -> None:
    """What does not answer may do so later; whoever logs in says what is wrong with a password."""
    assert server_problem(url.format(**ports)) == ""


def test_servers_of_redis_are_told_apart_as_those_of_valkey_are(redis_program: str) -> None:
    master = ValkeyProcess(free_port())
    replica = ValkeyProcess(free_port(), "--replicaof", "127.0.0.1", str(master.port))
    cluster = ValkeyProcess(free_port(), "--cluster-enabled", "yes")
    sentinel = SentinelProcess(free_port(), master.port)
    with ExitStack() as stack:
        for server in (master, replica, cluster, sentinel):
            server.program = redis_program
            stack.enter_context(server)
        found = [server_problem(one.url) for one in (master, replica, cluster)]
        assert [found[0], "is a replica" in found[1], "Cluster" in found[2]] == ["", True, True]
        url = sentinel.url.replace("://", f"://:{SENTINEL_PASSWORD}@")
        assert "is a Sentinel" in server_problem(url)


def test_bridge_and_recorder_do_not_start(ports: dict[str, int], settings: Any) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{ports['replica']}/0"
    for command in ("bridge_prices", "record_prices"):
        with pytest.raises(CommandError, match=r"REDIS_URL: .* is a replica: write"):
            call_command(command)


def test_web_process_does_not_start(ports: dict[str, int]) -> None:
    url = f"redis+sentinel://127.0.0.1:{ports['master']}/{MASTER}"
    done = subprocess.run(
        [sys.executable, "-m", "uvicorn", "config.asgi:application", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, "REDIS_URL": url},
        capture_output=True,
        text=True,
    )
    assert done.returncode
    assert done.stderr.splitlines()[-1].startswith("REDIS_URL: no Sentinel names the master")
    assert "Traceback" not in done.stderr


async def test_clients_of_every_kind_follow_the_sentinels(
    group: SentinelGroup, settings: Any
) -> None:
    """In the database of the URL, as its user."""
    settings.REDIS_URL = group.url.replace("db=0", "db=3")
    await asyncio.to_thread(sync_client().set, "where", "here")
    link = await RedisLink.connect(settings.REDIS_URL)
    assert await link.command("GET", "where") == b"here"
    assert await link.command("ACL", "WHOAMI") == b"server"
    link.close()
    async with async_client() as client:
        assert await client.get("where") == b"here"
    requests = RequestRedis()
    async with requests.answer() as client:
        assert await client.get("where") == b"here"
    await requests.aclose()

    def ask() -> Any:
        with request_client() as client:
            return client.get("where")

    assert await asyncio.to_thread(ask) == b"here"
    with Redis(port=group.master.port, db=3) as direct:
        assert direct.get("where") == b"here"


async def test_demoted_server_is_left_by_every_client(settings: Any) -> None:
    """Also if an operator does it by hand, which closes no connection."""
    with ValkeyProcess(free_port()) as master, ValkeyProcess(free_port()) as server:
        settings.REDIS_URL = server.url
        client = sync_client()
        await asyncio.to_thread(client.set, "a", "1")
        lost = asyncio.Event()
        writing = await RedisLink.connect(server.url)
        listening = await RedisLink.connect(server.url, on_lost=lost.set)
        awaiting = async_client()
        await awaiting.get("a")
        with Redis(port=server.port) as direct:
            direct.replicaof("127.0.0.1", master.port)
        with pytest.raises(NotMaster):
            await asyncio.to_thread(client.set, "a", "2")
        with pytest.raises(NotMaster):
            await awaiting.set("a", "2")
        await asyncio.wait([asyncio.ensure_future(writing.command("SET", "a", "2"))])
        assert writing.closed
        await eventually(lost.is_set)
        assert listening.closed
        with pytest.raises(LinkNotMaster, match="is a replica"):
            await RedisLink.connect(server.url)
        with pytest.raises(NotMaster, match="is a replica") as caught:
            await asyncio.to_thread(client.get, "a")
        assert cause_of(caught.value) == "Redis has no master that takes writes now"
        await awaiting.aclose()


async def test_master_that_may_not_go_on_alone_is_left(settings: Any) -> None:
    """min-replicas-to-write ends the writes of a master that is cut off from its replicas."""
    with ValkeyProcess(free_port(), "--min-replicas-to-write", "1") as server:
        settings.REDIS_URL = server.url
        with pytest.raises(NotMaster, match="may not go on alone"):
            await asyncio.to_thread(sync_client().set, "a", "1")
        link = await RedisLink.connect(server.url)
        await asyncio.wait([asyncio.ensure_future(link.command("SET", "a", "1"))])
        assert link.closed


async def test_no_sentinel_answers() -> None:
    """Each has a short deadline, whether it refuses, hangs or is no Sentinel."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{port}/prices"
        reasons = r"cannot be reached .*; .* does not answer in time"
        with pytest.raises(RedisDown, match=reasons):
            await RedisLink.connect(url)
        with pytest.raises(NoMaster, match=reasons):
            await asyncio.to_thread(find_master_now, parse_sentinel_url(url))
