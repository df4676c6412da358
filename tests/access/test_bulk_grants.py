"""Granting and withdrawing for many at once: a plan, then all of it or nothing."""

from datetime import date

import pytest
from django.contrib.admin.models import LogEntry
from django.db import DatabaseError

from quotes.access.bulk_grants import (
    ADD,
    CHANGED,
    REMOVE,
    UNCHANGED,
    Order,
    PlanChanged,
    digest_of,
    grants_apply,
    plan_grants,
)
from quotes.access.models import AccessChange, SegmentGrant
from tests.access.people import asha, desk_group

pytestmark = pytest.mark.django_db

UNTIL = date(2027, 3, 31)


def kinds(order: Order, *users: object, groups: tuple[object, ...] = ()) -> list[tuple[str, str]]:
    plan = plan_grants(order, users=users, groups=groups)
    return [(one.kind, one.text) for one in plan]


def test_plan_names_each_change() -> None:
    """New, changed, superfluous and unchanged grants; the right to whole segments is kept."""
    user = asha("NSE_EQ", "NSE_EQ")
    SegmentGrant.objects.create(user=user, segment="NFO", delay_minutes=15, is_whole=True)
    SegmentGrant.objects.create(user=user, segment="MCX", delay_minutes=5, valid_until=UNTIL)
    order = Order(False, ["NSE_EQ", "NFO", "MCX", "CDS"], 5, None, UNTIL)
    assert kinds(order, user) == [
        (CHANGED, "NSE_EQ becomes NSE_EQ, 5 min late, until 2027-03-31"),
        (REMOVE, "NSE_EQ"),
        (
            CHANGED,
            "NFO, 15 min late, all symbols at once becomes "
            "NFO, 5 min late, all symbols at once, until 2027-03-31",
        ),
        (UNCHANGED, "MCX, 5 min late, until 2027-03-31"),
        (ADD, "CDS, 5 min late, until 2027-03-31"),
    ]
    assert SegmentGrant.objects.count() == 4 and not LogEntry.objects.exists()


def test_order_is_carried_out_and_recorded() -> None:
    """Users and groups, in one transaction, with an entry of each in both records."""
    boss, users, group = asha(username="boss"), [asha(), asha(username="ravi")], desk_group("CDS")
    SegmentGrant.objects.create(user=users[0], segment="NFO", delay_minutes=15)
    before = AccessChange.objects.count()
    order = Order(False, ["NFO", "MCX"])
    digest = digest_of(plan_grants(order, users=users, groups=[group]))
    counts = grants_apply(order, users=users, groups=[group], digest=digest, actor=boss)
    assert counts == {ADD: 5, CHANGED: 1}
    assert SegmentGrant.objects.filter(segment="NFO", delay_minutes=0).count() == 3
    assert SegmentGrant.objects.filter(group=group).count() == 3
    assert AccessChange.objects.count() == before + 6
    assert AccessChange.objects.filter(user_id=users[0].pk, what__contains="NFO").exists()
    entries = LogEntry.objects.filter(user=boss)
    assert {one.object_repr for one in entries} == {"asha", "ravi", "dealing desk"}
    assert "NFO" in entries[0].change_message
    again = digest_of(plan_grants(order, users=users, groups=[group]))
    assert grants_apply(order, users=users, groups=[group], digest=again, actor=boss) == {
        UNCHANGED: 6
    }
    assert LogEntry.objects.count() == 3


def test_withdrawing_leaves_other_grants() -> None:
    """All grants of the segments themselves go; those of every segment and of groups stay."""
    user = asha("NFO", "NFO", "*", "MCX")
    user.groups.add(desk_group("NFO"))
    order = Order(True, ["NFO", "CDS"])
    digest = digest_of(plan_grants(order, users=[user], groups=[]))
    counts = grants_apply(order, users=[user], groups=[], digest=digest, actor=user)
    assert counts == {REMOVE: 2}
    left = SegmentGrant.objects.filter(user=user).values_list("segment", flat=True)
    assert sorted(left) == ["*", "MCX"] and SegmentGrant.objects.filter(group_id__gt=0).exists()


def test_nothing_is_done_if_the_plan_has_changed() -> None:
    """Another operator was quicker: the digest of what was shown is no longer right."""
    user = asha("NFO")
    order = Order(True, ["NFO"])
    digest = digest_of(plan_grants(order, users=[user], groups=[]))
    SegmentGrant.objects.create(user=user, segment="NFO", delay_minutes=15)
    with pytest.raises(PlanChanged):
        grants_apply(order, users=[user], groups=[], digest=digest, actor=user)
    assert SegmentGrant.objects.count() == 2


def test_a_failure_undoes_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """If one grant cannot be saved, none is."""
    users = [asha(), asha(username="ravi")]
    order = Order(False, ["NFO"])
    digest = digest_of(plan_grants(order, users=users, groups=[]))
    save = SegmentGrant.save

    def failing(row: SegmentGrant, *args: object, **kwargs: object) -> None:
        if row.user_id == users[1].pk:
            raise DatabaseError("the disk is full")
        save(row)

    monkeypatch.setattr(SegmentGrant, "save", failing)
    with pytest.raises(DatabaseError):
        grants_apply(order, users=users, groups=[], digest=digest, actor=users[0])
    assert not SegmentGrant.objects.exists() and not LogEntry.objects.exists()
