"""The start of a machine's processes: checks before it, and the addresses once they work.

`processes.py` lists the processes.
"""

import asyncio
import contextlib
import http.client
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from django.http.request import validate_host

from quotes.conf import conf
from quotes.publish.simulation.master import simulated_master_fill
from quotes.runtime.clock import today_in_india
from quotes.serve.console import Console
from quotes.serve.demo_operator import demo_operator_lines
from quotes.serve.embedded_redis import EmbeddedServer, embedded_server
from quotes.serve.leftovers import check_leftovers
from quotes.serve.listening import EVERYWHERE, LOOPBACK, open_listeners
from quotes.serve.processes import (
    DEMO_KEEP_HISTORY,
    ServeOptions,
    drain_time_s,
    planned_children,
)
from quotes.serve.redis_probe import NothingListens, RedisAddress, ping
from quotes.serve.shown_commands import shown_command
from quotes.serve.stored_data import stored_data_lines
from quotes.serve.supervisor import OWN_NAME, Supervisor, Timing

READY_TIMEOUT_S = 20.0
REQUEST_TIMEOUT_S = 1.0
MAX_ANSWER_BYTES = 4096
PAUSE_S = 0.5
# A guard has ended the processes of a supervisor that was killed by then.
GUARD_S = 3.0

# Alias, the setting that names it, and how it is brought up to date.
DATABASES = (
    ("default", "DATABASE_URL", "manage.py migrate"),
    ("history", "HISTORY_DATABASE_URL", "manage.py migrate --database history"),
)


class DatabaseNotReady(Exception):
    """A database cannot be used; the text says what to do."""


def serve(options: ServeOptions) -> None:
    """Run the price server until Ctrl-C or SIGTERM.

    Raises:
        CannotListen, DatabaseNotReady, LeftOver, RedisUnavailable: before anything was started.
        ChildNotReady: the embedded Redis did not start.
    """
    redis_address = RedisAddress.from_url(settings.REDIS_URL)
    redis_folder = Path(settings.BASE_DIR, conf.embedded_folder, str(redis_address.port))
    check_leftovers(
        folder=settings.BASE_DIR,
        port=options.port,
        redis_url=str(redis_address),
        redis_folder=redis_folder.absolute(),
        patience_s=GUARD_S,
    )
    check_database()
    filled, is_simulated = _fill_master() if options.demo else ("", False)
    keep_history = demo_retention() if is_simulated else conf.keep_history
    embedded = find_redis(settings.REDIS_URL)
    with contextlib.ExitStack() as stack:
        listeners = open_listeners(options.host, options.port, options.workers)
        for one in itertools.chain.from_iterable(listeners):
            stack.enter_context(one)
        address = listeners[0][0].getsockname()[:2]
        siblings_folder = ""
        if options.workers > 1:  # only this user may enter it
            folder = tempfile.TemporaryDirectory(prefix="live-price-", ignore_cleanup_errors=True)
            siblings_folder = stack.enter_context(folder)
        children = planned_children(options, listeners, embedded, siblings_folder, keep_history)
        console = Console(sys.stdout, [OWN_NAME, *(child.name for child in children)])

        async def started() -> None:
            problem = await wait_until_ready(options, address)
            operator = await asyncio.to_thread(_demo_operator, options)
            data = await asyncio.to_thread(stored_data_lines, embedded, keep_history)
            for line in ready_lines(
                options, address, embedded, problem=problem, operator=operator, data=data
            ):
                console.line(OWN_NAME, line)

        def close_listeners() -> None:
            # A proxy goes on to another server at once, and no client waits in a queue for nothing.
            for one in itertools.chain.from_iterable(listeners):
                one.close()

        try:
            if filled:
                console.line(OWN_NAME, filled)
            if embedded:
                console.line(
                    OWN_NAME,
                    f"Redis does not answer at {embedded.address}: starting an embedded Valkey",
                )
            timing = stop_timing(drain_time_s(options))
            supervisor = Supervisor(
                children, console, started=started, stopping=close_listeners, timing=timing
            )
            asyncio.run(supervisor.run())
        finally:
            console.close()


def stop_timing(drain_s: float) -> Timing:
    """Return the supervisor's periods: web servers get their time on top of the usual."""
    usual = Timing()
    return Timing(stop=usual.stop + drain_s, guard_grace=usual.guard_grace + drain_s)


def _demo_operator(options: ServeOptions) -> list[str]:
    """Return the lines about the demo's operator; close the connection of this thread."""
    try:
        return demo_operator_lines(options)
    finally:
        connections["default"].close()


def demo_retention() -> str:
    """Return how long the demo keeps history: as QUOTES_KEEP_HISTORY says, or what fits a laptop.

    A server's database may hold more than a demo: there nothing is dropped without the setting.
    """
    if "QUOTES_KEEP_HISTORY" in os.environ:  # an empty one keeps everything
        return conf.keep_history
    return DEMO_KEEP_HISTORY if connections["history"].vendor == "sqlite" else ""


