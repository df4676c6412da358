"""Health: whether the process answers, and whether prices can flow."""

from typing import Any

from django.http import HttpRequest, JsonResponse

from quotes.rest.readiness import Readiness


def healthz(request: HttpRequest) -> JsonResponse:
    """Answer 200 as long as the process runs; nothing else is checked."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 503 when live prices cannot flow through this process, else 200 with warnings."""
    readiness = Readiness.check()
    contents: dict[str, Any] = {
        "status": "ok" if readiness.is_ready else "not ready",
        **readiness.parts,
        "warnings": readiness.warnings,
        **readiness.details,
    }
    response = JsonResponse(contents, status=200 if readiness.is_ready else 503)
    # Not ready is an answer, not a failure: Django must not log it with each probe.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response
