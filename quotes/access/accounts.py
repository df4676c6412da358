"""Identities, which credentials prove, and accounts, which are what the database has of users."""

from dataclasses import dataclass, field

import msgspec
from django.utils.crypto import constant_time_compare

from quotes.access.entitlements import Entitlements
from quotes.access.errors import BadCredentials
from quotes.conf import conf


class Identity(msgspec.Struct, frozen=True):
    """The user that credentials name; their signature or origin has been checked.

    Attributes:
        user: the id of a user here, or the user name that an outside issuer gives.
        login: the log-in that the credentials come from; "" if they come from none that can be
            ended.
        stamp: changes with the user's password; "" if the password is not kept here.
        expires: Unix seconds.
    """

    user: int | str
    login: str
    stamp: str
    expires: float


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one user; the defaults are the settings."""

    max_symbols: int = field(default_factory=lambda: conf.max_symbols)
    max_segment_symbols: int = field(default_factory=lambda: conf.max_segment_symbols)
    max_connections: int = field(default_factory=lambda: conf.max_connections_per_user)
    max_messages_per_s: float = field(default_factory=lambda: conf.max_messages_per_s)
    max_message_bytes: int = field(default_factory=lambda: conf.max_message_bytes)
    rest_per_minute: int = field(default_factory=lambda: conf.rest_per_minute)


@dataclass(frozen=True, slots=True)
class Account:
    """A user's state in the database, as it was read; a later read may give another.

    Attributes:
        stamp: changes with the user's password.
    """

    user_id: int
    username: str
    is_active: bool
    stamp: str
    entitlements: Entitlements
    limits: Limits


@dataclass(frozen=True, slots=True)
class Accounts:
    """Accounts that were read together, and which of the log-ins that were looked up have ended.

    Attributes:
        users: the account of each user that exists, under its id and its name.
    """

    users: dict[int | str, Account]
    ended: set[str]

    def check(self, identity: Identity) -> Account:
        """Return the account of an identity.

        Raises:
            BadCredentials: the user, the log-in or the password is no longer valid.
        """
        account = self.users.get(identity.user)
        if account is None or not account.is_active:
            raise BadCredentials("the user is unknown or not active")
        if identity.login in self.ended:
            raise BadCredentials("the log-in has ended")
        if identity.stamp and not constant_time_compare(identity.stamp, account.stamp):
            raise BadCredentials("the password was changed")
        return account
