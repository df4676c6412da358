"""DRF throttles: requests a minute of each user or address, counted in Redis over all processes."""

from typing import Any

import redis
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from quotes.access.credentials.api_keys import may_read_by_url
from quotes.access.middleware.proxy_headers import address_group, is_loopback
from quotes.access.models import ApiKey
from quotes.access.rest.permissions import account_of
from quotes.conf import conf
from quotes.store.names import own_key
from quotes.store.redis_clock import redis_clock
from quotes.store.request_clients import request_client


class CallerThrottle(BaseThrottle):
    """Limits the requests a minute of a user, or of an address without a user."""

    _retry_s: float = 0

    def allow_request(self, request: Request, view: Any) -> bool:
        caller = self.caller(request)
        if not caller:
            return True
        limit = self.limit(request)
        self._retry_s = 60 - redis_clock.now_ms() / 1000 % 60
        try:
            with request_client() as client:
                return _count_request(caller, client=client) <= limit
        except RedisError:
            return True  # without Redis there are no prices to read

    def wait(self) -> float:
        return self._retry_s

    def caller(self, request: Request) -> str:
        """Return the name that requests are counted under; "" where they are not limited."""
        if request.user and request.user.is_authenticated:
            return f"user:{request.user.pk}"
        address = request.META.get("REMOTE_ADDR", "")
        # This machine's own programs are not counted; nor are their connections.
        return "" if is_loopback(address) else f"address:{address_group(address)}"

    def limit(self, request: Request) -> int:
        """Return the requests a minute that the caller may make."""
        account = account_of(request)
        return account.limits.rest_per_minute if account else conf.rest_per_minute


class UrlKeyThrottle(CallerThrottle):
    """Limits the requests a minute of a URL key, besides those of its user."""

    def caller(self, request: Request) -> str:
        key = request.auth
        return f"key:{key.prefix}" if isinstance(key, ApiKey) and may_read_by_url(key) else ""

    def limit(self, request: Request) -> int:
        return conf.url_key_per_minute


class LoginThrottle(CallerThrottle):
    """Limits the requests a minute that an address makes with credentials in the body."""

    def caller(self, request: Request) -> str:
        return f"login:{address_group(request.META.get('REMOTE_ADDR', ''))}"

    def limit(self, request: Request) -> int:
        return conf.login_per_minute


def _count_request(caller: str, *, client: redis.Redis) -> int:
    """Count a request of a caller; return how many there were in this minute of the clock."""
    key = own_key(f"requests:{caller}:{redis_clock.now_ms() // 60_000}")
    pipeline = client.pipeline(transaction=False)
    pipeline.incr(key)
    pipeline.expire(key, 120)
    return int(pipeline.execute()[0])
