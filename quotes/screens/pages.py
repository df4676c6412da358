"""Pages for people: the dashboard, and what browsers ask for beside it.

Its scripts are in `static/screens/` and use the client library of `clients/js`, as any page may.
"""

from functools import cache
from pathlib import Path

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.views.decorators.http import require_safe

from quotes.conf import conf
from quotes.publish.simulation.instruments import showcase
from quotes.runtime.clock import today_in_india

# Only files of this server are loaded; `ws:` is for browsers whose 'self' does not include the
# WebSocket of the same origin.
_CONTENT_SECURITY_POLICY = (
    "default-src 'self'; connect-src 'self' ws: wss:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


PANELS = ("chart", "chain", "depth", "market")


@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    """Show the dashboard: a watch list, with panels beside it."""
    values = {
        "auth": conf.auth,
        "user": _session_user(request),
        "heartbeat_s": f"{conf.heartbeat_s:g}",
        "panels": PANELS,
        "symbols": showcase(today_in_india()),
    }
    response = render(request, "screens/index.html", values)
    response["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY
    response["Cache-Control"] = "no-cache"
    return response


def _session_user(request: HttpRequest) -> str:
    """Return the name of who is logged in to admin here, and let the page act for that user."""
    try:
        if not request.user.is_authenticated:
            return ""
    except DatabaseError:
        return ""  # the page itself needs no database
    get_token(request)  # sets the cookie that the page's requests need
    return request.user.get_username()


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """Answer browsers that ask for the icon of a page that names none."""
    headers = {"Cache-Control": "public, max-age=86400"}
    return HttpResponse(_icon(), content_type="image/svg+xml", headers=headers)


@cache
def _icon() -> bytes:
    return (Path(__file__).parent / "static" / "screens" / "icon.svg").read_bytes()
