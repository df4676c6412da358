"""Answers to requests that match no view, or whose view fails: JSON under /api/."""

from django.http import HttpRequest, HttpResponseBase
from django.views import defaults

from instruments.rest import is_api, json_error


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer 404; Django's `handler404`."""
    if is_api(request):
        return json_error(404, "nothing exists at this address")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Answer 500; Django's `handler500`."""
    if is_api(request):
        return json_error(500, "internal error, see the log of the server")
    return defaults.server_error(request)
