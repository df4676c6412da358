"""Redis: reachable, the right kind of server, its memory, its file, its speed and its buffers."""

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import redis
from django.conf import settings

from quotes.conf import conf
from quotes.doctor.deployment import Deployment
from quotes.doctor.findings import Finding, Level, error, from_sentence, ok, warning
from quotes.serve.redis_probe import RedisAddress, RedisUnavailable, ping
from quotes.store.memory import MIB, RedisMemory
from quotes.store.names import own_key
from quotes.store.shards import shard_count

# XTRIM ... MINID is of 6.2.
_LEAST_VERSION = (6, 2)
_PINGS = 5
_SLOW_MS, _TOO_SLOW_MS = 20.0, 250.0
_HARD_BYTES, _SOFT_BYTES = 256 * MIB, 64 * MIB
PAGE = "redis-full"


def check_redis(deployment: Deployment) -> Iterator[Finding]:
    """Check the server of REDIS_URL."""
    try:
        ping(settings.REDIS_URL, timeout_s=1.0)
    except RedisUnavailable as problem:
        yield from_sentence(Level.ERROR, str(problem), "start Redis there", "prices-stopped")
        return
    client = deployment.redis
    parts: tuple[Callable[[Any], Iterator[Finding]], ...] = (
        _kind,
        _writes,
        _memory,
        _persistence,
        _speed,
        _buffers,
        _password,
    )
    for part in parts:
        try:
            yield from part(client)
        except redis.ResponseError as problem:
            yield ok(f"{part.__name__.strip('_')} cannot be read by this user: {problem}")
        except redis.RedisError as problem:
            yield error(
                f"Redis stopped answering ({type(problem).__name__})",
                "look at its log, and at the machine's CPU and disk",
                "prices-stopped",
            )
            return


def _kind(client: Any) -> Iterator[Finding]:
    """Check the version; `ping` has refused a replica, a node of a Cluster and a Sentinel."""
    server = client.info("server")
    name = "Valkey" if server.get("server_name") == "valkey" else "Redis"
    version = str(server.get("valkey_version") or server.get("redis_version", "0"))
    numbers = str(server.get("redis_version", "0")).split(".")
    if tuple(int(one) for one in numbers[:2] if one.isdigit()) < _LEAST_VERSION:
        yield error(f"{name} {version} is too old", "install Redis 6.2 or newer, or Valkey")
    yield ok(f"{name} {version}, up for {_days(server.get('uptime_in_seconds', 0))}")


def _writes(client: Any) -> Iterator[Finding]:
    """Check that a key can be written: a full or read-only server refuses."""
    key = own_key(f"doctor:{uuid.uuid4().hex}")
    try:
        client.set(key, "1", px=5000)
        client.delete(key)
    except redis.ResponseError as problem:
        full = isinstance(problem, redis.exceptions.OutOfMemoryError)
        yield error(
            f"Redis refuses to write: {problem}",
            "raise maxmemory, or delete keys of other programs" if full else "correct that first",
            PAGE if full else "prices-stopped",
        )


def _memory(client: Any) -> Iterator[Finding]:
    memory = RedisMemory.from_info(client.info("memory"))
    planned = conf.log_max_bytes * shard_count(client)
    if memory.evicts:
        yield error(
            f"Redis deletes prices and the tick log when it is full (policy {memory.policy})",
            "set its maxmemory-policy to noeviction",
            PAGE,
        )
    if not memory.limit:
        yield warning(
            "Redis has no maxmemory: when the machine is full the kernel kills it",
            f"set its maxmemory to {2 * planned / MIB:,.0f}mb or what the machine can spare, "
            "with the policy noeviction",
            PAGE,
        )
    elif memory.is_high:
        yield error(
            f"Redis has used {memory}: the tick log is trimmed early, and publishers fail next",
            "raise its maxmemory, or lower QUOTES_LOG_MAX_BYTES",
            PAGE,
        )
    elif memory.used > 0.75 * memory.limit:
        yield warning(
            f"Redis has used {memory}, and above 85 % the tick log is trimmed early",
            "raise its maxmemory, or lower QUOTES_LOG_MAX_BYTES",
            PAGE,
        )
    elif memory.limit < planned:
        yield warning(
            f"maxmemory ({memory.limit / MIB:,.0f} MiB) is less than the tick log may take "
            f"({planned / MIB:,.0f} MiB)",
            f"set maxmemory to {2 * planned / MIB:,.0f}mb, or lower QUOTES_LOG_MAX_BYTES",
            PAGE,
        )
    limit = f" of {memory.limit / MIB:,.0f}" if memory.limit else ""
    yield ok(f"{memory.used / MIB:,.0f}{limit} MiB are used")


def _persistence(client: Any) -> Iterator[Finding]:
    info = client.info("persistence")
    if info.get("loading"):
        yield warning("Redis is loading its file", "wait until it has")
    if not int(info.get("aof_enabled", 0)):
        yield warning(
            "the append-only file is off: a restart of Redis loses prices and the tick log",
            "set appendonly yes in redis.conf, and by CONFIG SET",
        )
    elif info.get("aof_last_write_status") != "ok":
        yield error(
            "Redis cannot write its append-only file", "make room on its disk, and read its log"
        )
    elif info.get("aof_last_bgrewrite_status") not in ("ok", None):
        yield warning(
            "Redis could not rewrite its append-only file, which grows",
            "set vm.overcommit_memory=1 on its machine, and make room on its disk",
        )


def _speed(client: Any) -> Iterator[Finding]:
    taken = []
    for _ in range(_PINGS):
        begun = time.monotonic()
        client.ping()
        taken.append((time.monotonic() - begun) * 1000)
    median = sorted(taken)[_PINGS // 2]
    if median > _SLOW_MS:
        level = error if median > _TOO_SLOW_MS else warning
        yield level(
            f"Redis answers in {median:.0f} ms, and every price waits for that",
            "run `redis-cli SLOWLOG GET 10`, and check the network and the disk of Redis",
            "prices-stopped",
        )
    else:
        yield ok(f"it answers in {median:.1f} ms")


def _buffers(client: Any) -> Iterator[Finding]:
    """Check how much Redis holds for a bridge or web process that falls behind."""
    text = str(client.config_get("client-output-buffer-limit")["client-output-buffer-limit"])
    words = text.split()
    if "pubsub" not in words:
        return
    at = words.index("pubsub")
    hard, soft = int(words[at + 1]), int(words[at + 2])
    if 0 < hard < _HARD_BYTES or 0 < soft < _SOFT_BYTES:
        yield warning(
            f"Redis disconnects a bridge that is {hard / MIB:,.0f} MiB behind, as in a burst",
            'set client-output-buffer-limit "pubsub 256mb 64mb 60" in redis.conf and by CONFIG SET',
            "herd-at-0915",
        )


def _password(client: Any) -> Iterator[Finding]:
    try:
        address = RedisAddress.from_url(settings.REDIS_URL)
    except RedisUnavailable:
        return
    if address.path or address.host in ("localhost", "127.0.0.1", "::1"):
        return
    if not address.password:
        yield warning(
            f"Redis at {address} has no password: all who reach it can set prices",
            "set a password there and in REDIS_URL, and keep it off public networks",
        )
    if not address.tls:
        yield ok(f"{address} is another machine and the connection has no TLS")


def _days(seconds: int) -> str:
    return f"{seconds / 86400:.1f} days" if seconds > 86400 else f"{seconds / 3600:.1f} h"
