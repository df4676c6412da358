"""Keeps the HTTP request that is being served, so that changes are recorded with its user."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from quotes.access.changes import acting_request


def record_acting_request(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Return the middleware; it stands behind Django's AuthenticationMiddleware."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        token = acting_request.set(request)
        try:
            return get_response(request)
        finally:
            acting_request.reset(token)

    return middleware
