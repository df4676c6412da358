"""What guards HTTP besides tokens: passwords, throttles, other sites, and admin's pages."""

import os
import subprocess
import sys
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from redis import Redis

from quotes.access.changes import acting_request
from quotes.access.models import AccessChange, AccessProfile, ApiKey, SegmentGrant, UserClass
from tests.access.people import PASSWORD, access_token, asha, desk_group
from tests.programs import ROOT

pytestmark = pytest.mark.django_db


def ask(path: str, body: dict[str, Any], **options: Any) -> tuple[int, Any]:
    client = Client(**options)
    answer = client.post(path, body, content_type="application/json")
    return answer.status_code, answer.json()


def test_password_gives_tokens(redis: Redis, settings: Any) -> None:
    """The pair comes, is of the user, and the refresh token is not kept in the database."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    user = asha("NSE_EQ")
    user.set_password(PASSWORD)
    user.save()
    status, pair = ask("/api/token/", {"username": "asha", "password": PASSWORD})
    assert status == 200 and set(pair) == {"access", "refresh"}
    client = Client(headers={"Authorization": f"Bearer {pair['access']}"})
    assert client.post("/api/ws-ticket/").json()["expires_in"] == 30
    rows = user.outstandingtoken_set.values_list("token", flat=True)
    assert list(rows) == [""]
    user.is_active = False
    user.save()
    assert ask("/api/token/", {"username": "asha", "password": PASSWORD})[0] == 401


def test_guesses_of_passwords_are_locked_out(redis: Redis, settings: Any) -> None:
    """After five wrong ones the right one is refused too, for the API and for admin."""
    user = asha()
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    user.set_password(PASSWORD)
    user.is_staff = True
    user.save()
    answers = [ask("/api/token/", {"username": "asha", "password": "no"}) for _ in range(6)]
    assert [status for status, _ in answers[:4]] == [401] * 4
    assert answers[-1][0] == 429 and answers[-1][1]["code"] == 429
    assert ask("/api/token/", {"username": "asha", "password": PASSWORD})[0] == 429
    form = {"username": "asha", "password": PASSWORD, "next": "/admin/"}
    refused = Client().post("/admin/login/", form)
    assert refused.status_code == 429 and refused["Retry-After"] == "900"
    refused = Client().post("/api/token/", form, content_type="application/json")
    assert refused.status_code == 429 and refused["Retry-After"] == "900"
    # From another address, and for another user, log-ins go on.
    assert Client(REMOTE_ADDR="192.0.2.7").post("/admin/login/", form).status_code == 302


def test_requests_are_throttled_by_caller(redis: Redis, settings: Any) -> None:
    """An address, a user by its class, and log-ins, each by its own count."""
    settings.QUOTES_REST_PER_MINUTE = settings.QUOTES_LOGIN_PER_MINUTE = 3
    here = Client(REMOTE_ADDR="192.0.2.1")
    codes = [here.get("/api/prices/A/").status_code for _ in range(8)]
    assert codes.count(404) in (3, 4, 5, 6) and codes[-1] == 429  # a minute may begin meanwhile
    answer = here.get("/api/prices/A/")
    assert answer.json()["code"] == 429 and 0 < int(answer["Retry-After"]) <= 60
    assert Client(REMOTE_ADDR="192.0.2.2").get("/api/prices/A/").status_code == 404
    assert {Client().get("/api/prices/A/").status_code for _ in range(8)} == {404}
    user = asha("*")
    AccessProfile.objects.create(
        user=user, user_class=UserClass.objects.create(name="desk", rest_per_minute=500)
    )
    user_client = Client(headers={"Authorization": f"Bearer {access_token(user)}"})
    assert {user_client.get("/api/prices/A/").status_code for _ in range(8)} == {404}
    codes = [ask("/api/token/verify/", {"token": "x"})[0] for _ in range(8)]
    assert codes[0] == 401 and codes[-1] == 429


def test_other_sites_are_told_nothing_unless_they_are_allowed(client: Client, redis: Redis) -> None:
    """Without QUOTES_ALLOWED_ORIGINS no page of another site may read an answer."""
    answer = client.get("/api/prices/A/", headers={"Origin": "https://evil.example.net"})
    assert "Access-Control-Allow-Origin" not in answer


@pytest.mark.parametrize("origin", ["null", "http://localhost:5173"])
def test_local_pages_read_the_api_and_nothing_else(
    client: Client, settings: Any, origin: str
) -> None:
    """With QUOTES_LOCAL_ORIGINS, without cookies; admin and a page of another site stay closed."""
    headers = {"Origin": origin, "Host": "localhost:5000"}
    allow = "Access-Control-Allow-Origin"
    assert allow not in client.get("/api/prices/A/", headers=headers)
    settings.QUOTES_LOCAL_ORIGINS = True
    answer = client.get("/api/prices/A/", headers=headers)
    assert answer[allow] == origin
    assert "Access-Control-Allow-Credentials" not in answer
    preflight = {**headers, "Access-Control-Request-Method": "GET"}
    assert (
        "authorization"
        in client.options("/api/prices/A/", headers=preflight)["Access-Control-Allow-Headers"]
    )
    assert allow not in client.get("/admin/login/", headers=headers)
    foreign = {**headers, "Origin": "https://evil.example"}
    assert allow not in client.get("/api/prices/A/", headers=foreign)


def test_deployment_check_is_clean_and_origins_reach_cors() -> None:
    """`check --deploy` says nothing; the setting of origins is that of the API too."""
    environment = os.environ | {"QUOTES_ALLOWED_ORIGINS": "https://app.example.com/"}
    code = """
