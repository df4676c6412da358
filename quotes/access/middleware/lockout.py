"""Lock-outs after wrong passwords: the functions that django-axes calls, by settings."""

import math
from typing import Any

from axes.helpers import get_cool_off
from django.http import HttpRequest, HttpResponse

from instruments.rest import is_api, json_error

_TOO_MANY = "too many failed log-ins, try again in 15 minutes"


def address_of(request: HttpRequest) -> str:
    """Return the address of a request, which `ProxyHeaders` may have put there."""
    return str(request.META.get("REMOTE_ADDR", ""))


def locked_out(request: HttpRequest, response: Any = None, credentials: Any = None) -> HttpResponse:
    """Answer 429 to an attempt to log in after too many failed ones."""
    answer: HttpResponse
    if is_api(request):
        answer = json_error(429, _TOO_MANY)
    else:
        answer = HttpResponse(_TOO_MANY, status=429, content_type="text/plain")
    # The whole time: django-axes starts it again with each attempt, this one included.
    if cool_off := get_cool_off(request):
        answer["Retry-After"] = str(math.ceil(cool_off.total_seconds()))
    return answer
