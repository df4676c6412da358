"""What access adds to each HTTP request: who acts, for the record of changes."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from quotes.access.changes import acting


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