from django.conf import settings
from django.core.management import call_command
call_command("check", deploy=True, fail_level="WARNING")
print(settings.CORS_ALLOWED_ORIGINS)
"""
    program = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "no issues" in done.stdout, done.stderr
    assert "['https://app.example.com']" in done.stdout


@pytest.fixture
def admin_client(redis: Redis) -> Client:
    client = Client()
    client.force_login(User.objects.create_user("chief", is_staff=True, is_superuser=True))
    return client


def test_list_of_users_shows_what_each_is_entitled_to(admin_client: Client, settings: Any) -> None:
    """At a glance, grants of groups included, and filtered by segment."""
    settings.QUOTES_AUTH = "required"
    user = asha("NSE_EQ", delay_minutes=15)
    user.groups.add(desk_group("MCX"))
    asha(username="idle")
    page = admin_client.get("/admin/auth/user/").content.decode()
    assert "NSE_EQ (15 min late), MCX" in page
    query = "?groups__segment_grants__segment__exact=MCX"
    page = admin_client.get(f"/admin/auth/user/{query}").content.decode()
    assert "asha" in page and "idle" not in page
    assert "MCX" in admin_client.get("/admin/auth/group/").content.decode()


def test_list_of_users_takes_as_many_queries_for_many(
    admin_client: Client, settings: Any, django_assert_max_num_queries: Any
) -> None:
    """Grants are read for the whole page at once."""
    settings.QUOTES_AUTH = "required"
    for number in range(20):
        asha("NSE_EQ", username=f"user{number}", delay_minutes=number)
    with django_assert_max_num_queries(20):
        page = admin_client.get("/admin/auth/user/").content.decode()
    assert "NSE_EQ (19 min late)" in page


def test_grants_are_edited_on_the_user_and_recorded(admin_client: Client) -> None:
    """Saving the form makes the grant, and a line says who did what."""
    user = asha()
    form = {
        "username": "asha",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
        "is_active": "on",
        "access_profile-TOTAL_FORMS": "1",
        "access_profile-INITIAL_FORMS": "0",
        "segment_grants-TOTAL_FORMS": "1",
        "segment_grants-INITIAL_FORMS": "0",
        "segment_grants-0-segment": "NFO",
        "segment_grants-0-delay_minutes": "5",
    }
    answer = admin_client.post(f"/admin/auth/user/{user.pk}/change/", form)
    assert answer.status_code == 302, answer.context["errors"]
    grant = SegmentGrant.objects.get()
    assert (grant.user, grant.segment, grant.delay_minutes) == (user, "NFO", 5)
    line = AccessChange.objects.latest("id")
    assert (line.actor, line.user_id) == ("chief", user.pk)
    assert line.what == "segment grant of user asha added: NFO, 5 min late"
    page = admin_client.get(f"/admin/access/accesschange/{line.pk}/change/")
    assert page.status_code == 200
    assert admin_client.post(f"/admin/access/accesschange/{line.pk}/delete/").status_code == 403


def test_api_key_is_shown_once(admin_client: Client) -> None:
    """When it is made, and never again."""
    form = {"name": "feed", "user": User.objects.get().pk, "scope": "publish", "is_active": "on"}
    page = admin_client.post("/admin/access/apikey/add/", form, follow=True).content.decode()
    row = ApiKey.objects.get()
    assert f"lp_{row.prefix}_" in page
    assert f"lp_{row.prefix}_" not in admin_client.get("/admin/access/apikey/").content.decode()


def changes() -> list[str]:
    return list(AccessChange.objects.order_by("id").values_list("what", flat=True))


def test_every_change_leaves_a_line() -> None:
    """Users, groups, grants, classes and keys, without a secret; a mere log-in leaves none."""
    assert acting_request.get() is None
    user = asha("NSE_EQ")
    user.groups.add(Group.objects.create(name="desk"))
    user.set_unusable_password()
    user.is_superuser = True
    user.save()
    before = len(changes())
    user.save(update_fields=["last_login"])
    assert len(changes()) == before
    group = desk_group("MCX", name="metals")
    group.delete()
    user.delete()
    texts = changes()
    assert texts[:2] == ["user asha added", "segment grant of user asha added: NSE_EQ"]
    assert "user asha: groups changed (post_add)" in texts
    assert "user asha: is_superuser=True, password changed" in texts
    assert "segment grant deleted: MCX" in texts
    assert "user asha deleted" in texts


@pytest.mark.parametrize(
    ("https", "host", "headers", "text"),
    [
        (True, "prices.lan", {"Origin": "http://prices.lan"}, "set HTTPS=false"),
        (True, "prices.lan", {}, "set HTTPS=false"),
        (True, "prices.lan", {"Origin": "https://prices.lan"}, "QUOTES_TRUSTED_PROXIES"),
        (False, "10.0.0.1", {"Origin": "https://prices.lan"}, "CSRF_TRUSTED_ORIGINS"),
        (False, "prices.lan", {"Origin": "http://["}, "CSRF verification failed"),
        (False, "prices.lan", {}, "CSRF verification failed"),
    ],
)
def test_a_refused_login_says_what_to_set(
    settings: Any, https: bool, host: str, headers: dict[str, str], text: str
) -> None:
    """Over plain HTTP under another name, behind a proxy that ends TLS, or that changes Host."""
    settings.ALLOWED_HOSTS = [host]
    settings.HTTPS = settings.CSRF_COOKIE_SECURE = https
    browser = Client(enforce_csrf_checks=True)
    form = {"username": "chief", "password": "x"}
    answer = browser.post("/admin/login/", form, headers={**headers, "Host": host})
    assert answer.status_code == 403
    assert text in answer.content.decode()


def test_a_login_over_plain_http_works_when_it_is_allowed(settings: Any) -> None:
    """With HTTPS=false under any name of the server; the password decides."""
    settings.ALLOWED_HOSTS = ["prices.lan"]
    settings.CSRF_COOKIE_SECURE = settings.SESSION_COOKIE_SECURE = False
    User.objects.create_user("chief", password="correct horse", is_staff=True)
    browser = Client(enforce_csrf_checks=True)
    host = {"Host": "prices.lan", "Origin": "http://prices.lan"}
    browser.get("/admin/login/", headers=host)
    form = {"username": "chief", "password": "correct horse"}
    form["csrfmiddlewaretoken"] = browser.cookies["csrftoken"].value
    assert browser.post("/admin/login/?next=/admin/", form, headers=host).status_code == 302
