"""API keys: who may create them for whom, and that what is got with one ends with it."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from redis import Redis

from quotes.access.credentials.api_keys import api_key_create, api_key_find, identity_of_key
from quotes.access.errors import BadCredentials, NotPermitted
from quotes.access.models import ApiKey
from quotes.access.selectors import read_accounts
from tests.access.people import api_key, asha

pytestmark = pytest.mark.django_db


def staff(*permissions: str, **fields: Any) -> User:
    """A user of admin with these permissions alone."""
    user = asha(username=fields.pop("username", "clerk"), is_staff=True, **fields)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return User.objects.get(pk=user.pk)


def form(owner: User, **fields: Any) -> dict[str, Any]:
    return {"name": "feed", "user": owner.pk, "scope": "read", "is_active": "on", **fields}


def add(actor: User, user: User) -> list[ApiKey]:
    """Add a key in admin; return all keys afterwards."""
    client = Client()
    client.force_login(actor)
    answer = client.post("/admin/access/apikey/add/", form(user))
    assert answer.status_code in (200, 302)
    return list(ApiKey.objects.all())


@pytest.mark.parametrize(
    ("permissions", "whose", "allowed"),
    [
        (["add_apikey"], "own", True),
        (["add_apikey"], "other", False),
        (["add_apikey"], "superuser", False),
        (["add_apikey", "view_user"], "other", False),
        (["add_apikey", "change_user"], "other", True),
        (["add_apikey", "change_user"], "superuser", False),
    ],
)
def test_key_acts_for_its_maker_unless_more_is_permitted(
    permissions: list[str], whose: str, allowed: bool
) -> None:
    """In admin and in the service alike."""
    actor = staff(*permissions)
    other = asha(username="other")
    users = {"own": actor, "other": other}
    user = users.get(whose) or asha(username="chief", is_superuser=True)
    assert bool(add(actor, user)) is allowed
    row = ApiKey(name="feed", user=user)
    if allowed:
        assert api_key_find(text=api_key_create(row=row, actor=actor)).user == user
    else:
        with pytest.raises(NotPermitted, match="choose yourself"):
            api_key_create(row=row, actor=actor)


def test_superuser_may_make_keys_for_everybody() -> None:
    """For other superusers too."""
    chief = asha(username="chief", is_superuser=True, is_staff=True)
    second = asha(username="second", is_superuser=True)
    assert [row.user for row in add(chief, second)] == [second]


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({"name": "renamed"}, True),
        ({"is_active": ""}, True),
        ({"scope": "both"}, False),
        ({"user": "clerk"}, False),
        ({"expires_at_0": "2030-01-01", "expires_at_1": "10:00"}, False),
    ],
)
def test_key_of_another_user_can_be_ended_and_not_widened(
    changes: dict[str, Any], allowed: bool
) -> None:
    """By a user with the permission to change keys alone."""
    actor = staff("change_apikey")
    api_key(asha(username="chief", is_superuser=True), "read")
    row = ApiKey.objects.get()
    client = Client()
    client.force_login(actor)
    values = {name: actor.pk if value == "clerk" else value for name, value in changes.items()}
    values = {name: text for name, text in form(row.user, **values).items() if text != ""}
    answer = client.post(f"/admin/access/apikey/{row.pk}/change/", values)
    assert answer.status_code == (302 if allowed else 200)


def test_own_key_cannot_be_handed_to_a_superuser() -> None:
    """Nor activated, if it is another's."""
    actor = staff("change_apikey")
    chief = asha(username="chief", is_superuser=True)
    api_key(actor, "read")
    ended = api_key(chief, "read", is_active=False)
    client = Client()
    client.force_login(actor)
    for row in ApiKey.objects.all():
        answer = client.post(f"/admin/access/apikey/{row.pk}/change/", form(chief))
        assert answer.status_code == 200
    with pytest.raises(BadCredentials):
        api_key_find(text=ended)
    assert ApiKey.objects.filter(user=chief).count() == 1


def test_ticket_lives_no_longer_than_its_key(redis: Redis) -> None:
    """Its identity ends with the key, whose end is before that of a token."""
    ends = timezone.now() + timedelta(seconds=5)
    api_key(asha(), "read", expires_at=ends)
    assert identity_of_key(ApiKey.objects.get()).expires == pytest.approx(ends.timestamp())


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row.delete(),
        lambda row: ApiKey.objects.update(is_active=False),
        lambda row: ApiKey.objects.update(expires_at=timezone.now()),
        lambda row: ApiKey.objects.update(scope="publish"),
        lambda row: ApiKey.objects.update(user=asha(username="other")),
    ],
)
def test_identity_of_a_key_ends_with_it(change: Any) -> None:
    """Deleted, deactivated, expired, without the scope to read, or of another user."""
    api_key(asha(), "both")
    identity = identity_of_key(ApiKey.objects.get())

    def check() -> None:
        read_accounts([identity.user], [identity.login]).check(identity)

    check()
    change(ApiKey.objects.get())
    with pytest.raises(BadCredentials, match="ended"):
        check()
