"""The caller of a request to OpenAlgo's REST API: by `apikey` in the body, or in a GET's query."""

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, ValidationError
from rest_framework.request import Request

from quotes.access.rest.authentication import authenticate_credentials
from quotes.conf import conf
from quotes.openalgo.keys import is_ours

_MISSING = {"apikey": ["Missing data for required field."]}


class OpenAlgoAuthentication(BaseAuthentication):
    """`apikey`: an API key of this server or a token.

    While callers may be anonymous, a key of another server is that of an anonymous caller, because
    a program for OpenAlgo always has one. A key of ours that is not valid is always refused.
    """

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        values = request.query_params if request.method == "GET" else request.data
        key = values.get("apikey") if hasattr(values, "get") else None
        if not isinstance(key, str) or not key:
            raise ValidationError(_MISSING)
        if conf.auth == "optional" and not is_ours(key):
            return None
        try:
            return authenticate_credentials(key)
        except AuthenticationFailed as error:
            raise AuthenticationFailed(f"invalid apikey: {error}") from error
