"""Redis at a URL: where it points, and whether a server answers there.

The server that `serve` starts when none does is in `embedded_redis.py`.

RedisUnavailable        Redis cannot be used; the text says what to set, and holds no password
└── NothingListens      no program listens at the address
"""

import socket
from dataclasses import dataclass, field
from ipaddress import ip_address

from redis import Redis
from redis import exceptions as redis_errors
from redis.backoff import NoBackoff
from redis.connection import SSLConnection, parse_url
from redis.retry import Retry

from quotes.runtime.sentinel_url import (
    BadRedisURL,
    is_sentinel_url,
    parse_sentinel_url,
)
from quotes.store.connections import MasterUnknown, NotMaster, open_pool
from quotes.store.server_check import server_problem

PING_TIMEOUT_S = 1.5


class RedisUnavailable(Exception):
    """Redis cannot be used; the text says where, why and what to set."""


class NothingListens(RedisUnavailable):
    """No program listens at the address."""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis URL points; prints as `localhost:6379`, without user or password.

    Attributes:
        sentinels: the master and its Sentinels, for people; "" if it is no Sentinel URL. Host and
            port are then those of the first Sentinel.
    """

    host: str
    port: int
    tls: bool
    path: str
    db: int
    username: str = field(repr=False)
    password: str = field(repr=False)
    sentinels: str = ""

    @classmethod
    def from_url(cls, url: str) -> "RedisAddress":
        """Return the address; raise RedisUnavailable if this is not a Redis URL."""
        if is_sentinel_url(url):
            return cls._from_sentinel_url(url)
        try:
            parts = parse_url(url)  # type: ignore[no-untyped-call]
        except (ValueError, TypeError):
            # The cause may quote the URL, and with it a password.
            raise RedisUnavailable(
                "REDIS_URL must look like redis://:PASSWORD@HOST:PORT/0"
            ) from None
        return cls(
            host=parts.get("host", "localhost"),
            port=parts.get("port", 6379),
            tls=parts.get("connection_class") is SSLConnection,
            path=parts.get("path", ""),
            db=parts.get("db", 0),
            username=parts.get("username") or "",
            password=parts.get("password") or "",
        )

    @classmethod
    def _from_sentinel_url(cls, url: str) -> "RedisAddress":
        try:
            target = parse_sentinel_url(url)
        except BadRedisURL as error:
            raise RedisUnavailable(f"REDIS_URL: {error}") from None
        host, port = target.sentinels[0]
        return cls(
            host=host,
            port=port,
            tls=target.tls,
            path="",
            db=target.db,
            username=target.username,
            password=target.password,
            sentinels=str(target),
        )

    @property
    def is_local(self) -> bool:
        """Whether a server without TLS on this machine's loopback address can stand in."""
        if self.path or self.tls or self.sentinels:
            return False
        if self.host == "localhost" or self.host == "::1":
            return True
        try:
            address = ip_address(self.host)
        except ValueError:
            return False
        return address.version == 4 and address.is_loopback

    def __str__(self) -> str:
        if self.path or self.sentinels:
            return self.path or self.sentinels
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def ping(url: str, *, timeout_s: float = PING_TIMEOUT_S) -> None:
    """Return when a Redis-protocol server answers at the URL with its password, TLS and database.

    Raises:
        NothingListens: no program listens there.
        RedisUnavailable: the program there cannot be used: it is not Redis, is silent, or requires
            another password.
    """
    address = RedisAddress.from_url(url)
    try:
        if not address.sentinels:
            check_reachable(address, timeout_s)
    except OSError as error:
        reason = (error.strerror or str(error) or "no answer").lower()
        elsewhere = "REDIS_URL" if address.path else "REDIS_URL (or REDIS_HOST and REDIS_PORT)"
        raise NothingListens(
            f"Redis does not answer at {address} ({reason}): "
            f"start it there, or set {elsewhere} to its address"
        ) from error
    pool = open_pool(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )
    client = Redis.from_pool(pool)
    try:
        client.ping()
    except (MasterUnknown, NotMaster) as error:
        raise RedisUnavailable(f"REDIS_URL: {error}") from error
    except redis_errors.BusyLoadingError:
        pass  # Redis is there and loads its data: clients wait for it by themselves.
    except redis_errors.RedisError as error:
        if isinstance(error, redis_errors.AuthenticationError) and (
            problem := server_problem(url, timeout_s=timeout_s)
        ):
            raise RedisUnavailable(f"REDIS_URL: {problem}") from error
        raise RedisUnavailable(ping_error_text(address, error)) from error
    except TypeError as error:
        raise RedisUnavailable(f"REDIS_URL has an unknown option: {error}") from error
    finally:
        client.close()


def answers(url: str) -> bool:
    """Return whether ping() finds nothing wrong within half a second."""
    try:
        ping(url, timeout_s=0.5)
    except RedisUnavailable:
        return False
    return True


def check_reachable(address: RedisAddress, timeout_s: float) -> None:
    """Open and close a connection; raise OSError."""
    if address.path:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(timeout_s)
            probe.connect(address.path)
    else:
        socket.create_connection((address.host, address.port), timeout_s).close()


def ping_error_text(address: RedisAddress, error: redis_errors.RedisError) -> str:
    """Say what is wrong with a server that listens but fails PING, and what to do."""
    if isinstance(error, redis_errors.AuthenticationError):
        if address.password:
            return (
                f"Redis at {address} refuses the user name or password of REDIS_URL: "
                "correct them there"
            )
        if address.sentinels:
            return (
                f"the {address} requires a password: write it before the hosts in REDIS_URL, as in "
                "redis+sentinel://:PASSWORD@HOST:26379/MASTER"
            )
        return (
            f"Redis at {address} requires a password: "
            f"set REDIS_URL to redis://:PASSWORD@{address}/{address.db}"
        )
    if isinstance(error, redis_errors.InvalidResponse):
        return (
            f"the program at {address} is not Redis: "
            "stop it, or set REDIS_URL (or REDIS_PORT) to the address of Redis"
        )
    if isinstance(error, redis_errors.TimeoutError):
        return (
            f"the program at {address} does not answer PING: check that it is Redis, that it "
            "does not hang, and that REDIS_URL says rediss:// if it expects TLS, redis:// if not"
        )
    if isinstance(error, redis_errors.ConnectionError):
        return f"the program at {address} drops the connection, it may not be Redis: {error}"
    return f"Redis at {address} answers PING with an error: {error}"
