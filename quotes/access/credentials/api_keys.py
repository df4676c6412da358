"""API keys: creating and finding them, and who may create them for whom.

A key is `lp_PREFIX_SECRET`: it is found by its prefix and verified by the hash of its secret. The
secret has 256 random bits, so a plain hash protects it.
"""

import hashlib
import re
import secrets
import time
from typing import Any

import msgspec
from django.contrib.auth import get_permission_codename
from django.utils.crypto import constant_time_compare

from quotes.access.accounts import Identity
from quotes.access.errors import BadCredentials, NotPermitted
from quotes.access.models import ApiKey
from quotes.access.selectors import KEY_LOGIN, stamp_of, valid_keys
from quotes.conf import conf

KEY_START = "lp_"
_KEY = re.compile(r"lp_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")

# When a key without an end expires, Unix seconds: the end of the year 9999.
_NEVER = 253_402_300_799.0


def _digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def may_act_for(actor: Any, user: Any) -> bool:
    """Return whether a user may hold keys that act for another one.

    Everyone may for themselves, superusers for everyone, users with the permission to change users
    for everyone but superusers: a key never gives its maker more rights than they can get anyway.
    """
    if actor.is_superuser or actor.pk == user.pk:
        return True
    change = f"{user._meta.app_label}.{get_permission_codename('change', user._meta)}"
    return not user.is_superuser and bool(actor.has_perm(change))


def check_change(row: ApiKey, *, before: ApiKey | None, actor: Any) -> None:
    """Check that a user may save a key; those who may not act for its user may only end it.

    Args:
        before: the key as it is stored; None for a new one.

    Raises:
        NotPermitted: the key would act for another user, and the actor may not.
    """
    users = [row.user] if before is None else [before.user, row.user]
    if all(may_act_for(actor, user) for user in users):
        return
    fixed = ("user_id", "scope", "segments", "expires_at")
    if before is None or any(getattr(before, name) != getattr(row, name) for name in fixed):
        raise NotPermitted("choose yourself: keys of others need the permission to change users")
    if row.is_active and not before.is_active:
        raise NotPermitted("only those who may change its user can activate a key")


def api_key_create(*, row: ApiKey, actor: Any = None) -> str:
    """Save a new key and return its text, which is not stored and cannot be shown again.

    Args:
        actor: the user who creates it; None: the operator, who may create any.

    Raises:
        NotPermitted: the actor may not act for the key's user.
        ValidationError: its segments do not exist, or its scope allows none.
    """
    row.clean()
    if actor is not None:
        check_change(row, before=None, actor=actor)
    secret = secrets.token_urlsafe(32)
    row.prefix = secrets.token_hex(6)
    row.digest = _digest_of(secret)
    row.save()
    return f"lp_{row.prefix}_{secret}"


def api_key_find(*, text: str) -> ApiKey:
    """Return the key with this text, with its user; raise BadCredentials."""
    match = _KEY.fullmatch(text)
    row: Any = None
    if match is not None:
        rows = valid_keys().filter(user__is_active=True)
        row = rows.select_related("user").filter(prefix=match[1]).first()
    digest = row.digest if row is not None else "0" * 64
    if not constant_time_compare(digest, _digest_of(match[2] if match else "")) or row is None:
        raise BadCredentials("the API key is unknown or has expired, or its user is not active")
    return row  # type: ignore[no-any-return]


def identity_of_key(row: ApiKey) -> Identity:
    """Return the identity for a socket that is opened with a key: it ends with the key.

    Its login names the key and the user, so that the watch ends it when either changes.
    """
    expires = time.time() + conf.access_token_s
    if row.expires_at is not None:
        expires = min(expires, row.expires_at.timestamp())
    login = f"{KEY_LOGIN}{row.prefix}:{row.user_id}"
    return Identity(row.user_id, login, stamp_of(row.user), expires)


def reader_identity(text: str) -> Identity:
    """Return the identity of the key with this text, which lets its user read; for a socket.

    It ends with the key: the watch over connected users sees when the key is revoked.

    Raises:
        BadCredentials: the key is not valid, or for publishing or reading by URL only.
    """
    row = api_key_find(text=text)
    if not may_read(row):
        raise BadCredentials("the scope of the API key does not include reading")
    expires = row.expires_at.timestamp() if row.expires_at is not None else _NEVER
    return msgspec.structs.replace(identity_of_key(row), expires=expires)


def may_publish(row: ApiKey) -> bool:
    return row.scope in (ApiKey.Scope.PUBLISH, ApiKey.Scope.BOTH)


def may_read(row: ApiKey) -> bool:
    return row.scope in (ApiKey.Scope.READ, ApiKey.Scope.BOTH)


def may_read_by_url(row: ApiKey) -> bool:
    """Return whether a key may stand in a URL: that is all it may do."""
    return row.scope == ApiKey.Scope.URL
