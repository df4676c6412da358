"""Reading accounts from the database: whether users are active, their entitlements and limits.

Reads many users at once and blocks; an event loop uses `account_reader.py` instead.
"""

import hashlib
from collections.abc import Collection
from dataclasses import fields
from datetime import date
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.utils import timezone

from quotes.access.accounts import Account, Accounts, Limits
from quotes.access.entitlements import Entitlements, Grant, entitlements_of, parse_grants
from quotes.access.models import ApiKey, EndedLogin, SegmentGrant
from quotes.conf import conf
from quotes.runtime.clock import today_in_india

# The logins of sockets that were opened with an API key: this, its prefix, ":", and its user's id.
KEY_LOGIN = "key:"

_EVERYTHING = Grant("*", is_whole=True)
_GRANT_FIELDS = ("segment", "delay_minutes", "valid_from", "valid_until", "is_whole")


def stamp_of(user: Any) -> str:
    """Return a text that changes with a user's password and does not give it away."""
    digest = hashlib.sha256(user.get_session_auth_hash().encode())
    return digest.hexdigest()[:32]


def read_accounts(
    users: Collection[int | str], logins: Collection[str] = (), *, today: date | None = None
) -> Accounts:
    """Read the accounts of users, in a few queries however many there are.

    Args:
        users: their ids, or their names; those that do not exist are left out.
        logins: look up whether these have ended.
        today: the Indian date that entitlements are of; today if None.
    """
    day = today or today_in_india()
    model: Any = get_user_model()
    ids = [user for user in users if isinstance(user, int)]
    names = [user for user in users if isinstance(user, str)]
    terms = Q(pk__in=ids)
    if names:
        terms |= Q(**{f"{model.USERNAME_FIELD}__in": names})
    found_users = model.objects.filter(terms).select_related("access_profile__user_class")
    rows = {row.pk: row for row in found_users}
    grants: dict[int, list[Grant]] = {}
    of_users = Q(user_id__in=rows) | Q(group__user__in=list(rows))
    for own_id, member_id, *values in SegmentGrant.objects.filter(of_users).values_list(
        "user_id", "group__user", *_GRANT_FIELDS
    ):
        grants.setdefault(own_id or member_id, []).append(Grant(*values))
    everybody = parse_grants(conf.anonymous_segments) if conf.auth == "optional" else []
    found: dict[int | str, Account] = {}
    for user_id, row in rows.items():
        own = [_EVERYTHING] if row.is_superuser else grants.get(user_id, [])
        account = Account(
            user_id,
            row.get_username(),
            row.is_active,
            stamp_of(row),
            entitlements_of([*own, *everybody], today=day),
            _limits_of(row),
        )
        found[user_id] = found[account.username] = account
    wanted = {login for login in logins if login}
    ended = EndedLogin.objects.filter(pk__in=wanted).values_list("pk", flat=True) if wanted else ()
    return Accounts(found, {*ended, *_ended_keys(wanted)})


def valid_keys() -> QuerySet[ApiKey]:
    """Return the keys that are active and have not expired."""
    unexpired = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
    return ApiKey.objects.filter(unexpired, is_active=True)


def _ended_keys(logins: Collection[str]) -> set[str]:
    """Return those logins of API keys whose key no longer lets its user read."""
    wanted = {login for login in logins if login.startswith(KEY_LOGIN)}
    if not wanted:
        return wanted
    prefixes = [login.removeprefix(KEY_LOGIN).partition(":")[0] for login in wanted]
    scopes = (ApiKey.Scope.READ, ApiKey.Scope.BOTH)
    rows = valid_keys().filter(prefix__in=prefixes, scope__in=scopes)
    return wanted - {
        f"{KEY_LOGIN}{prefix}:{user_id}"
        for prefix, user_id in rows.values_list("prefix", "user_id")
    }


def _limits_of(user: Any) -> Limits:
    """Return the limits of a user's class, and the settings where the class has none."""
    profile = getattr(user, "access_profile", None)
    if profile is None or profile.user_class is None:
        return Limits()
    own = {field.name: getattr(profile.user_class, field.name) for field in fields(Limits)}
    return Limits(**{name: value for name, value in own.items() if value is not None})


def anonymous_entitlements() -> Entitlements:
    """Return what a caller without credentials may see."""
    if conf.auth != "optional":
        return Entitlements()
    return entitlements_of(parse_grants(conf.anonymous_segments), today=today_in_india())


def user_of(account: Account) -> Any:
    """Return the Django user of an account; raise its DoesNotExist if it was deleted meanwhile."""
    model: Any = get_user_model()
    return model.objects.get(pk=account.user_id)
