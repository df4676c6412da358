"""The start of a machine's processes: what must hold before, and what is said when they work.

Which processes there are is in `quotes/processes.py`.
"""

import asyncio
import contextlib
import http.client
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http.request import validate_host
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from quotes.conf import conf
from quotes.console import Console
from quotes.embedded import EmbeddedServer, embedded_server
from quotes.listener import EVERYWHERE, LOOPBACK, open_listeners
from quotes.processes import Options, plan
from quotes.redis_probe import NothingListens, RedisAddress, ping
from quotes.store import idle_shards
from quotes.supervisor import OWN_NAME, Supervisor

READY_TIMEOUT_S = 20.0
REQUEST_TIMEOUT_S = 1.0
PAUSE_S = 0.1


class DatabaseNotReady(Exception):
    """The database can't be used; the text says what to do."""


def serve(options: Options) -> None:
    """Run the price server until Ctrl-C or SIGTERM.

    Raises:
        CannotListen, DatabaseNotReady, RedisUnavailable: before anything was started.
        ChildNotReady: the embedded Redis did not start.
    """
    check_database()
    embedded = find_redis(settings.REDIS_URL)
    with contextlib.ExitStack() as stack:
        listeners = open_listeners(options.host, options.port, options.workers)
        for listener in listeners:
            stack.enter_context(listener)
        address = listeners[0].getsockname()[:2]
        children = plan(options, listeners, embedded)
        console = Console(sys.stdout, [OWN_NAME, *(child.name for child in children)])

        async def started() -> None:
            problem = await wait_until_ready(options, address)
            for line in addresses(options, address, embedded, problem=problem):
                console.line(OWN_NAME, line)

        try:
            if embedded:
                console.line(
                    OWN_NAME,
                    f"no Redis answers at {embedded.address}: starting an embedded Valkey there",
                )
            asyncio.run(Supervisor(children, console, started=started).run())
        finally:
            console.close()


def check_database() -> None:
    """Raise DatabaseNotReady unless the database answers and has every migration."""
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        raise DatabaseNotReady(f"the database of DATABASE_URL can't be used: {error}") from error
    finally:
        connection.close()
    if missing:
        raise DatabaseNotReady(
            f"the database lacks {len(missing)} migrations: run manage.py migrate"
        )


def find_redis(url: str) -> EmbeddedServer | None:
    """Return None when Redis answers at the URL, or an embedded server to start there.

    Raises:
        RedisUnavailable: neither is possible.
    """
    try:
        ping(url)
    except NothingListens:
        if not RedisAddress.from_url(url).is_local:
            raise
        folder = Path(settings.BASE_DIR, conf.embedded_folder)
        return embedded_server(url, folder, persistent=conf.embedded_persistent)
    return None


async def wait_until_ready(options: Options, address: tuple[str, int]) -> str:
    """Wait until a bridge works and the web server answers.

    Returns:
        What is still missing after 20 s, or nothing.
    """
    checks: list[tuple[str, Callable[[], bool]]] = [
        ("the web server does not answer", partial(web_answers, options, address))
    ]
    if options.bridge:
        checks.insert(0, ("no bridge works", bridge_works))
    deadline = time.monotonic() + READY_TIMEOUT_S
    missing = []
    for text, holds in checks:
        # One short question at a time: a thread can't be cancelled when Ctrl-C comes.
        while not await asyncio.to_thread(holds):
            if time.monotonic() > deadline:
                missing.append(text)
                break
            await asyncio.sleep(PAUSE_S)
    return " and ".join(missing)


def web_answers(options: Options, address: tuple[str, int]) -> bool:
    host, port = address
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    connection = http.client.HTTPConnection(here, port, timeout=REQUEST_TIMEOUT_S)
    try:
        connection.request("GET", "/healthz", headers={"Host": f"{shown_host(options)}:{port}"})
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def bridge_works() -> bool:
    """Return whether a bridge, here or elsewhere, works: its status lives as long as its lease."""
    try:
        with Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=REQUEST_TIMEOUT_S,
            socket_connect_timeout=REQUEST_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        ) as client:
            return not idle_shards(client)
    except RedisError:
        return False


def shown_host(options: Options) -> str:
    """Return the host name that a person on this machine opens."""
    local = options.host in EVERYWHERE or options.host in LOOPBACK
    name = "localhost" if local else options.host
    if ":" in name:
        name = f"[{name}]"
    # As Django does while DEBUG is on and nothing is set.
    if validate_host(name, settings.ALLOWED_HOSTS or [".localhost", "127.0.0.1", "[::1]"]):
        return name
    # A deployment that answers to its own name only.
    own = [host for host in settings.ALLOWED_HOSTS if not host.startswith(("*", "."))]
    return own[0] if own else name


def addresses(
    options: Options,
    address: tuple[str, int],
    embedded: EmbeddedServer | None,
    *,
    problem: str = "",
) -> list[str]:
    """Return the lines that tell a person what to open, how to publish and how to stop."""
    where = f"{shown_host(options)}:{address[1]}"
    redis = str(RedisAddress.from_url(settings.REDIS_URL))
    if embedded:
        redis += f" (embedded, files in {os.path.relpath(embedded.folder, settings.BASE_DIR)})"
    python = os.path.relpath(sys.executable)
    if python.startswith(".."):
        python = "python"
    lines = [
        f"not ready yet: {problem}, see the lines above" if problem else "ready",
        f"  page       http://{where}/",
        f"  prices     ws://{where}/live-price",
        f"  API        http://{where}/api/docs/",
        f"  admin      http://{where}/admin/",
        f"  Redis      {redis}",
        f"  publish    {python} manage.py publish_price AAPL 189.45",
        "  stop       Ctrl-C",
    ]
    if options.host in LOOPBACK:
        lines.append("only this machine can connect; --host 0.0.0.0 lets others in")
    elif all(host in (*LOOPBACK, "[::1]") for host in settings.ALLOWED_HOSTS):
        lines.append("requests from other machines are refused until ALLOWED_HOSTS names this one")
    return lines
