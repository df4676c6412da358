"""Fixtures that every test may use: a real Redis-protocol server on a free port, a live server."""

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from tests.environment import REDIS_TEST_PORT
from tests.valkey import ValkeyProcess

if TYPE_CHECKING:
    from tests.live import LiveServer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what is quick first: a mistake shows early."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[ValkeyProcess]:
    """A real Valkey server at settings.REDIS_URL, started once."""
    with ValkeyProcess(REDIS_TEST_PORT) as server:
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
async def live(redis: Redis, request: pytest.FixtureRequest) -> "AsyncIterator[LiveServer]":
    """A working bridge and a web server in the test's event loop.

    Its frames go over the wire transport, or with the parameter "asgi" through ASGI's send.
    """
    from tests.live import FAST, LiveServer

    plain = getattr(request, "param", "wire") == "asgi"
    async with LiveServer(ws="websockets-sansio" if plain else FAST) as server:
        await server.start_bridge()
        yield server
