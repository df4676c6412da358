"""Access in REST: who a request is from, whether it may come in, and what it may see.

A view that shows prices calls `require_now` or `allowed_keys` for latest prices, `readable_until`
for history (up to when it may be read), `require_segments` where either will do.
"""

import time
from collections.abc import Iterable
from typing import Any

from django.db import DatabaseError
from redis.exceptions import RedisError
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import (
    APIException,
    AuthenticationFailed,
    NotAuthenticated,
    PermissionDenied,
)
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from instruments.keys import InstrumentKey
from quotes.access.accounts import Account, Identity
from quotes.access.credentials.api_keys import api_key_find, may_publish, may_read
from quotes.access.credentials.tokens import verify
from quotes.access.entitlements import OTHER, Entitlements
from quotes.access.errors import AccessDown, BadCredentials
from quotes.access.middleware.proxy_headers import address_group, is_loopback
from quotes.access.models import ApiKey
from quotes.access.rest import schema
from quotes.access.rest.throttling import requests_this_minute
from quotes.access.selectors import anonymous_entitlements, read_accounts, user_of
from quotes.conf import conf
from quotes.runtime.clock import now_ms
from quotes.store.clients import sync_client

PUBLISH = "access.publish_prices"


class Unavailable(APIException):
    """Answers 503: users cannot be looked up."""

    status_code = 503
    default_detail = "users cannot be looked up for a moment, try again"
    wait = 2


class BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer TOKEN`, of this server or of the outside issuer."""

    def authenticate(self, request: Request) -> tuple[Any, Identity] | None:
        kind, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if kind.lower() != "bearer":
            return None
        try:
            identity = verify(token.strip())
            known = read_accounts([identity.user], [identity.login]).check(identity)
            user = user_of(known)
            user.access_account = known
            return user, identity
        except BadCredentials as error:
            raise AuthenticationFailed(str(error)) from error
        except (AccessDown, DatabaseError) as error:
            raise Unavailable from error

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Api-Key KEY`: a program, for its user."""

    def authenticate(self, request: Request) -> tuple[Any, ApiKey] | None:
        kind, _, text = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if kind.lower() != "api-key":
            return None
        try:
            key = api_key_find(text=text.strip())
        except BadCredentials as error:
            raise AuthenticationFailed(str(error)) from error
        except DatabaseError as error:
            raise Unavailable from error
        return key.user, key


AUTHENTICATION = [BearerAuthentication, ApiKeyAuthentication, SessionAuthentication]


class CallerIsKnown(BasePermission):
    """Lets in whom QUOTES_AUTH lets in: anybody, or whoever said who it is."""

    message = "not entitled"

    def has_permission(self, request: Request, view: Any) -> bool:
        if isinstance(request.auth, ApiKey) and not may_read(request.auth):
            return False
        return conf.auth == "optional" or bool(request.user and request.user.is_authenticated)


class MayPublish(BasePermission):
    """Lets in users with the permission to publish, and API keys of such users with the scope."""

    message = "not entitled to publish prices"

    def has_permission(self, request: Request, view: Any) -> bool:
        if isinstance(request.auth, ApiKey) and not may_publish(request.auth):
            return False
        return bool(request.user and request.user.has_perm(PUBLISH))


class CallerThrottle(BaseThrottle):
    """Holds a user, or an address of an unknown caller, to its requests a minute."""

    retry_s: float = 0

    def allow_request(self, request: Request, view: Any) -> bool:
        caller = self.caller(request)
        if not caller:
            return True
        limit = self.limit(request)
        self.retry_s = 60 - time.time() % 60
        try:
            return requests_this_minute(caller, client=sync_client()) <= limit
        except RedisError:
            return True  # without Redis there are no prices to read

    def wait(self) -> float:
        return self.retry_s

    def caller(self, request: Request) -> str:
        if request.user and request.user.is_authenticated:
            return f"user:{request.user.pk}"
        address = request.META.get("REMOTE_ADDR", "")
        # This machine's own programs are not counted; nor are their connections.
        return "" if is_loopback(address) else f"address:{address_group(address)}"

    def limit(self, request: Request) -> int:
        if not (request.user and request.user.is_authenticated):
            return conf.rest_per_minute
        known = account_of(request)
        return known.limits.rest_per_minute if known else conf.rest_per_minute


class LoginThrottle(CallerThrottle):
    """Holds an address to its requests for tokens a minute, whoever it says it is."""

    def caller(self, request: Request) -> str:
        return f"login:{address_group(request.META.get('REMOTE_ADDR', ''))}"

    def limit(self, request: Request) -> int:
        return conf.login_per_minute


def account_of(request: Any) -> Account | None:
    """Return how the caller of a DRF request stands, read once a request; None: not known."""
    user = request.user
    if not (user and user.is_authenticated):
        return None
    found: Account | None = getattr(user, "access_account", None)
    if found is None:
        found = read_accounts([user.pk]).users.get(user.pk)
        user.access_account = found
    return found


def entitlements(request: Any) -> Entitlements:
    """Return what the caller of a DRF request may see."""
    if not (request.user and request.user.is_authenticated):
        return anonymous_entitlements()
    known = account_of(request)
    return known.entitlements if known else Entitlements()


def delays(request: Any, keys: Iterable[InstrumentKey]) -> dict[InstrumentKey, int]:
    """Return how many minutes late the caller sees each instrument; without those it may not."""
    may = entitlements(request)
    found = {key: may.delay_of(key) for key in keys}
    return {key: delay for key, delay in found.items() if delay is not None}


def refusal(request: Any, key: InstrumentKey) -> str:
    """Return why the caller may not see an instrument's latest price; "" when it may."""
    delay = entitlements(request).delay_of(key)
    if delay is None:
        return f"not entitled to {key.segment or 'names of no segment'}"
    return f"entitled to {key.segment or OTHER} {delay} minutes late only" if delay else ""


def require_now(request: Any, key: InstrumentKey) -> None:
    """Let pass who may see an instrument's latest price in real time; raise as below."""
    if reason := refusal(request, key):
        refuse(request, reason)


def allowed_keys(request: Any, keys: Iterable[InstrumentKey]) -> set[InstrumentKey]:
    """Return those instruments whose latest prices the caller may see in real time."""
    return {key for key, delay in delays(request, keys).items() if delay == 0}


def require_segments(request: Any, keys: Iterable[InstrumentKey]) -> None:
    """Let pass who may see all of the instruments, at once or late.

    Raises:
        NotAuthenticated: 401, who is not known and may not.
        PermissionDenied: 403, who is known and may not.
    """
    wanted = list(keys)
    may = delays(request, wanted)
    for key in wanted:
        if key not in may:
            refuse(request, f"not entitled to {key.segment or 'names of no segment'}")


def readable_until(request: Any, key: InstrumentKey) -> int | None:
    """Return up to when, in Unix milliseconds, the caller may read an instrument's history.

    Returns:
        None: up to now. Otherwise the time before which ticks and candles must have ended.

    Raises:
        NotAuthenticated, PermissionDenied: as `require_segments`.
    """
    require_segments(request, [key])
    delay = delays(request, [key])[key]
    return None if not delay else now_ms() - delay * 60_000


def refuse(request: Any, text: str) -> None:
    if not (request.user and request.user.is_authenticated):
        raise NotAuthenticated(text)
    raise PermissionDenied(text)


# Not with the app: a process that serves no REST does without the libraries of it.
assert schema
