"""URL keys: what they may be limited to, and that they open nothing but views for them."""

from datetime import date
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client

from quotes.access.credentials.api_keys import api_key_find, identity_of_key, reader_identity
from quotes.access.entitlements import CODES, Grant, entitlements_of
from quotes.access.errors import BadCredentials
from quotes.access.models import ApiKey
from quotes.access.selectors import read_accounts
from tests.access.people import api_key, asha
from tests.access.test_api_keys import form, staff

pytestmark = pytest.mark.django_db


def url_key(user: User, *segments: str, **fields: Any) -> str:
    """Return the text of a key for reading by URL."""
    return api_key(user, ApiKey.Scope.URL, segments=",".join(segments), **fields)


@pytest.mark.parametrize(
    ("scope", "segments", "problem"),
    [
        ("url", "", ""),
        ("url", "NSE_EQ", ""),
        ("url", " NSE_EQ, OTHER,", ""),
        ("url", "NSE", "must be one of NSE_EQ"),
        ("url", "*", "must be one of NSE_EQ"),
        ("url", "NSE_EQ;NFO", "must be one of NSE_EQ"),
        ("read", "NSE_EQ", "Only a key for reading by URL"),
        ("both", "NSE_EQ", "Only a key for reading by URL"),
        ("read", "", ""),
    ],
)
def test_segments_of_a_key_are_checked(scope: str, segments: str, problem: str) -> None:
    """They exist, and only URL keys have some: in the service and in admin."""
    user = asha("*", is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(user)
    form = {"name": "sheet", "user": user.pk, "scope": scope, "segments": segments}
    page = client.post("/admin/access/apikey/add/", {**form, "is_active": "on"}, follow=True)
    row = ApiKey(name="sheet", user=user, scope=scope, segments=segments)
    if problem:
        assert problem in page.content.decode() and not ApiKey.objects.exists()
        with pytest.raises(ValidationError, match=problem):
            row.clean()
    else:
        assert "Copy the API key now" in page.content.decode()
        row.clean()


def test_key_of_another_user_cannot_be_widened() -> None:
    """Its segments are fixed, as its scope is, unless the actor may act for its user."""
    actor = staff("change_apikey")
    url_key(asha(username="chief", is_superuser=True), "NSE_EQ")
    row = ApiKey.objects.get()
    client = Client()
    client.force_login(actor)
    for segments, status in (("NSE_EQ", 302), ("NSE_EQ,NFO", 200), ("", 200)):
        values = form(row.user, scope="url", segments=segments)
        answer = client.post(f"/admin/access/apikey/{row.pk}/change/", values)
        assert answer.status_code == status, segments


def test_key_never_has_more_than_its_user() -> None:
    """Segments take away: those that the user may not see stay hidden, delays stay."""
    mine = entitlements_of([Grant("NSE_EQ"), Grant("NFO", 15)], today=date(2026, 8, 14))
    assert mine.within(()).delays == mine.delays
    assert mine.within({"NFO", "MCX"}).delays == {"NFO": 15}
    assert mine.within({"nonsense"}).delays == {}
    assert set(mine.within(CODES).delays) == {"NSE_EQ", "NFO"}


def test_key_opens_no_socket() -> None:
    """Neither at a handshake nor with an identity that was got while it had another scope."""
    text = url_key(asha("*"))
    with pytest.raises(BadCredentials, match="scope"):
        reader_identity(text)
    identity = identity_of_key(api_key_find(text=text))
    with pytest.raises(BadCredentials, match="ended"):
        read_accounts([identity.user], [identity.login]).check(identity)
