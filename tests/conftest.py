"""Fixtures that every test may use: a Redis-protocol server, a live server, the database."""

import asyncio
import signal
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from django.db import connections
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.test import TransactionTestCase
from hypothesis import settings as hypothesis_settings
from pytest_django import DjangoDbBlocker
from redis import Redis

from instruments.index import index
from quotes.runtime import clock
from quotes.store.redis_clock import redis_clock
from tests.databases import MigratedDatabases
from tests.environment import REDIS_TEST_PORT
from tests.postgres import PostgresServer, find_program
from tests.valkey import ValkeyProcess

if TYPE_CHECKING:
    from tests.live import LiveServer

# No test asserts a time: an example may take long on a busy machine.
hypothesis_settings.register_profile("tests", deadline=None)
hypothesis_settings.load_profile("tests")

In = Callable[..., Awaitable[Any]]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run what is quick first: a mistake shows early.

    Several processes (pytest-xdist) begin with the files that have slow tests instead: a long one
    that comes last would keep one process busy while the others have nothing to do.
    """
    is_shared = hasattr(config, "workerinput")
    items.sort(key=lambda item: (item.get_closest_marker("slow") is not None) != is_shared)


@pytest.fixture(scope="session", autouse=True)
def signals_for_children() -> Iterator[None]:
    """Let child processes start with default signal handling, also under nohup or in a script.

    A child inherits an ignored signal as ignored. A handler that does nothing has the same effect
    in this process, and a child starts with the default instead.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ignored = [one for one in numbers if signal.getsignal(one) is signal.SIG_IGN]
    for one in ignored:
        signal.signal(one, lambda number, frame: None)
    yield
    for one in ignored:
        signal.signal(one, signal.SIG_IGN)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Every test begins with the rows of migrations, also after one that commits."""
    with django_db_blocker.unblock():
        databases = MigratedDatabases()
    undo = databases.put_back_after
    with mock.patch.object(TransactionTestCase, "_fixture_teardown", lambda case: undo(case)):
        yield
    databases.close()


@pytest.fixture(scope="session", autouse=True)
def failed_connections_end() -> Iterator[None]:
    """Close a connection to SQLite that fails in its first statements, such as on a locked table.

    Its traceback holds it. If the garbage collector closes it in the middle of a query, both wait
    for the lock of the database in memory, which they share, for ever.
    """
    connect = DatabaseWrapper.get_new_connection

    def get_new_connection(wrapper: DatabaseWrapper, parameters: Any) -> Any:
        try:
            return connect(wrapper, parameters)
        except Exception as error:
            traceback.clear_frames(error.__traceback__)
            raise

    with mock.patch.object(DatabaseWrapper, "get_new_connection", get_new_connection):
        yield


@pytest.fixture(scope="session", autouse=True)
def static_files_on_request() -> Iterator[None]:
    """Let each test client look for a static file when it is requested: reading all takes 40 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.conf.settings.WHITENOISE_AUTOREFRESH", True, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def objects_in_sight() -> Iterator[None]:
    """Let feeds of this process set no objects aside: hypothesis searches by the collector."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quotes.websocket.feed.feed.set_survivors_aside", lambda: None)
        yield


@pytest.fixture(autouse=True)
def unread_master() -> None:
    """No test resolves names by instruments that another read into this process."""
    if index.version != -1:
        index.__init__()  # type: ignore[misc]


@pytest.fixture(scope="session")
def redis_server() -> Iterator[ValkeyProcess]:
    """A real Valkey server at settings.REDIS_URL, started once."""
    with ValkeyProcess(REDIS_TEST_PORT) as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server of the tests' own."""
    if find_program("postgres") is None or find_program("initdb") is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    with PostgresServer() as server:
        yield server


@pytest.fixture
def redis(redis_server: ValkeyProcess) -> Iterator[Redis]:
    """A client of an empty server; the server is started again if a test left it down."""
    redis_server.start()
    client = Redis.from_url(redis_server.url, socket_timeout=5)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Sets the clock of this process so many seconds ahead of Redis's.

    Redis's clock is not measured yet: of two fixtures, this one comes before `live`.
    """
    redis_clock.reset()

    def set_ahead(seconds: float) -> None:
        monkeypatch.setattr(clock, "time_ns", lambda: time.time_ns() + round(seconds * 1e9))

    yield set_ahead
    redis_clock.reset()


@pytest.fixture
async def live(redis: Redis, request: pytest.FixtureRequest) -> "AsyncIterator[LiveServer]":
    """A working bridge and a web server in the test's event loop.

    Its frames go over the wire transport, or with the parameter "asgi" through ASGI's send.
    """
    from tests.live import FAST, LiveServer

    plain = getattr(request, "param", "wire") == "asgi"
    async with LiveServer(ws="websockets-sansio" if plain else FAST) as server:
        await server.start_bridge()
        yield server


@pytest.fixture
def database(transactional_db: None) -> In:
    """Calls a function that uses the database from an async test, in a thread."""

    def run(function: Callable[..., Any], arguments: Any, keywords: Any) -> Any:
        try:
            return function(*arguments, **keywords)
        finally:
            connections.close_all()

    async def call(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        return await asyncio.to_thread(run, function, arguments, keywords)

    return call


@pytest.fixture
def required(settings: Any) -> None:
    """Callers have to authenticate before they get prices."""
    settings.QUOTES_AUTH = "required"
