"""Whether Redis's URLs name a server that can be used; each process looks at its start.

A server that does not answer is no reason to end: processes wait for it. One that answers and can
never be used is: a replica, a Sentinel's port, a node of a cluster, a master without a Sentinel
that knows it.
"""

import redis
from channels.layers import get_channel_layer
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from quotes.runtime.redis_roles import SENTINEL
from quotes.runtime.sentinel_url import BadRedisURL, is_sentinel_url, shown_address
from quotes.store.connections import MasterUnknown, NotMaster, open_pool

_TIMEOUT_S = 1.5


class WrongRedis(Exception):
    """A URL names a server that cannot be used; the text says which setting, and what to write."""


def refuse_wrong_redis() -> None:
    """Raise WrongRedis if REDIS_URL, or a host of the channel layer, cannot be right."""
    urls = {settings.REDIS_URL: "REDIS_URL"}
    for url in getattr(get_channel_layer(), "hosts", None) or ():
        if isinstance(url, str):
            urls.setdefault(url, "a host of CHANNEL_LAYERS")
    for url, setting in urls.items():
        if problem := server_problem(url):
            raise WrongRedis(f"{setting}: {problem}")


def server_problem(url: str, *, timeout_s: float = _TIMEOUT_S) -> str:
    """Return what is wrong with the server at a URL, and what to write; "" for nothing.

    A server that does not answer, or refuses the log-in, is not wrong.
    """
    try:
        with _client(url, timeout_s) as client:
            client.ping()
    except BadRedisURL as error:
        return str(error)
    except NotMaster as error:
        return str(error)
    except MasterUnknown as error:
        return str(error) if error.is_wrong else ""
    except redis.AuthenticationError:
        return _problem_without_login(url, timeout_s)
    except (redis.RedisError, OSError, ValueError, TypeError):
        pass
    return ""


def _client(url: str, timeout_s: float) -> redis.Redis:
    pool = open_pool(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )
    return redis.Redis.from_pool(pool)


def _problem_without_login(url: str, timeout_s: float) -> str:
    """Return SENTINEL if it is a Sentinel that refuses the log-in: it may not require one."""
    if is_sentinel_url(url):
        return ""
    client = _client(url, timeout_s)
    options = client.connection_pool.connection_kwargs
    options.update(username=None, password=None)
    try:
        with client:
            client.ping()
    except NotMaster as error:
        where = shown_address((options.get("host", "localhost"), options.get("port", 6379)))
        return f"{where} {SENTINEL}" if SENTINEL in str(error) else ""
    except (redis.RedisError, OSError):
        pass
    return ""
