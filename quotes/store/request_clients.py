"""Clients of Redis for requests of which somebody awaits the answer: each has one deadline in all.

A client for threads (`request_client`) and one for an event loop (`RequestRedis`). A command is not
tried twice. Once Redis hangs, requests fail at once instead of waiting one after the other
(`CircuitBreaker`). Background work is patient and uses `clients.py`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool, DefaultParser
from redis.exceptions import AuthenticationError, AuthorizationError, BusyLoadingError, RedisError
from redis.retry import Retry

from quotes.conf import conf
from quotes.runtime.circuit_breaker import CircuitBreaker
from quotes.store.connections import (
    CONNECTIONS,
    MasterUnknown,
    NotMaster,
    open_client,
    open_pool,
)


def cause_of(error: BaseException) -> str:
    """Return why a request got no answer of Redis, for its caller: no address, no credential."""
    if isinstance(error, redis.TimeoutError | TimeoutError):
        return f"Redis does not answer within {conf.redis_timeout_s:g} s"
    if isinstance(error, BusyLoadingError):
        return "Redis is loading its file"
    if isinstance(error, AuthenticationError | AuthorizationError):
        return "Redis refuses the server's credentials"
    if isinstance(error, NotMaster | MasterUnknown):
        return "Redis has no master that takes writes now"
    if isinstance(error, redis.ConnectionError | OSError):
        return "Redis cannot be reached"
    return "Redis refuses the command"


# -- for threads -----------------------------------------------------------------------------------

# The monotonic time at which the request under way in this thread gives up.
_deadline: ContextVar[float | None] = ContextVar("redis_deadline", default=None)


_LEAST_S = 0.001


def _remaining_s() -> float:
    deadline = _deadline.get()
    if deadline is None:
        return conf.redis_timeout_s
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise redis.TimeoutError("the deadline of the request has passed")
    return remaining


class _DeadlineParser(DefaultParser):  # type: ignore[misc, valid-type]
    """Reads replies until the deadline: redis-py's own time-out begins again with each read."""

    def read_from_socket(self, timeout: Any = None, raise_on_timeout: bool = True) -> Any:
        return super().read_from_socket(_remaining_s(), raise_on_timeout)


class _DeadlineConnection:
    """A connection whose connecting, writing and reading end at the request's deadline."""

    _sock: Any

    @property
    def socket_connect_timeout(self) -> float:
        # redis-py leaves the socket open if this raises.
        try:
            return _remaining_s()
        except redis.TimeoutError:
            return _LEAST_S

    @socket_connect_timeout.setter
    def socket_connect_timeout(self, value: Any) -> None:
        """Leave it at what remains."""

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        items = [command] if isinstance(command, str | bytes) else command
        super().send_packed_command(self._timed(items), check_health)  # type: ignore[misc]

    def _timed(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self._sock.settimeout(_remaining_s())
            yield item


_CONNECTIONS = {
    scheme: type(f"Deadline{kind.__name__}", (_DeadlineConnection, kind), {})
    for scheme, kind in CONNECTIONS.items()
}


@lru_cache(maxsize=4)
def _pool(url: str) -> ConnectionPool:
    return open_pool(
        url,
        classes=_CONNECTIONS,
        parser_class=_DeadlineParser,
        socket_timeout=conf.redis_timeout_s,
        retry=Retry(NoBackoff(), 0),
    )


@lru_cache(maxsize=4)
def _breaker(url: str) -> CircuitBreaker:
    return CircuitBreaker()


@contextmanager
def request_client() -> Iterator[redis.Redis]:
    """Yield a client for one request of this thread, over the process's pool.

    All that is done with it ends within QUOTES_REDIS_TIMEOUT_S, or at once while Redis hangs.

    Raises:
        redis.RedisError: Redis did not answer in time, cannot be reached or refuses a command;
            `cause_of` says which.
    """
    url = settings.REDIS_URL
    breaker = _breaker(url)
    if not breaker.allows_call():
        raise redis.TimeoutError("Redis hangs")
    token = _deadline.set(time.monotonic() + conf.redis_timeout_s)
    hung = False
    try:
        yield redis.Redis(connection_pool=_pool(url))
    except redis.TimeoutError:
        hung = True
        raise
    finally:
        _deadline.reset(token)
        breaker.hung() if hung else breaker.answered()


# -- for event loops -------------------------------------------------------------------------------


class RequestRedis:
    """Redis as the requests of one event loop's clients use it. Its waits may be cancelled.

    Args:
        client: by default one that tries each command once.

    Attributes:
        breaker: while it is open nobody waits, until a probe or whoever watches Redis closes it.
    """

    def __init__(self, client: redis.asyncio.Redis | None = None) -> None:
        self.client: redis.asyncio.Redis = client or open_client(
            settings.REDIS_URL,
            socket_timeout=conf.redis_timeout_s,
            socket_connect_timeout=conf.redis_timeout_s,
            retry=AsyncRetry(NoBackoff(), 0),
        )
        self.breaker = CircuitBreaker()

    def deadline(self) -> float:
        """Return the loop time up to which a request that begins now may wait for Redis."""
        now = asyncio.get_running_loop().time()
        return now if self.breaker.is_open else now + conf.redis_timeout_s

    @asynccontextmanager
    async def answer(
        self, until: float | None = None, *, is_probe: bool = False
    ) -> AsyncIterator[redis.asyncio.Redis]:
        """Yield the client for what has to be answered by a loop time, by default `deadline()`.

        Args:
            is_probe: try even while Redis is known to hang; for background tasks.

        Raises:
            TimeoutError: Redis did not answer by then, or is known to hang.
            redis.RedisError, OSError: it cannot be reached, or refuses a command.
        """
        if self.breaker.is_open and not is_probe:
            raise TimeoutError("Redis hangs")
        now = asyncio.get_running_loop().time()
        if until is None:
            until = now + conf.redis_timeout_s
        try:
            if until <= now:
                raise TimeoutError("Redis did not answer before")
            async with asyncio.timeout_at(until):
                yield self.client
        except (redis.TimeoutError, TimeoutError):
            self.breaker.hung()
            raise
        except (RedisError, OSError):
            self.breaker.answered()
            raise
        self.breaker.answered()

    async def aclose(self) -> None:
        await self.client.aclose()
