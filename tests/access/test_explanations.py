"""Where entitlements come from: the same as what is enforced, with the grants behind it."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from hypothesis import given
from hypothesis import strategies as st

from quotes.access.entitlements import CODES, EVERY, Grant, entitlements_of
from quotes.access.explanations import (
    EVERYBODY,
    OWN,
    SUPERUSER,
    SourcedGrant,
    explained,
    sourced_grants,
    users_who_see,
)
from quotes.access.models import SegmentGrant
from quotes.access.selectors import read_accounts
from quotes.runtime.clock import today_in_india
from tests.access.people import asha, desk_group

TODAY = date(2026, 11, 27)
DAYS = st.none() | st.dates(TODAY - timedelta(days=2), TODAY + timedelta(days=2))
GRANTS = st.builds(
    Grant,
    st.sampled_from([EVERY, *CODES]),
    st.integers(0, 3),
    DAYS,
    DAYS,
    st.booleans(),
)


@given(st.lists(st.tuples(st.sampled_from([OWN, "group a", "group b"]), GRANTS), max_size=8))
def test_explanation_is_what_is_enforced(grants: list[tuple[str, Grant]]) -> None:
    """For any grants, the delays and the whole segments are those of `entitlements_of`."""
    sourced = [SourcedGrant(*one) for one in grants]
    found = explained(sourced, today=TODAY)
    enforced = entitlements_of([one.grant for one in sourced], today=TODAY)
    assert [one.segment for one in found] == list(CODES)
    delays = {one.segment: one.delay_minutes for one in found if one.delay_minutes is not None}
    assert delays == enforced.delays
    assert {one.segment for one in found if one.is_whole} == enforced.whole
    for one in found:
        assert bool(one.sources) == (one.delay_minutes is not None)


@pytest.mark.django_db
def test_sources_of_all_kinds_are_named(settings: Any, django_assert_num_queries: Any) -> None:
    """Own grants, groups, superusers and the setting; two queries however many users there are."""
    settings.QUOTES_AUTH, settings.QUOTES_ANONYMOUS_SEGMENTS = "optional", "MCX@15"
    user = asha("NSE_EQ", delay_minutes=15)
    user.groups.add(desk_group("NSE_EQ", "NFO"))
    boss = asha(username="boss", is_superuser=True)
    with django_assert_num_queries(2):
        found = sourced_grants([user, boss])
    today = today_in_india()
    seen = {one.segment: one for one in explained(found[user.pk], today=today)}
    assert (seen["NSE_EQ"].delay_minutes, seen["NSE_EQ"].sources) == (0, ("group dealing desk",))
    assert seen["NFO"].sources == ("group dealing desk",)
    assert (seen["MCX"].delay_minutes, seen["MCX"].sources) == (15, (EVERYBODY,))
    assert (seen["CDS"].delay_minutes, seen["CDS"].sources) == (None, ())
    assert {one.sources for one in explained(found[boss.pk], today=today)} == {(SUPERUSER,)}
    accounts = read_accounts([user.pk, boss.pk]).users
    for one in (user, boss):
        delays = {s.segment: s.delay_minutes for s in explained(found[one.pk], today=today)}
        enforced = accounts[one.pk].entitlements.delays
        assert {code: delay for code, delay in delays.items() if delay is not None} == enforced


@pytest.mark.django_db
def test_users_of_a_segment_are_those_who_see_it() -> None:
    """By grants that hold today, of their own or of a group, of the segment or of every one."""
    own, every, by_group = asha("NFO"), asha("*", username="every"), asha(username="member")
    by_group.groups.add(desk_group("NFO"))
    boss = asha(username="boss", is_superuser=True)
    asha("NSE_EQ", username="other")
    asha("NFO", username="gone", is_active=False)
    for name, terms in (
        ("ended", {"valid_until": TODAY - timedelta(days=1)}),
        ("later", {"valid_from": TODAY + timedelta(days=1)}),
    ):
        SegmentGrant.objects.create(user=asha(username=name), segment="NFO", **terms)
    last = asha(username="last day")
    SegmentGrant.objects.create(user=last, segment="NFO", valid_from=TODAY, valid_until=TODAY)
    expected = sorted(one.username for one in (own, every, by_group, boss, last))
    assert [one.username for one in users_who_see("NFO", today=TODAY)] == expected
    assert User.objects.count() == 9
