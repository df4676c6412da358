"""Health: whether the process answers, and whether prices can flow."""

from typing import Any

from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse

from quotes.access.middleware.proxy_headers import is_loopback, is_own_request
from quotes.rest.readiness import Readiness
from quotes.websocket.transports.draining import is_draining


def healthz(request: HttpRequest) -> JsonResponse:
    """Answer 200 as long as the process runs; nothing else is checked."""
    return JsonResponse({"status": "ok"})


def _may_see_names(request: HttpRequest) -> bool:
    """Return whether a caller may read names and errors' texts: staff, and this machine."""
    if is_loopback(request.META.get("REMOTE_ADDR", "")):
        return is_own_request(request)
    try:
        return bool(request.user.is_active and request.user.is_staff)
    except DatabaseError:
        return False


def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 503 when live prices cannot flow through this process, else 200 with warnings.

    A process that is stopping is not ready: proxies are to send nobody here.
    """
    if is_draining():
        return _not_logged(JsonResponse({"status": "draining", "warnings": []}, status=503))
    readiness = Readiness.check(with_names=_may_see_names(request))
    contents: dict[str, Any] = {
        "status": "ok" if readiness.is_ready else "not ready",
        **readiness.parts,
        "warnings": readiness.warnings,
        **readiness.details,
    }
    return _not_logged(JsonResponse(contents, status=200 if readiness.is_ready else 503))


def _not_logged(response: JsonResponse) -> JsonResponse:
    # Not ready is an answer, not a failure: Django must not log it with each probe.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response
