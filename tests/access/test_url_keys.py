"""URL keys: what they may be limited to, and that they open nothing but views for them."""

import sys
from datetime import date
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client, RequestFactory
from django.views.debug import get_exception_reporter_class
from redis import Redis
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from quotes.access.credentials.api_keys import api_key_find, identity_of_key, reader_identity
from quotes.access.entitlements import CODES, Grant, entitlements_of
from quotes.access.errors import BadCredentials
from quotes.access.models import ApiKey
from quotes.access.selectors import read_accounts
from tests.access.people import api_key, asha, publisher
from tests.access.test_api_keys import form, staff
from tests.conftest import In
from tests.live import LiveServer
from tests.ticks import message

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


@pytest.mark.parametrize("scheme", ["Api-Key", "Bearer"])
def test_key_opens_no_other_address(scheme: str, required: None, redis: Redis) -> None:
    """Whether it is in the URL or in a header: it publishes nothing and gets no ticket."""
    key = url_key(publisher("feed", "*"))
    client = Client(headers={"Authorization": f"{scheme} {key}"})
    refused = 403 if scheme == "Api-Key" else 401
    for address in (
        *("/api/prices/?symbols=TCS", "/api/prices/TCS/", "/api/segments/", "/api/instruments/"),
        *("/api/instruments/TCS/ticks/?interval=1m", "/api/market-status/"),
    ):
        assert client.get(address).status_code == refused, address
        more = "&" if "?" in address else "?"
        assert Client().get(f"{address}{more}key={key}").status_code == 401, address
    for address in ("/api/prices/", "/api/ws-ticket/"):
        body = message("TCS") if "prices" in address else "{}"
        answer = client.post(address, body, content_type="application/json")
        assert answer.status_code == refused, address
        answer = Client().post(f"{address}?key={key}", body, content_type="application/json")
        assert answer.status_code == 401, address
    assert client.post("/api/logout/").status_code == 401
    assert not Client().get(f"/admin/?key={key}").wsgi_request.user.is_authenticated


@pytest.mark.django_db(transaction=True)
async def test_key_is_refused_at_sockets(live: LiveServer, database: In, settings: Any) -> None:
    """In the header, in the URL and in a message."""
    settings.QUOTES_QUERY_TOKEN = True
    key = await database(lambda: url_key(asha("*")))
    for query, headers in (
        ("", {"Authorization": f"Api-Key {key}"}),
        ("", {"Authorization": f"Bearer {key}"}),
        (f"?token={key}", {}),
        (f"?ticket={key}", {}),
    ):
        with pytest.raises(InvalidStatus) as refused:
            await connect(live.url + query, additional_headers=headers)
        assert refused.value.response.status_code == 401
    async with live.client() as client:
        assert (await client.ask(action="authenticate", token=key))["code"] == 402


def test_error_pages_hide_keys(settings: Any) -> None:
    """Those of DEBUG, which show addresses and local variables, and mails."""
    key = url_key(asha())
    request = RequestFactory().get(f"/api/prices.csv?symbols=TCS&key={key}")
    try:
        secret = f"it is {key}"
        raise ValueError(secret)
    except ValueError:
        reporter_class: Any = get_exception_reporter_class(request)
        reporter = reporter_class(request, *sys.exc_info())
    for text in (reporter.get_traceback_html(), reporter.get_traceback_text()):
        assert "/api/prices.csv" in text and "test_error_pages_hide_keys" in text
        assert key not in text and key.rpartition("_")[2] not in text
