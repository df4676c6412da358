"""Lock-outs of who guesses passwords: what django-axes asks of this project, by settings."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from instruments.rest import is_api, json_error

TOO_MANY = "too many failed log-ins, try again in a quarter of an hour"


def address_of(request: HttpRequest) -> str:
    """Return where a request comes from; headers count only by way of `ProxyHeaders`."""
    return str(request.META.get("REMOTE_ADDR", ""))


def locked_out(request: HttpRequest, response: Any = None, credentials: Any = None) -> HttpResponse:
    """Answer somebody who has failed to log in too often."""
    if is_api(request):
        return json_error(429, TOO_MANY)
    return HttpResponse(TOO_MANY, status=429, content_type="text/plain")
