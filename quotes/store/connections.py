"""Connections to Redis for redis-py, which use a master only, and find it by Sentinels.

A connection to a server that is no master ends with NotMaster, at its beginning or at the first
write that is refused: the pool's next one looks for the master again. With a Sentinel URL the
Sentinels are asked at every connect, and an idle connection is not used any more once they name
another master.

NotMaster           the server is no master, or no longer; the text says what to write
MasterUnknown       no Sentinel names the master
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import redis
import redis.asyncio
from redis import connection as blocking
from redis.asyncio import connection as awaiting

from quotes.runtime.redis_link import MASTER_TIMEOUT_S
from quotes.runtime.redis_roles import is_demoted, role_problem
from quotes.runtime.sentinel import NoMaster, distrust, find_master, find_master_now, master_watch
from quotes.runtime.sentinel_url import (
    SentinelURL,
    is_sentinel_url,
    parse_sentinel_url,
    shown_address,
)


class NotMaster(redis.ConnectionError):
    """The server is no master, or no longer one that takes writes."""


class MasterUnknown(redis.ConnectionError):
    """No Sentinel names the master.

    Attributes:
        is_wrong: as in `NoMaster`.
    """

    def __init__(self, error: NoMaster) -> None:
        super().__init__(str(error))
        self.is_wrong = error.is_wrong


def _refusal(error: redis.ResponseError) -> NotMaster | None:
    """Return what to raise for an error reply of a server that is no master any more."""
    if isinstance(error, redis.ReadOnlyError | redis.exceptions.MasterDownError):
        return NotMaster(f"the server is no master any more: {error}")
    if is_demoted(error):
        return NotMaster(f"the master may not go on alone: {error}")
    return None


def _where(connection: Any) -> str:
    path = getattr(connection, "path", "")
    return path or shown_address((connection.host, connection.port))


# -- for threads -----------------------------------------------------------------------------------


class _MastersOnly:
    """A connection that ends with NotMaster at a server that is no master."""

    handshake_metadata: Any

    def on_connect_check_health(self, check_health: bool = True) -> None:
        super().on_connect_check_health(check_health=check_health)  # type: ignore[misc]
        if problem := role_problem(self.handshake_metadata):
            raise NotMaster(f"{_where(self)} {problem}")

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().read_response(*arguments, **options)  # type: ignore[misc]
        except redis.ResponseError as error:
            if (refusal := _refusal(error)) is None:
                raise
            self.disconnect()  # type: ignore[attr-defined]
            raise refusal from error


class _FollowsSentinels(_MastersOnly):
    """A connection to the master of a Sentinel URL, wherever that is."""

    _sock: Any
    socket_timeout: Any
    socket_connect_timeout: Any

    def __init__(self, *, target: SentinelURL, **options: Any) -> None:
        super().__init__(**options)
        self._target = target
        self._found_at = 0.0

    def connect(self) -> None:
        if self._sock is not None and master_watch(self._target).is_elsewhere_now(
            (self.host, self.port), since=self._found_at
        ):
            self.disconnect()  # type: ignore[attr-defined]
        super().connect()  # type: ignore[misc]

    def _connect(self) -> Any:
        try:
            found = find_master_now(self._target, timeout_s=self.socket_connect_timeout)
        except NoMaster as error:
            raise MasterUnknown(error) from error
        self.host, self.port = found
        self._found_at = time.monotonic()
        try:
            return super()._connect()  # type: ignore[misc]
        except OSError:
            distrust(self._target)
            raise

    def on_connect_check_health(self, check_health: bool = True) -> None:
        # A master that hangs accepts connections too.
        self._sock.settimeout(min(MASTER_TIMEOUT_S, self.socket_timeout))
        try:
            super().on_connect_check_health(check_health)
        except (NotMaster, redis.TimeoutError):
            distrust(self._target)
            raise
        self._sock.settimeout(self.socket_timeout)


class TcpConnection(_MastersOnly, blocking.Connection): ...


class TlsConnection(_MastersOnly, blocking.SSLConnection): ...


class UnixConnection(_MastersOnly, blocking.UnixDomainSocketConnection): ...


class SentinelConnection(_FollowsSentinels, blocking.Connection): ...


class SentinelTlsConnection(_FollowsSentinels, blocking.SSLConnection): ...


# Scheme of a URL -> class of its connections.
CONNECTIONS: Mapping[str, Any] = {
    "redis": TcpConnection,
    "rediss": TlsConnection,
    "unix": UnixConnection,
    "redis+sentinel": SentinelConnection,
    "rediss+sentinel": SentinelTlsConnection,
}


def open_pool(
    url: str, *, classes: Mapping[str, Any] = CONNECTIONS, **options: Any
) -> redis.ConnectionPool:
    """Return a new pool of connections to the master at a URL.

    Args:
        classes: those of the connections, by the URL's scheme.
        options: of redis-py's connections; those in the URL have precedence.
    """
    kind = classes.get(url.partition(":")[0].lower())
    if not is_sentinel_url(url):
        pool = redis.ConnectionPool.from_url(url, **options)
        pool.connection_class = kind or pool.connection_class
        return pool
    return redis.ConnectionPool(connection_class=kind, **_sentinel_options(url, options))


def _sentinel_options(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    target = parse_sentinel_url(url)
    return {
        **options,
        "socket_connect_timeout": min(
            MASTER_TIMEOUT_S, options.get("socket_connect_timeout", MASTER_TIMEOUT_S)
        ),
        "target": target,
        "db": target.db,
        "username": target.username or None,
        "password": target.password or None,
        **dict(target.tls_options),
    }


# -- for event loops -------------------------------------------------------------------------------


class _AwaitingMastersOnly:
    """As `_MastersOnly`."""

    _hello: Any = None

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        self._hello = None
        await super().on_connect_check_health(check_health=check_health)  # type: ignore[misc]
        if problem := role_problem(self._hello):
            raise NotMaster(f"{_where(self)} {problem}")

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            reply = await super().read_response(*arguments, **options)  # type: ignore[misc]
        except redis.ResponseError as error:
            if (refusal := _refusal(error)) is None:
                raise
            await self.disconnect(nowait=True)  # type: ignore[attr-defined]
            raise refusal from error
        if self._hello is None:  # the first reply of all is that to HELLO, or to AUTH
            self._hello = reply if isinstance(reply, dict) else {}
        return reply


class _AwaitingSentinels(_AwaitingMastersOnly):
    """As `_FollowsSentinels`."""

    is_connected: bool

    def __init__(self, *, target: SentinelURL, **options: Any) -> None:
        super().__init__(**options)
        self._target = target
        self._found_at = 0.0

    async def connect(self) -> None:
        if self.is_connected and await master_watch(self._target).is_elsewhere(
            (self.host, self.port), since=self._found_at
        ):
            await self.disconnect(nowait=True)  # type: ignore[attr-defined]
        await super().connect()  # type: ignore[misc]

    async def _connect(self) -> None:
        try:
            found = await find_master(self._target)
        except NoMaster as error:
            raise MasterUnknown(error) from error
        self.host, self.port = found
        self._found_at = time.monotonic()
        try:
            await super()._connect()  # type: ignore[misc]
        except (OSError, TimeoutError):
            distrust(self._target)
            raise

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        try:
            async with asyncio.timeout(MASTER_TIMEOUT_S):
                await super().on_connect_check_health(check_health)
        except NotMaster:
            distrust(self._target)
            raise
        except TimeoutError as error:
            distrust(self._target)
            raise redis.TimeoutError("the master does not answer in time") from error


class AwaitingTcpConnection(_AwaitingMastersOnly, awaiting.Connection): ...


class AwaitingTlsConnection(_AwaitingMastersOnly, awaiting.SSLConnection): ...


class AwaitingUnixConnection(_AwaitingMastersOnly, awaiting.UnixDomainSocketConnection): ...


class AwaitingSentinelConnection(_AwaitingSentinels, awaiting.Connection): ...


class AwaitingSentinelTlsConnection(_AwaitingSentinels, awaiting.SSLConnection): ...


_AWAITING: Mapping[str, Any] = {
    "redis": AwaitingTcpConnection,
    "rediss": AwaitingTlsConnection,
    "unix": AwaitingUnixConnection,
    "redis+sentinel": AwaitingSentinelConnection,
    "rediss+sentinel": AwaitingSentinelTlsConnection,
}


def open_client(url: str, **options: Any) -> redis.asyncio.Redis:
    """Return a new client of the running event loop for the master at a URL; the caller closes it.

    Args:
        options: as for `open_pool`.
    """
    kind: Any = _AWAITING.get(url.partition(":")[0].lower())
    if is_sentinel_url(url):
        pool = redis.asyncio.ConnectionPool(
            connection_class=kind, **_sentinel_options(url, options)
        )
    else:
        pool = redis.asyncio.ConnectionPool.from_url(url, **options)
        pool.connection_class = kind or pool.connection_class
    return redis.asyncio.Redis.from_pool(pool)
