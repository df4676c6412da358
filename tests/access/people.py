"""Callers of every kind: users with grants, and the credentials that they bring."""

import time
from datetime import timedelta
from typing import Any

import jwt
from django.contrib.auth.models import Group, Permission, User
from django.utils import timezone

from quotes.access.credentials.api_keys import api_key_create
from quotes.access.credentials.logins import LoginRefreshToken
from quotes.access.credentials.tokens import own_secret
from quotes.access.models import ApiKey, SegmentGrant

PASSWORD = "correct horse battery staple"


def asha(*segments: str, delay_minutes: int = 0, **fields: Any) -> User:
    """A user entitled to these segments by grants of her own."""
    # A password takes a third of a second to hash: only who logs in with one has one.
    user = User.objects.create_user(fields.pop("username", "asha"), **fields)
    for segment in segments:
        SegmentGrant.objects.create(user=user, segment=segment, delay_minutes=delay_minutes)
    return user


def desk_group(*segments: str, name: str = "dealing desk") -> Group:
    """A group entitled to these segments."""
    group = Group.objects.create(name=name)
    for segment in segments:
        SegmentGrant.objects.create(group=group, segment=segment)
    return group


def publisher(username: str = "feedhandler", *segments: str) -> User:
    """A user who may publish."""
    user = asha(*segments, username=username)
    user.user_permissions.add(Permission.objects.get(codename="publish_prices"))
    return User.objects.get(pk=user.pk)


def login(user: User) -> tuple[str, str]:
    """Return an access and a refresh token of a new log-in."""
    refresh = LoginRefreshToken.for_user(user)
    return str(refresh.access_token), str(refresh)


def access_token(user: User, *, lifetime_s: float | None = None) -> str:
    """Return an access token, with the lifetime of the settings if it is None."""
    token = LoginRefreshToken.for_user(user).access_token
    if lifetime_s is not None:
        token.set_exp(lifetime=timedelta(seconds=lifetime_s))
    return str(token)


def claims(user: User, **others: Any) -> dict[str, Any]:
    token = LoginRefreshToken.for_user(user).access_token
    return {**token.payload, "iss": "live-prices", "aud": "live-prices", **others}


def expired_token(user: User) -> str:
    return access_token(user, lifetime_s=-60)


def forged_token(user: User) -> str:
    """A token signed with a key that is not the server's."""
    return jwt.encode(claims(user), "x" * 64, algorithm="HS256")


def unsigned_token(user: User) -> str:
    """A token of `alg: none`."""
    return jwt.encode(claims(user), "", algorithm="none")


def stray_token(user: User) -> str:
    """A good token of another service that has the same key."""
    return jwt.encode(claims(user, aud="another service"), own_secret(), algorithm="HS256")


def api_key(user: User, scope: str = ApiKey.Scope.PUBLISH, **fields: Any) -> str:
    return api_key_create(row=ApiKey(name="feed", user=user, scope=scope, **fields))


def past() -> Any:
    return timezone.now() - timedelta(seconds=1)


def now_s() -> float:
    return time.time()
