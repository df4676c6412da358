"""Who sees what: all of one user on one page, and all users of one segment."""

from dataclasses import fields
from typing import Any

import redis
from django.contrib.auth import get_user_model
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from quotes.access.accounts import Limits
from quotes.access.entitlements import CODES, EVERY, entitlements_of, parse_grants
from quotes.access.explanations import (
    SourcedGrant,
    explained,
    sourced_grants,
    users_who_see,
)
from quotes.access.models import ApiKey
from quotes.access.selectors import read_accounts
from quotes.administration.connections import VIEW as VIEW_CONNECTIONS
from quotes.administration.connections import row_of
from quotes.administration.pages import number, operator_page, show
from quotes.administration.tables import table_row
from quotes.conf import conf
from quotes.runtime.clock import IST, today_in_india
from quotes.store.connection_reports import ask_processes
from quotes.store.request_clients import cause_of

VIEW = ("auth.view_user", "access.view_segmentgrant")
_PAGE_USERS = 100
_CONNECTIONS = 50
# limit -> the setting that has it where the user's class has none
_SETTINGS = {"max_connections": "QUOTES_MAX_CONNECTIONS_PER_USER"}


def _delay_text(minutes: int | None) -> str:
    if minutes is None:
        return "nothing"
    return f"{minutes} min late" if minutes else "in real time"


def _when(moment: Any) -> str:
    return f"{moment.astimezone(IST):%Y-%m-%d %H:%M:%S}" if moment else "never"


@require_safe
@operator_page(*VIEW)
def user_access(request: HttpRequest, number: int) -> HttpResponse:
    """Show what one user may see and do, and where each comes from."""
    model: Any = get_user_model()
    user = model.objects.filter(pk=number).select_related("access_profile__user_class").first()
    if user is None:
        raise Http404
    today = today_in_india()
    grants = sourced_grants([user])[user.pk]
    tables = {
        "account": _account_rows(user),
        "segments": [
            table_row(
                one.segment,
                one.segment,
                _delay_text(one.delay_minutes),
                "yes" if one.is_whole else "",
                ", ".join(one.sources),
            )
            for one in explained(grants, today=today)
        ],
        "grants": [_grant_row(at, one, today=today) for at, one in enumerate(grants)],
        "limits": _limit_rows(user),
    }
    problem = ""
    if request.user.has_perm("access.view_apikey"):
        tables["keys"] = [_key_row(one) for one in ApiKey.objects.filter(user=user)]
    if request.user.has_perm(VIEW_CONNECTIONS):
        tables["connections"], problem = _connection_rows(user.get_username())
    return show(
        request,
        "user_access.html",
        f"What {user.get_username()} sees",
        subject=user,
        tables=tables,
        problem=problem,
        may_change=request.user.has_perm("auth.change_user"),
    )


def _account_rows(user: Any) -> list[dict[str, Any]]:
    kind = "superuser" if user.is_superuser else "staff" if user.is_staff else "user"
    state = "active" if user.is_active else "not active: refused everywhere"
    groups = ", ".join(user.groups.values_list("name", flat=True)) or "none"
    return [
        table_row("state", "State", state, warns=not user.is_active),
        table_row("kind", "Kind", kind),
        table_row("groups", "Groups", groups),
        table_row("login", "Last log-in", _when(user.last_login)),
        table_row("joined", "Added", _when(user.date_joined)),
    ]


def _grant_row(at: int, one: SourcedGrant, *, today: Any) -> dict[str, Any]:
    grant = one.grant
    if grant.holds_on(today):
        state = "holds today"
    else:
        state = "ended" if grant.valid_until and grant.valid_until < today else "begins later"
    return table_row(
        f"{at}",
        "every segment" if grant.segment == EVERY else grant.segment,
        _delay_text(grant.delay_minutes),
        grant.valid_from or "",
        grant.valid_until or "",
        "yes" if grant.is_whole else "",
        one.source,
        state,
    )


def _limit_rows(user: Any) -> list[dict[str, Any]]:
    account = read_accounts([user.pk]).users[user.pk]
    user_class = getattr(getattr(user, "access_profile", None), "user_class", None)
    rows = []
    for field in fields(Limits):
        is_own = user_class is not None and getattr(user_class, field.name) is not None
        setting = _SETTINGS.get(field.name, f"QUOTES_{field.name.upper()}")
        rows.append(
            table_row(
                field.name,
                field.name.replace("_", " "),
                number(getattr(account.limits, field.name)),
                f"class {user_class}" if is_own else setting,
            )
        )
    return rows


def _key_row(key: ApiKey) -> dict[str, Any]:
    return table_row(
        str(key.pk),
        key.name,
        key.prefix,
        key.get_scope_display(),
        key.segments or "all of the user's",
        _when(key.created_at),
        _when(key.expires_at),
        "active" if key.is_active else "not active",
    )


def _connection_rows(username: str) -> tuple[list[dict[str, Any]], str]:
    """Return the open connections of a user, and why there may be more."""
    try:
        answers = ask_processes(limit=_CONNECTIONS, user=username)
    except redis.RedisError as error:
        return [], f"Open connections are not known: {cause_of(error)}."
    rows = [row for one in answers.reports for row in one.rows if row.user == username]
    problem = ""
    if len(answers.reports) < answers.processes:
        problem = "A process does not answer: there may be more open connections."
    return [row_of(row, may_close=False) for row in rows[:_CONNECTIONS]], problem


@require_safe
@operator_page(*VIEW)
def segment_access(request: HttpRequest) -> HttpResponse:
    """Show which users see a segment, a page after the other."""
    segment = request.GET.get("segment", "")
    if segment not in CODES:
        segment = CODES[0]
    today = today_in_india()
    pages = Paginator(users_who_see(segment, today=today), _PAGE_USERS)
    page = pages.get_page(request.GET.get("page"))
    users = list(page)
    grants = sourced_grants(users)
    rows = []
    for user in users:
        (one,) = [one for one in explained(grants[user.pk], today=today) if one.segment == segment]
        rows.append(
            table_row(
                str(user.pk),
                user.get_username(),
                _delay_text(one.delay_minutes),
                "yes" if one.is_whole else "",
                ", ".join(one.sources),
                href=reverse("admin:user_access", args=[user.pk]),
            )
        )
    return show(
        request,
        "segment_access.html",
        f"Who sees {segment}",
        segments=CODES,
        segment=segment,
        rows=rows,
        page=page,
        count=number(pages.count),
        everybody=_everybody_text(segment),
    )


def _everybody_text(segment: str) -> str:
    """Return what callers see without credentials."""
    if conf.auth != "optional":
        return "Callers without credentials see nothing: QUOTES_AUTH is required."
    today = today_in_india()
    delays = entitlements_of(parse_grants(conf.anonymous_segments), today=today).delays
    delay = delays.get(segment)
    text = "nothing of it" if delay is None else f"it {_delay_text(delay)}"
    return f"Callers without credentials see {text} (QUOTES_ANONYMOUS_SEGMENTS)."
