"""Who a REST request is from: DRF authentication by bearer token and by API key."""

from typing import Any

from django.db import DatabaseError
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework.request import Request

from quotes.access.accounts import Identity
from quotes.access.credentials.api_keys import KEY_START, api_key_find
from quotes.access.credentials.tokens import verify
from quotes.access.errors import AccessDown, BadCredentials
from quotes.access.models import ApiKey
from quotes.access.rest import schema
from quotes.access.selectors import read_accounts, user_of


class Unavailable(APIException):
    """Answers 503: users cannot be looked up."""

    status_code = 503
    default_detail = "users cannot be looked up at the moment, try again"
    wait = 2  # DRF makes it the Retry-After header


class BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer TOKEN`, of this server or of the outside issuer.

    The account that was read is kept on the user, where `permissions.account_of` finds it.
    """

    def authenticate(self, request: Request) -> tuple[Any, Identity] | None:
        kind, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if kind.lower() != "bearer":
            return None
        return _authenticate_token(token.strip())

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Api-Key KEY`: a program that acts for its user."""

    def authenticate(self, request: Request) -> tuple[Any, ApiKey] | None:
        kind, _, text = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if kind.lower() != "api-key":
            return None
        return authenticate_key(text.strip())


def authenticate_credentials(text: str) -> tuple[Any, Identity | ApiKey]:
    """Return the user of a token or an API key, and what proves it; every other door calls this.

    The account that was read is kept on the user, as by `BearerAuthentication`.

    Raises:
        AuthenticationFailed: the text is neither, or not valid any more.
        Unavailable: users cannot be looked up.
    """
    return authenticate_key(text) if text.startswith(KEY_START) else _authenticate_token(text)


def _authenticate_token(token: str) -> tuple[Any, Identity]:
    try:
        identity = verify(token)
        account = read_accounts([identity.user], [identity.login]).check(identity)
        user = user_of(account)
        user.access_account = account
        return user, identity
    except BadCredentials as error:
        raise AuthenticationFailed(str(error)) from error
    except (AccessDown, DatabaseError) as error:
        raise Unavailable from error


def authenticate_key(text: str) -> tuple[Any, ApiKey]:
    """Return the user of an API key of any scope, and the key.

    Raises:
        AuthenticationFailed, Unavailable: as `authenticate_credentials`.
    """
    try:
        key = api_key_find(text=text)
    except BadCredentials as error:
        raise AuthenticationFailed(str(error)) from error
    except DatabaseError as error:
        raise Unavailable from error
    return key.user, key


AUTHENTICATION = [BearerAuthentication, ApiKeyAuthentication, SessionAuthentication]

# Registers the schemes. Not imported with the app: a process that serves no REST does without
# the libraries of the OpenAPI schema.
assert schema
