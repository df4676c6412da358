"""Changes of users and entitlements: recorded once each, read by every web process."""

import hashlib
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, NamedTuple

from django.db.models import Max

from quotes.access.models import AccessChange, EndedLogin
from quotes.conf import conf
from quotes.runtime.clock import utc_time
from quotes.store.clients import probing_client
from quotes.store.redis_clock import redis_clock

# The HTTP request that makes a change, if one does.
acting_request: ContextVar[Any] = ContextVar("acting_request", default=None)

# Of two changes that are made at the same time the one with the lower number may be seen later.
_OVERLAP = 200
_MAX_ROWS = 1000


class RecordedChange(NamedTuple):
    """A change as web processes read it; without a user it may be about anybody."""

    id: int
    user_id: int | None


def change_record(*, what: str, user_id: int | None = None, group_id: int | None = None) -> None:
    """Record that something about a user, or about many, has changed.

    Args:
        what: a text for people, without secrets; cut to 300 characters.
    """
    AccessChange.objects.create(
        actor=_actor_name(), what=what[:300], user_id=user_id, group_id=group_id
    )


def _actor_name() -> str:
    request = acting_request.get()
    user = getattr(request, "user", None)
    return user.get_username()[:150] if user is not None and user.is_authenticated else ""


def last_change() -> int:
    """Return the number of the newest change, 0 before the first."""
    return AccessChange.objects.aggregate(last=Max("id"))["last"] or 0


def changes_since(number: int) -> Sequence[RecordedChange]:
    """Return the changes after a number, and some before it: the reader drops those it has seen."""
    rows = AccessChange.objects.filter(id__gt=number - _OVERLAP).order_by("id")
    return [
        RecordedChange(*row) for row in rows.values_list("id", "user_id")[: _OVERLAP + _MAX_ROWS]
    ]


def login_end(*, login: str, user_id: int | None, why: str, expires: float = 0) -> None:
    """End a log-in: its tokens are refused from now on, and its sockets are closed.

    Args:
        login: nothing happens if it is "".
        expires: when its last token ends, in Unix seconds, if an outside issuer signed it.
    """
    if not login:
        return
    # Deleted too early, it would let its tokens in again, by another machine whose clock is right.
    redis_clock.measure_if_due(probing_client())
    EndedLogin.objects.filter(until__lt=utc_time(redis_clock.earliest_ms())).delete()
    now = utc_time(redis_clock.latest_ms())
    until = now + timedelta(seconds=max(conf.refresh_token_s, expires - now.timestamp()) + 3600)
    EndedLogin.objects.update_or_create(login=login, defaults={"until": until})
    change_record(what=why, user_id=user_id)


def session_login(session: Any) -> str:
    """Return the log-in of a browser's session, without giving its key away; "" without a key."""
    key = getattr(session, "session_key", None)
    return f"web:{hashlib.sha256(key.encode()).hexdigest()[:48]}" if key else ""
