"""Fixtures that every test may use: a real Redis-protocol server on a free port."""

import os
import socket
from collections.abc import Iterator

import pytest
from redis import Redis

from tests.valkey import ValkeyProcess


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# Set before Django reads its settings, so that neither .env nor the machine changes a test.
REDIS_TEST_PORT = free_port()
os.environ.update(
    SECRET_KEY="only for tests, and long enough for any signature that a test makes",
    REDIS_URL=f"redis://127.0.0.1:{REDIS_TEST_PORT}/0",
    DATABASE_URL="sqlite:///test.sqlite3",
    ALLOWED_HOSTS="localhost,127.0.0.1,testserver",
    DEBUG="false",
)


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
