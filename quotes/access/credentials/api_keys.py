"""API keys: creating and finding them.

A key is `lp_PREFIX_SECRET`: it is found by its prefix and verified by the hash of its secret. The
secret has 256 random bits, so a plain hash protects it.
"""

import hashlib
import re
import secrets
from typing import Any

from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from quotes.access.errors import BadCredentials
from quotes.access.models import ApiKey

_KEY = re.compile(r"lp_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


def _digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def api_key_create(*, row: ApiKey) -> str:
    """Save a new key and return its text, which is not stored and cannot be shown again."""
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
        good = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
        rows = ApiKey.objects.filter(good, is_active=True, user__is_active=True)
        row = rows.select_related("user").filter(prefix=match[1]).first()
    digest = row.digest if row is not None else "0" * 64
    if not constant_time_compare(digest, _digest_of(match[2] if match else "")) or row is None:
        raise BadCredentials("the API key is unknown or has expired, or its user is not active")
    return row  # type: ignore[no-any-return]


def may_publish(row: ApiKey) -> bool:
    return row.scope in (ApiKey.Scope.PUBLISH, ApiKey.Scope.BOTH)


def may_read(row: ApiKey) -> bool:
    return row.scope in (ApiKey.Scope.READ, ApiKey.Scope.BOTH)
