"""What access adds to each HTTP request: who acts, for the record of changes, and lock-outs."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from instruments.rest import is_api, json_error
from quotes.access.changes import acting

TOO_MANY = "too many failed log-ins, try again in a quarter of an hour"


def remember_who_acts(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Return the middleware that lets changes of access be recorded with who made them."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        token = acting.set(request)
        try:
            return get_response(request)
        finally:
            acting.reset(token)

    return middleware


def address_of(request: HttpRequest) -> str:
    """Return where a request comes from; headers count only by way of `ProxyHeaders`."""
    return str(request.META.get("REMOTE_ADDR", ""))


def locked_out(request: HttpRequest, response: Any = None, credentials: Any = None) -> HttpResponse:
    """Answer somebody who has failed to log in too often; django-axes' AXES_LOCKOUT_CALLABLE."""
    if is_api(request):
        return json_error(429, TOO_MANY)
    return HttpResponse(TOO_MANY, status=429, content_type="text/plain")
