"""Changes of who may see what: each is recorded once, and every web process reads of it here."""

import hashlib
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, NamedTuple

from django.db.models import Max
from django.utils import timezone

from quotes.access.models import AccessChange, EndedLogin
from quotes.conf import conf

# The request on whose behalf something is changed, if it is one.
acting: ContextVar[Any] = ContextVar("acting", default=None)

# Of two changes that are made at the same time the one with the lower number may be seen later.
OVERLAP = 200
MOST = 1000


class Change(NamedTuple):
    """A change as the web processes see it; without a user it may be about anybody."""

    id: int
    user_id: int | None


def change_record(*, what: str, user_id: int | None = None, group_id: int | None = None) -> None:
    """Record that something about a user, or about many, has changed.

    Args:
        what: for people, with no secret in it.
    """
    AccessChange.objects.create(
        actor=actor_name(), what=what[:300], user_id=user_id, group_id=group_id
    )


def actor_name() -> str:
    request = acting.get()
    user = getattr(request, "user", None)
    return user.get_username()[:150] if user is not None and user.is_authenticated else ""


def last_change() -> int:
    """Return the number of the newest change; 0 when there is none."""
    return AccessChange.objects.aggregate(last=Max("id"))["last"] or 0


def changes_since(number: int) -> Sequence[Change]:
    """Return the changes after a number, and some before it that may have been seen already."""
    rows = AccessChange.objects.filter(id__gt=number - OVERLAP).order_by("id")
    return [Change(*row) for row in rows.values_list("id", "user_id")[: OVERLAP + MOST]]


def login_end(*, login: str, user_id: int | None, why: str, expires: float = 0) -> None:
    """Let every token and socket of a log-in be good no more.

    Args:
        expires: the end of its last token in Unix seconds, where that is not one of this server's.
    """
    if not login:
        return
    now = timezone.now()
    EndedLogin.objects.filter(until__lt=now).delete()
    until = now + timedelta(seconds=max(conf.refresh_token_s, expires - now.timestamp()) + 3600)
    EndedLogin.objects.update_or_create(login=login, defaults={"until": until})
    change_record(what=why, user_id=user_id)


def session_login(session: Any) -> str:
    """Return the name of the log-in that a browser's session is; it does not give the key away."""
    key = getattr(session, "session_key", None)
    return f"web:{hashlib.sha256(key.encode()).hexdigest()[:48]}" if key else ""
