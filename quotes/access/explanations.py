"""Where entitlements come from: what each user sees, by which grant of whom, for operators."""

from collections.abc import Collection, Iterable
from datetime import date
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet

from quotes.access.entitlements import CODES, EVERY, Grant, parse_grants
from quotes.access.models import SegmentGrant
from quotes.conf import conf

_FIELDS = ("segment", "delay_minutes", "valid_from", "valid_until", "is_whole")

OWN = "own grant"
SUPERUSER = "superuser"
EVERYBODY = "everybody (QUOTES_ANONYMOUS_SEGMENTS)"


class SourcedGrant(NamedTuple):
    """A grant, and where it comes from: OWN, a group, SUPERUSER or EVERYBODY."""

    source: str
    grant: Grant

    def covers(self, segment: str, day: date) -> bool:
        """Return whether it lets its user see a segment on an Indian date."""
        return self.grant.segment in (segment, EVERY) and self.grant.holds_on(day)


class SegmentAccess(NamedTuple):
    """What a user sees of one segment.

    Attributes:
        delay_minutes: None: nothing; 0: prices in real time.
        is_whole: whether one subscription may be to all of its instruments.
        sources: of the soonest prices, each once.
    """

    segment: str
    delay_minutes: int | None
    is_whole: bool
    sources: tuple[str, ...]


def explained(grants: Iterable[SourcedGrant], *, today: date) -> list[SegmentAccess]:
    """Return what a user's grants allow of each segment, as `entitlements_of` decides; pure."""
    every = list(grants)
    found = []
    for code in CODES:
        covering = [one for one in every if one.covers(code, today)]
        delay = min((one.grant.delay_minutes for one in covering), default=None)
        soonest = [one.source for one in covering if one.grant.delay_minutes == delay]
        found.append(
            SegmentAccess(
                code,
                delay,
                any(one.grant.is_whole for one in covering),
                tuple(dict.fromkeys(soonest)),
            )
        )
    return found


def sourced_grants(users: Collection[Any]) -> dict[int, list[SourcedGrant]]:
    """Return the grants of users, by their ids, in two queries however many there are."""
    ids = [user.pk for user in users]
    found: dict[int, list[SourcedGrant]] = {id: [] for id in ids}
    for user in users:
        if user.is_superuser:
            found[user.pk].append(SourcedGrant(SUPERUSER, Grant(EVERY, is_whole=True)))
    own = SegmentGrant.objects.filter(user_id__in=ids).values_list("user_id", *_FIELDS)
    for user_id, *values in own:
        found[user_id].append(SourcedGrant(OWN, Grant(*values)))
    of_groups = SegmentGrant.objects.filter(group__user__in=ids)
    for user_id, name, *values in of_groups.values_list("group__user", "group__name", *_FIELDS):
        if user_id in found:
            found[user_id].append(SourcedGrant(f"group {name}", Grant(*values)))
    if conf.auth == "optional":
        for grant in parse_grants(conf.anonymous_segments):
            for grants in found.values():
                grants.append(SourcedGrant(EVERYBODY, grant))
    return found


def users_who_see(segment: str, *, today: date) -> QuerySet[Any]:
    """Return the active users who see a segment by grants or as superusers, by name.

    With QUOTES_AUTH=optional everybody may see more; see `EVERYBODY`.
    """
    grants = SegmentGrant.objects.filter(
        Q(valid_from__isnull=True) | Q(valid_from__lte=today),
        Q(valid_until__isnull=True) | Q(valid_until__gte=today),
        segment__in=(segment, EVERY),
    )
    model: Any = get_user_model()
    by_group = Q(groups__in=grants.filter(group__isnull=False).values("group"))
    by_own = Q(pk__in=grants.filter(user__isnull=False).values("user"))
    ids = model.objects.filter(Q(is_superuser=True) | by_own | by_group).values("pk")
    rows: QuerySet[Any] = model.objects.filter(pk__in=ids, is_active=True)
    return rows.order_by(model.USERNAME_FIELD)
