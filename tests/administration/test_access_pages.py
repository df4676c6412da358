"""Who sees what, and granting to many, as operators do it in admin."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from redis import Redis

from quotes.access.bulk_grants import MAX_SUBJECTS
from quotes.access.models import AccessProfile, SegmentGrant, UserClass
from tests.access.people import api_key, asha, desk_group

pytestmark = pytest.mark.django_db(databases=["default", "history"])

GRANTS = "/admin/grants/"


@pytest.fixture
def operator(redis: Redis) -> Client:
    client = Client()
    client.force_login(asha(username="operator", is_staff=True, is_superuser=True))
    return client


def texts(answer: Any) -> list[str]:
    """Return the texts of a page's cells."""
    return re.findall(r"<td>(.*?)</td>", answer.content.decode(), re.S)


def test_page_of_a_user_has_everything(operator: Client, required: None) -> None:
    """Segments with their sources, dates, limits, keys by prefix alone, and the last log-in."""
    user = asha("NSE_EQ", delay_minutes=15, last_login="2026-11-27T20:00:05Z")
    user.groups.add(desk_group("NFO"))
    SegmentGrant.objects.create(user=user, segment="MCX", valid_until="2020-01-31")
    slow = UserClass.objects.create(name="professional", max_symbols=1234)
    AccessProfile.objects.create(user=user, user_class=slow)
    key = api_key(user, scope="url", segments="NFO")
    answer = operator.get(f"/admin/users/{user.pk}/access/")
    text, cells = answer.content.decode(), texts(answer)
    for one in ("15 min late", "group dealing desk", "own grant", "2020-01-31", "ended"):
        assert one in cells
    assert "1,234" in cells and "class professional" in cells
    assert "QUOTES_MAX_CONNECTIONS_PER_USER" in cells and "2026-11-28 01:30:05" in cells
    prefix = key.split("_")[1]
    assert prefix in text and key not in text and key.rpartition("_")[2] not in text
    link = f"/admin/users/{user.pk}/access/"
    assert link in operator.get(f"/admin/auth/user/{user.pk}/change/").content.decode()


def test_sensitive_parts_need_permissions_of_their_own(redis: Redis) -> None:
    """Keys and connections are for those who may see them elsewhere."""
    user = asha("NFO", is_staff=True)
    api_key(user)
    client = Client()
    client.force_login(user)
    names = ["view_user", "view_segmentgrant"]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    text = client.get(f"/admin/users/{user.pk}/access/").content.decode()
    assert "What the user sees today" in text
    assert "API keys" not in text and "Open connections" not in text
    assert client.get(GRANTS, {"users": user.pk}).status_code == 403


def test_page_of_a_segment_has_its_users(operator: Client, required: None) -> None:
    """A hundred at a time; what is no segment shows the first one."""
    User.objects.bulk_create(User(username=f"trader{at:03}") for at in range(150))
    SegmentGrant.objects.bulk_create(
        SegmentGrant(user=user, segment="NFO")
        for user in User.objects.filter(username__startswith="trader")
    )
    text = operator.get("/admin/segments/access/?segment=NFO").content.decode()
    assert "151 active users see NFO" in text and "trader098" in text and "trader099" not in text
    assert (
        "trader149" in operator.get("/admin/segments/access/?segment=NFO&page=2").content.decode()
    )
    for odd in ("?segment=<b>", "?segment=*", "?page=x", "?page=-1", "?segment=OTHER"):
        answer = operator.get(f"/admin/segments/access/{odd}")
        assert answer.status_code == 200 and "<b>" not in answer.content.decode()


def test_pages_cost_no_query_for_each_user(
    operator: Client, required: None, django_assert_max_num_queries: Any
) -> None:
    """A page of a hundred users takes a few queries."""
    group = desk_group("NFO")
    for at in range(20):
        asha("NFO", username=f"trader{at}").groups.add(group)
    with django_assert_max_num_queries(12):
        assert operator.get("/admin/segments/access/?segment=NFO").status_code == 200


def confirm(client: Client, values: dict[str, Any]) -> tuple[str, Any]:
    """Send the form, then what its preview has in it; return the preview and the last answer."""
    preview = client.post(GRANTS, values).content.decode()
    pairs = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', preview)
    pairs += re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)" id', preview)
    fields: dict[str, list[str]] = {}
    for name, value in dict.fromkeys(pairs):
        fields.setdefault(name, []).append(value)
    return preview, client.post(GRANTS, fields, follow=True)


