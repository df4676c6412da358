"""What a REST request may do: DRF permissions, and the caller's entitlements to instruments.

A view that shows prices calls `require_now` or `allowed_keys` for latest prices, `readable_until`
for history (up to when it may be read), `require_segments` where either will do.
"""

from collections.abc import Iterable
from typing import Any

from rest_framework.exceptions import NotAuthenticated, PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from instruments.keys import InstrumentKey
from quotes.access.accounts import Account
from quotes.access.credentials.api_keys import may_publish, may_read, may_read_by_url
from quotes.access.entitlements import OTHER, Entitlements, not_entitled, parse_codes
from quotes.access.models import ApiKey
from quotes.access.selectors import anonymous_entitlements, read_accounts
from quotes.conf import conf
from quotes.store.clients import probing_client
from quotes.store.redis_clock import redis_clock

_PUBLISH_PERMISSION = "access.publish_prices"


class MayRead(BasePermission):
    """Lets every caller in if QUOTES_AUTH is optional, else users alone.

    API keys need the scope to read in either case.
    """

    message = "not entitled to read prices"

    def has_permission(self, request: Request, view: Any) -> bool:
        if isinstance(request.auth, ApiKey) and not may_read(request.auth):
            return False
        return conf.auth == "optional" or bool(request.user and request.user.is_authenticated)


class MayReadByUrl(MayRead):
    """As `MayRead`, and lets in URL keys: for views that only read prices."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if isinstance(request.auth, ApiKey) and may_read_by_url(request.auth):
            return True
        return super().has_permission(request, view)


class MayPublish(BasePermission):
    """Lets in users with the permission to publish, and API keys of such users with the scope."""

    message = "not entitled to publish prices"

    def has_permission(self, request: Request, view: Any) -> bool:
        if isinstance(request.auth, ApiKey) and not may_publish(request.auth):
            return False
        return bool(request.user and request.user.has_perm(_PUBLISH_PERMISSION))


def account_of(request: Any) -> Account | None:
    """Return the account of a DRF request's user, read once a request; None without a user."""
    user = request.user
    if not (user and user.is_authenticated):
        return None
    account: Account | None = getattr(user, "access_account", None)
    if account is None:
        account = read_accounts([user.pk]).users.get(user.pk)
        user.access_account = account
    return account


def refusal(request: Any, key: InstrumentKey) -> str:
    """Return why the caller may not see an instrument's latest price; "" if it may."""
    delay = _entitlements(request).delay_of(key)
    if delay is None:
        return not_entitled(key)
    return (
        f"entitled to {key.segment or OTHER} only with a delay of {delay} minutes" if delay else ""
    )


def require_now(request: Any, key: InstrumentKey) -> None:
    """Require that the caller may see an instrument's latest price in real time.

    Raises:
        NotAuthenticated, PermissionDenied: as `require_segments`.
    """
    if reason := refusal(request, key):
        _refuse(request, reason)


def allowed_keys(request: Any, keys: Iterable[InstrumentKey]) -> set[InstrumentKey]:
    """Return the instruments whose latest prices the caller may see in real time."""
    return {key for key, delay in _delays(request, keys).items() if delay == 0}


def require_segments(request: Any, keys: Iterable[InstrumentKey]) -> None:
    """Require that the caller may see all of the instruments, in real time or late.

    Raises:
        NotAuthenticated: 401, the request has no user and may not.
        PermissionDenied: 403, the user may not.
    """
    wanted = list(keys)
    delays = _delays(request, wanted)
    for key in wanted:
        if key not in delays:
            _refuse(request, not_entitled(key))


def readable_until(request: Any, key: InstrumentKey) -> int | None:
    """Return up to when, in Unix milliseconds, the caller may read an instrument's history.

    Returns:
        None: up to now. Otherwise the time before which ticks and candles must have ended.

    Raises:
        NotAuthenticated, PermissionDenied: as `require_segments`.
    """
    require_segments(request, [key])
    delay = _delays(request, [key])[key]
    if not delay:
        return None
    redis_clock.measure_if_due(probing_client())
    return redis_clock.now_ms() - delay * 60_000


def delay_of(request: Any, key: InstrumentKey) -> int | None:
    """Return the minutes by which the caller sees an instrument's prices late; None: never."""
    return _entitlements(request).delay_of(key)


def _entitlements(request: Any) -> Entitlements:
    if not (request.user and request.user.is_authenticated):
        return anonymous_entitlements()
    account = account_of(request)
    if account is None:
        return Entitlements()
    key = request.auth if isinstance(request.auth, ApiKey) else None
    return account.entitlements.within(parse_codes(key.segments) if key else ())


def _delays(request: Any, keys: Iterable[InstrumentKey]) -> dict[InstrumentKey, int]:
    """Return the caller's delay in minutes for each instrument that it may see."""
    entitlements = _entitlements(request)
    found = {key: entitlements.delay_of(key) for key in keys}
    return {key: delay for key, delay in found.items() if delay is not None}


def _refuse(request: Any, reason: str) -> None:
    if not (request.user and request.user.is_authenticated):
        raise NotAuthenticated(reason)
    raise PermissionDenied(reason)
