"""The watch lists of users over REST: each user's own, bounded, never overwritten unseen."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from redis import Redis

from quotes.screens.models import MAX_LISTS, MAX_SYMBOLS, WatchList
from tests.access.people import access_token, asha

pytestmark = pytest.mark.django_db

ADDRESS = "/api/watch-lists/"


class Caller:
    """Somebody with a token."""

    def __init__(self, user: User) -> None:
        self.client = Client(headers={"Authorization": f"Bearer {access_token(user)}"})

    def __call__(self, method: str, path: str = "", body: Any = None) -> tuple[int, Any]:
        text = "" if body is None else json.dumps(body)
        answer = self.client.generic(method, ADDRESS + path, text, content_type="application/json")
        return answer.status_code, answer.json() if answer.content else None


@pytest.fixture
def user(redis: Redis) -> User:
    return asha("NSE_EQ")


@pytest.fixture
def call(user: User) -> Caller:
    return Caller(user)


def test_lists_are_kept_in_the_order_in_which_they_were_made(call: Caller) -> None:
    """What is created, changed and deleted is what is read afterwards."""
    assert call("GET") == (200, {"lists": []})
    status, banks = call("POST", body={"name": "Banks", "symbols": ["SBIN", "NSE_EQ:M&M"]})
    assert (status, banks["symbols"], banks["version"]) == (201, ["SBIN", "NSE_EQ:M&M"], 1)
    _, empty = call("POST", body={"name": "खाली", "symbols": []})
    one = f"{banks['id']}/"
    status, changed = call(
        "PUT", one, {"name": "Big banks", "symbols": ["NIFTY BANK"], "version": 1}
    )
    assert (status, changed["name"], changed["version"]) == (200, "Big banks", 2)
    assert call("GET", one) == (200, changed)
    assert call("GET") == (200, {"lists": [changed, empty]})
    assert call("DELETE", one + "?version=2") == (204, None)
    assert call("GET", one)[0] == 404
    assert [found["name"] for found in call("GET")[1]["lists"]] == ["खाली"]


def test_change_of_an_older_version_is_refused_with_the_newer_list(call: Caller) -> None:
    """The second of two browsers learns what the first saved, and may then save its own."""
    _, made = call("POST", body={"name": "A", "symbols": []})
    one = f"{made['id']}/"
    _, first = call("PUT", one, {"name": "A", "symbols": ["TCS"], "version": 1})
    mine = {"name": "A", "symbols": ["INFY"]}
    status, answer = call("PUT", one, mine | {"version": 1})
    assert (status, answer["code"], call("GET", one)[1]) == (409, 409, first)
    assert call("DELETE", one + "?version=1")[0] == 409
    assert call("PUT", one, mine | {"version": 2})[1]["symbols"] == ["INFY"]
    assert call("DELETE", one)[0] == 204
    assert call("PUT", one, mine | {"version": 3})[0] == 404


def test_nobody_reads_or_changes_lists_of_others(call: Caller) -> None:
    """A list of another user is no list at all, and its name is free."""
    _, made = call("POST", body={"name": "A", "symbols": ["TCS"]})
    other = Caller(User.objects.create_user("vikram", password="x"))
    one = f"{made['id']}/"
    assert other("GET") == (200, {"lists": []})
    body = {"name": "B", "symbols": [], "version": 1}
    assert {other("GET", one)[0], other("PUT", one, body)[0], other("DELETE", one)[0]} == {404}
    assert other("POST", body={"name": "A", "symbols": []})[0] == 201
    assert call("GET", one)[1]["symbols"] == ["TCS"]


def test_names_are_unique_and_lists_are_bounded(call: Caller) -> None:
    """A taken name and a list too many are refused, and nothing changes."""
    _, first = call("POST", body={"name": "0", "symbols": []})
    status, answer = call("POST", body={"name": "0", "symbols": ["TCS"]})
    assert (status, answer["code"]) == (409, 409)
    for number in range(1, MAX_LISTS):
        assert call("POST", body={"name": f"{number}", "symbols": []})[0] == 201
    assert call("POST", body={"name": "more", "symbols": []})[0] == 409
    taken = {"name": "1", "symbols": [], "version": 1}
    assert call("PUT", f"{first['id']}/", taken)[0] == 409
    assert WatchList.objects.count() == MAX_LISTS
    most = {"name": "0", "symbols": [f"NSE_EQ:S{n}" for n in range(MAX_SYMBOLS)], "version": 1}
    assert call("PUT", f"{first['id']}/", most)[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"name": "A"},
        {"symbols": []},
        {"name": "", "symbols": []},
        {"name": "  ", "symbols": []},
        {"name": "x" * 41, "symbols": []},
        {"name": "a\nb", "symbols": []},
        {"name": "a\u0000b", "symbols": []},
        {"name": "A", "symbols": "TCS"},
        {"name": "A", "symbols": {"TCS": 1}},
        {"name": "A", "symbols": [True]},
        {"name": "A", "symbols": [None]},
        {"name": "A", "symbols": [""]},
        {"name": "A", "symbols": ["*"]},
        {"name": "A", "symbols": ["a\u0000b"]},
        {"name": "A", "symbols": ["\ud800"]},
        {"name": "A", "symbols": ["x" * 82]},
        {"name": "A", "symbols": ["TCS", "TCS"]},
        {"name": "A", "symbols": [f"S{n}" for n in range(MAX_SYMBOLS + 1)]},
    ],
)
def test_bad_lists_are_refused(call: Caller, body: Any) -> None:
    """What is no list is a bad request, and is not kept."""
    status, answer = call("POST", body=body)
    assert (status, answer["code"]) == (400, 400)
    assert not WatchList.objects.exists()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{10**30}/", 404),
        ("DELETE", f"{10**30}/", 404),
        ("DELETE", "1/?version=x", 400),
        ("DELETE", "1/?version=0", 400),
        ("DELETE", f"1/?version={10**30}", 400),
        ("DELETE", "1/?version=1&version=2", 400),
        ("GET", "0/", 404),
        ("GET", "-1/", 404),
        ("PATCH", "1/", 405),
    ],
)
def test_odd_addresses_are_answered(call: Caller, method: str, path: str, status: int) -> None:
    """Numbers that no list has, and versions that are none, are errors of the caller."""
    assert call(method, path)[0] == status


@pytest.mark.parametrize("version", [None, 0, -1, "one", 10**30, 1.5])
def test_bad_versions_are_refused(call: Caller, version: Any) -> None:
    """A change says which version it began from."""
    _, made = call("POST", body={"name": "A", "symbols": []})
    body = {"name": "B", "symbols": [], "version": version}
    assert call("PUT", f"{made['id']}/", body)[0] == 400
    assert WatchList.objects.get().name == "A"


def test_session_needs_a_csrf_token_to_change_lists(user: User) -> None:
    """Pages of other sites cannot change the lists of a user who is logged in to admin."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    body = json.dumps({"name": "A", "symbols": []})
    assert client.get(ADDRESS).status_code == 200
    assert client.post(ADDRESS, body, content_type="application/json").status_code == 403
    token = "t" * 32
    client.cookies["csrftoken"] = token
    answer = client.post(
        ADDRESS, body, content_type="application/json", headers={"X-CSRFToken": token}
    )
    assert answer.status_code == 201


def test_lists_end_with_their_user(call: Caller, user: User) -> None:
    """A deleted user leaves no lists behind."""
    call("POST", body={"name": "A", "symbols": []})
    assert str(WatchList.objects.get()) == "A (0)"
    user.delete()
    assert not WatchList.objects.exists()