def test_chosen_users_get_segments_after_a_preview(operator: Client) -> None:
    """From the list to the form, to the preview, and only then into the database."""
    users = [asha(), asha("NFO", username="ravi", delay_minutes=15)]
    ids = [str(user.pk) for user in users]
    answer = operator.post(
        "/admin/auth/user/", {"action": "change_grants", "_selected_action": ids}, follow=True
    )
    assert "For asha, ravi." in answer.content.decode()
    values = {
        **{"users": ",".join(ids), "groups": "", "action": "grant", "segments": ["NFO", "MCX"]},
        **{"delay_minutes": "5", "valid_from": "2026-11-27", "valid_until": "2027-03-31"},
    }
    preview = operator.post(GRANTS, values).content.decode()
    assert "NFO, 5 min late, from 2026-11-27, until 2027-03-31" in preview
    assert SegmentGrant.objects.count() == 1
    _, answer = confirm(operator, values)
    assert "Done: add: 3, change: 1." in answer.content.decode()
    assert SegmentGrant.objects.filter(delay_minutes=5, valid_until="2027-03-31").count() == 4


def test_withdrawing_says_what_is_still_seen(operator: Client, required: None) -> None:
    """By a grant of every segment, by a group, or as a superuser."""
    user, group = asha("NFO", "*"), desk_group("NFO", "CDS")
    user.groups.add(group)
    values = {"users": str(user.pk), "action": "withdraw", "segments": ["NFO"]}
    preview, _ = confirm(operator, values)
    assert "asha still sees NFO: group dealing desk, own grant of every segment" in preview
    assert sorted(one.segment for one in SegmentGrant.objects.filter(user=user)) == ["*"]
    preview, answer = confirm(operator, {**values, "users": "", "groups": str(group.pk)})
    assert "Done: remove: 1." in answer.content.decode()
    assert [one.segment for one in SegmentGrant.objects.filter(group=group)] == ["CDS"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"segments": []},
        {"segments": ["NASDAQ"]},
        {"action": "steal"},
        {"delay_minutes": "-1"},
        {"delay_minutes": "1441"},
        {"delay_minutes": "soon"},
        {"valid_from": "27/11/26x"},
        {"valid_from": "2026-11-27", "valid_until": "2026-11-26"},
    ],
)
def test_bad_orders_are_shown_again(wrong: dict[str, Any], operator: Client) -> None:
    """The form says what is wrong, and nothing changes."""
    values = {"users": str(asha().pk), "action": "grant", "segments": ["NFO"], **wrong}
    text = operator.post(GRANTS, values).content.decode()
    assert "errorlist" in text and not SegmentGrant.objects.exists()


@pytest.mark.parametrize(
    "users",
    ["", "x", "1,,x", "-1", "9" * 30, "999999", ",".join(map(str, range(1, MAX_SUBJECTS + 2)))],
)
def test_subjects_that_are_none_or_too_many_lead_back_to_the_list(
    users: str, operator: Client
) -> None:
    """The list of users says what to do."""
    for method in (operator.get, operator.post):
        answer = method(GRANTS, {"users": users})
        assert answer.status_code == 302 and answer["Location"] == "/admin/auth/user/"


def test_a_preview_that_is_out_of_date_is_shown_again(operator: Client) -> None:
    """With the changes as they would be now."""
    user = asha("NFO")
    values = {"users": str(user.pk), "action": "withdraw", "segments": ["NFO"], "digest": "old"}
    text = operator.post(GRANTS, values).content.decode()
    assert "Grants have changed since the preview" in text and "What changes" in text
    assert SegmentGrant.objects.count() == 1


def test_operators_change_only_whom_they_may(redis: Redis) -> None:
    """Grants of users need the permission to change users, those of groups that of groups."""
    user = asha(is_staff=True)
    names = [f"{verb}_segmentgrant" for verb in ("view", "add", "change", "delete")]
    user.user_permissions.set(Permission.objects.filter(codename__in=[*names, "change_user"]))
    client = Client()
    client.force_login(User.objects.get())
    group = desk_group("NFO")
    assert client.get(GRANTS, {"users": user.pk}).status_code == 200
    assert client.get(GRANTS, {"groups": group.pk}).status_code == 403
