"""URL keys: authentication for programs that can only be given an address.

Spreadsheets, dashboards and charting libraries put the key into the URL. A URL ends up in histories
and shared documents, so such a key reads prices in the views that list these classes, and opens
nothing else.
"""

from typing import Any

from django.http.response import HttpResponseBase
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from quotes.access.credentials.api_keys import may_read_by_url
from quotes.access.models import ApiKey
from quotes.access.rest.authentication import AUTHENTICATION, authenticate_key
from quotes.access.rest.permissions import MayReadByUrl
from quotes.access.rest.throttling import CallerThrottle, UrlKeyThrottle

PARAMETER = "key"
# The same key as a part of a path, for clients that append to the address that they are given.
PATH_PARAMETER = "url_key"


class UrlKeyAuthentication(BaseAuthentication):
    """`?key=KEY`, or a path with a URL key in it."""

    def authenticate(self, request: Request) -> tuple[Any, ApiKey] | None:
        found = request.query_params.getlist(PARAMETER)
        in_path = (request.parser_context or {}).get("kwargs", {}).get(PATH_PARAMETER)
        if in_path is not None:
            found = [in_path, *found]
        if not found:
            return None
        if len(found) > 1:
            raise AuthenticationFailed("the URL has more than one key")
        user, key = authenticate_key(found[0])
        if not may_read_by_url(key):
            raise AuthenticationFailed(
                f"a key with the scope {key.scope!r} must not be in a URL: "
                "create one for reading by URL, and replace this one"
            )
        return user, key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


# What a view needs to accept URL keys.
URL_AUTHENTICATION = [UrlKeyAuthentication, *AUTHENTICATION]
URL_PERMISSIONS = [MayReadByUrl]
URL_THROTTLES = [CallerThrottle, UrlKeyThrottle]


def keep_private(response: HttpResponseBase) -> None:
    """Let nobody store an answer to a URL that may have a key in it, or learn that URL from it."""
    response["Referrer-Policy"] = "no-referrer"
    response.setdefault("Cache-Control", "no-store")
