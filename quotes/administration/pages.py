"""What the pages of the operator share: permissions, the policy of their contents, numbers."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from instruments.admin.base import grouped
from quotes.runtime.clock import india_time

# Admin's own style sheets have images in them.
_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_UNITS = ("KiB", "MiB", "GiB")

View = Callable[..., HttpResponse]


def operator_page(*permissions: str) -> Callable[[View], View]:
    """Return a decorator of views: only operators with all these permissions see the page.

    Admin's own check, that they are logged in and staff, comes before.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not request.user.has_perms(permissions):
                raise PermissionDenied
            response = view(request, *args, **kwargs)
            response["Content-Security-Policy"] = _POLICY
            response["Cache-Control"] = "no-store"
            return response

        return checked

    return decorate


def show(request: HttpRequest, template: str, title: str, **context: Any) -> TemplateResponse:
    """Return a page of admin's site."""
    values = {**admin.site.each_context(request), "title": title, **context}
    return TemplateResponse(request, f"administration/{template}", values)


def moment(timestamp: int) -> str:
    """Return a time in India, as in `2026-11-27 09:15:00`; "" for 0."""
    return f"{india_time(timestamp):%Y-%m-%d %H:%M:%S}" if timestamp else ""


def size(count: float) -> str:
    """Return a number of bytes, as in `12.3 KiB`."""
    if count < 1024:
        return f"{count:.0f} B"
    for unit in _UNITS:
        count /= 1024
        if count < 1024 or unit == _UNITS[-1]:
            break
    return f"{count:.1f} {unit}"


def number(value: float) -> str:
    """Return a number with its digits grouped, those below ten with one after the point."""
    return f"{value:.1f}" if 0 < value < 10 and value != int(value) else grouped(round(value))
