"""Errors of access.

AccessError
├── BadCredentials  402  a token, ticket or key is not valid, or no longer
├── LimitReached    406  there are as many connections as allowed
├── NotPermitted    403  the caller may not do this to another user
└── AccessDown      503  users and entitlements cannot be read
"""

from quotes.errors import QuotesError


class AccessError(QuotesError):
    """Base of the errors; their texts never hold a credential."""


class BadCredentials(AccessError):
    """A token, ticket or key is not valid, or no longer."""

    code = 402


class LimitReached(AccessError):
    """There are as many connections as allowed."""

    code = 406


class NotPermitted(AccessError):
    """The caller may not do this to another user."""

    code = 403


class AccessDown(AccessError):
    """Users and entitlements cannot be read, so nobody can authenticate."""

    code = 503

    def __init__(self) -> None:
        super().__init__("users cannot be looked up at the moment, try again")
