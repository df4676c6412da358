"""Clients of Redis for everything off the path of a tick; bridge and layer use `RedisLink`."""

from functools import lru_cache
from typing import Any

import redis
import redis.asyncio
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from quotes.store.connections import open_client, open_pool

_TIMEOUT_S = 5.0
_PROBE_TIMEOUT_S = 0.7


def sync_client() -> redis.Redis:
    """Return a client over the process's pool, for threads and commands; it need not be closed."""
    return redis.Redis(connection_pool=pool(settings.REDIS_URL))


def async_client() -> redis.asyncio.Redis:
    """Return a new client of the running event loop; the caller closes it."""
    return open_client(settings.REDIS_URL, **_connection_options())


@lru_cache(maxsize=4)
def pool(url: str) -> redis.ConnectionPool:
    """Return the process's pool of connections to a URL."""
    return open_pool(url, **_connection_options())


@lru_cache(maxsize=4)
def probing_pool(url: str) -> redis.ConnectionPool:
    """Return a pool whose connections give up soon and try once, for `/readyz`."""
    return open_pool(
        url,
        socket_timeout=_PROBE_TIMEOUT_S,
        socket_connect_timeout=_PROBE_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )


def probing_client() -> redis.Redis:
    """Return a client over `probing_pool`; it need not be closed."""
    return redis.Redis(connection_pool=probing_pool(settings.REDIS_URL))


def _connection_options() -> dict[str, Any]:
    # redis-py 8 gives up after 5 s by default; a command that waits longer sets its own timeout.
    return {"socket_timeout": _TIMEOUT_S, "socket_connect_timeout": _TIMEOUT_S}
