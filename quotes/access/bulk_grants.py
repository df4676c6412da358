"""Granting and withdrawing segments for many users and groups: first a plan, then one transaction.

An operator sees the plan and confirms it. If grants have changed meanwhile, nothing is done.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, NamedTuple

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Q

from quotes.access.errors import AccessError
from quotes.access.models import SegmentGrant

# Users and groups of one plan.
MAX_SUBJECTS = 500

ADD, CHANGED, REMOVE, UNCHANGED = "add", "change", "remove", "leave as it is"


class PlanChanged(AccessError):
    """Grants have changed since the plan was shown."""

    code = 409


class Order(NamedTuple):
    """What an operator wants of each user and group.

    Granting leaves one grant of each segment, with this delay and these dates: a second one of the
    same segment is removed. Withdrawing removes all grants of the segments themselves; those of
    every segment, and those of groups, stay.
    """

    withdraw: bool
    segments: Sequence[str]
    delay_minutes: int = 0
    valid_from: date | None = None
    valid_until: date | None = None


class PlannedChange(NamedTuple):
    """A change of one grant.

    Attributes:
        subject: a user or a group.
        row: the grant before it; a new one for ADD.
        before: its text, "" for ADD.
        after: its text, "" for REMOVE.
    """

    kind: str
    subject: Any
    row: SegmentGrant
    before: str
    after: str

    @property
    def text(self) -> str:
        if self.kind == CHANGED:
            return f"{self.before} becomes {self.after}"
        return self.after or self.before


def plan_grants(
    order: Order, *, users: Sequence[Any], groups: Sequence[Any]
) -> list[PlannedChange]:
    """Return what an order changes, subject by subject; read in one query."""
    rows: dict[tuple[str, int, str], list[SegmentGrant]] = {}
    of_subjects = Q(user__in=users) | Q(group__in=groups)
    grants = SegmentGrant.objects.filter(of_subjects, segment__in=order.segments).order_by("pk")
    for row in grants:
        key = ("user", row.user_id) if row.user_id is not None else ("group", row.group_id or 0)
        rows.setdefault((*key, row.segment), []).append(row)
    changes: list[PlannedChange] = []
    for kind, subjects in (("user", users), ("group", groups)):
        for subject in subjects:
            for segment in order.segments:
                found = rows.get((kind, subject.pk, segment), [])
                changes += _changes(order, kind, subject, segment, found)
    return changes


def _changes(
    order: Order, kind: str, subject: Any, segment: str, rows: Sequence[SegmentGrant]
) -> Iterable[PlannedChange]:
    if order.withdraw:
        return [PlannedChange(REMOVE, subject, row, str(row), "") for row in rows]
    first = rows[0] if rows else SegmentGrant(segment=segment, **{kind: subject})
    before = str(first) if rows else ""
    first.delay_minutes = order.delay_minutes
    first.valid_from, first.valid_until = order.valid_from, order.valid_until
    after = str(first)
    verb = ADD if not rows else UNCHANGED if before == after else CHANGED
    return [
        PlannedChange(verb, subject, first, before, after),
        *(PlannedChange(REMOVE, subject, row, str(row), "") for row in rows[1:]),
    ]


def digest_of(changes: Iterable[PlannedChange]) -> str:
    """Return a text that is the same for the same changes alone."""
    digest = hashlib.sha256()
    for one in changes:
        line = (
            one.kind,
            one.subject._meta.label,
            one.subject.pk,
            one.row.pk,
            one.before,
            one.after,
        )
        digest.update(repr(line).encode())
    return digest.hexdigest()


@transaction.atomic
def grants_apply(
    order: Order, *, users: Sequence[Any], groups: Sequence[Any], digest: str, actor: Any
) -> Counter[str]:
    """Carry an order out, all of it or nothing; connected clients learn of it within a second.

    Each grant goes through its model, which records the change; admin's log gets an entry for
    each user and group.

    Args:
        digest: of the plan that was shown.
        actor: the operator.

    Returns:
        How many changes there were of each kind.

    Raises:
        PlanChanged: the plan would be another by now; nothing is changed.
    """
    changes = plan_grants(order, users=users, groups=groups)
    if digest_of(changes) != digest:
        raise PlanChanged("grants have changed since the preview")
    texts: dict[Any, list[str]] = {}
    for one in changes:
        if one.kind == REMOVE:
            one.row.delete()
        elif one.kind != UNCHANGED:
            one.row.save()
        if one.kind != UNCHANGED:
            texts.setdefault(one.subject, []).append(f"{one.kind} {one.text}")
    LogEntry.objects.bulk_create(
        LogEntry(
            user_id=actor.pk,
            content_type=ContentType.objects.get_for_model(subject),
            object_id=str(subject.pk),
            object_repr=str(subject)[:200],
            action_flag=CHANGE,
            change_message=f"Grants: {'; '.join(lines)}.",
        )
        for subject, lines in texts.items()
    )
    return Counter(one.kind for one in changes)