def _fill_master() -> tuple[str, bool]:
    """Put the simulated instruments into a master that has no others.

    Returns:
        What was done, and whether the master has simulated instruments alone.
    """
    try:
        count = simulated_master_fill(today=today_in_india())
    except DatabaseError as error:
        return f"the master has no simulated instruments: {error}", False
    finally:
        connections["default"].close()
    if count is None:
        return "the instrument master is yours: it gets no simulated instruments", False
    return f"the instrument master has the {count} instruments of the simulated market", True


def check_database() -> None:
    """Raise DatabaseNotReady unless both databases answer and have every migration."""
    for alias, setting, command in DATABASES:
        check_migrations(alias, setting, command)


def check_migrations(alias: str, setting: str, command: str) -> None:
    """Raise DatabaseNotReady unless one of DATABASES answers and has every migration."""
    connection = connections[alias]
    try:
        executor = MigrationExecutor(connection)
        apps = None if alias == "default" else alias
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes(apps))
    except DatabaseError as error:
        raise DatabaseNotReady(f"cannot use the database of {setting}: {error}") from error
    finally:
        connection.close()
    if missing:
        raise DatabaseNotReady(
            f"the database of {setting} is not up to date: run `{command}` "
            f"(migrations to apply: {len(missing)})"
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


async def wait_until_ready(options: ServeOptions, address: tuple[str, int]) -> str:
    """Wait until the web server answers and finds Redis, database and bridge.

    Returns:
        What is still wrong after 20 s; "" when ready.
    """
    # With --no-bridge, another machine runs the bridge: its absence is no problem of this one.
    path = "/readyz" if options.bridge else "/healthz"
    host = f"{shown_host(options)}:{address[1]}"
    deadline = time.monotonic() + READY_TIMEOUT_S
    while True:
        # Short requests: a thread cannot be cancelled when Ctrl-C comes.
        problem = await asyncio.to_thread(readiness_problem, address, path, host=host)
        if not problem or time.monotonic() > deadline:
            return problem
        await asyncio.sleep(PAUSE_S)


def readiness_problem(address: tuple[str, int], path: str, *, host: str) -> str:
    """Ask the web server; return what is wrong, "" for nothing.

    Args:
        host: the Host header, a name that ALLOWED_HOSTS allows.
    """
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0])  # noqa: S104
    connection = http.client.HTTPConnection(here, address[1], timeout=REQUEST_TIMEOUT_S)
    try:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        status, body = response.status, response.read(MAX_ANSWER_BYTES)
    except (OSError, http.client.HTTPException):
        return "the web server does not answer"
    finally:
        connection.close()
    if status < 500:
        return ""
    try:
        parts = {**json.loads(body)}
    except (ValueError, TypeError):
        parts = {}
    for name in ("status", "kafka_lag"):
        parts.pop(name, None)
    wrong = ", ".join(
        f"{name}: {state}"
        for name, state in parts.items()
        if isinstance(state, str) and state != "ok"
    )
    return wrong or f"the web server answers {path} with status {status}"


def shown_host(options: ServeOptions) -> str:
    """Return the host name to open in a browser on this machine."""
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


def _metrics_line() -> list[str]:
    return [f"  metrics    http://{conf.metrics}/metrics"] if conf.has_metrics else []


def ready_lines(
    options: ServeOptions,
    address: tuple[str, int],
    embedded: EmbeddedServer | None,
    *,
    problem: str = "",
    operator: Sequence[str] = (),
    data: Sequence[str] = (),
) -> list[str]:
    """Return the lines that say what to open, how to publish and how to stop.

    Args:
        operator: lines about the account for admin.
        data: lines about the data on this machine.
    """
    where = f"{shown_host(options)}:{address[1]}"
    redis = str(RedisAddress.from_url(settings.REDIS_URL))
    if embedded:
        redis += " (embedded)"
    lines = [
        f"not ready yet, see the lines above: {problem}" if problem else "ready",
        f"  page       http://{where}/",
        f"  prices     ws://{where}/live-price",
        *([f"  documents  http://{where}/docs/"] if conf.screens else []),
        f"  API        http://{where}/api/docs/",
        f"  admin      http://{where}/admin/",
        *operator,
        *_metrics_line(),
        f"  Redis      {redis}",
        *data,
        f"  publish    {shown_command('publish_price', 'AAPL', '189.45')}",
        "  stop       Ctrl-C",
    ]
    if options.host in LOOPBACK:
        lines.append("only this machine can connect; to let others in, start with --host 0.0.0.0")
    elif all(host in (*LOOPBACK, "[::1]") for host in settings.ALLOWED_HOSTS):
        lines.append(
            "other machines are refused: add the name or address of this one to ALLOWED_HOSTS"
        )
    elif settings.HTTPS:
        lines.append(
            "log-in from other machines needs HTTPS (docs/operations.md), or HTTPS=false in .env "
            "on a network that you trust"
        )
    return lines
