"""Errors of access.

AccessError
├── BadCredentials  402  a token, ticket or key that is none, has ended, or is not for here
├── LimitReached    406  as many connections as there may be
└── AccessDown      503  users and entitlements cannot be read
"""

from quotes.errors import QuotesError


class AccessError(QuotesError):
    """Base of the errors; none of their texts ever holds a credential."""


class BadCredentials(AccessError):
    """A token, ticket or key that is none, has ended, or is not for here."""

    code = 402


class LimitReached(AccessError):
    """As many connections as there may be."""

    code = 406


class AccessDown(AccessError):
    """Users and entitlements cannot be read, so nobody is let in on their account."""

    code = 503

    def __init__(self) -> None:
        super().__init__("users cannot be looked up for a moment, try again")
