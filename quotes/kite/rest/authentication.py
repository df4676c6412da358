"""Who a request of Kite's clients is from: `Authorization: token api_key:access_token`."""

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from quotes.access.rest.authentication import authenticate_credentials

_KIND = "token"


class KiteAuthentication(BaseAuthentication):
    """The access token is a token or an API key of this server, `api_key` the name of its user."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        kind, _, text = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if kind.lower() != _KIND:
            return None
        # Names of users may hold a colon; credentials do not.
        name, _, credentials = text.strip().rpartition(":")
        user, auth = authenticate_credentials(credentials)
        if user.get_username() != name:
            raise AuthenticationFailed("api_key must be the name of the user of the access token")
        return user, auth

    def authenticate_header(self, request: Request) -> str:
        return _KIND
