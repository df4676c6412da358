"""What is known of a caller: who the credentials say it is, and how that user stands now."""

from dataclasses import dataclass, field

import msgspec

from quotes.access.entitlements import Entitlements
from quotes.conf import conf


class Identity(msgspec.Struct, frozen=True):
    """Who credentials say a caller is; their signature or origin has been checked.

    Attributes:
        user: the id of a user here, or the user name that an outside issuer gives.
        login: which log-in it comes from; "" where it comes from none that can be ended.
        stamp: what changes with the user's password; "" where the password is not kept here.
        expires: Unix seconds.
    """

    user: int | str
    login: str
    stamp: str
    expires: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What one user's connections are held to."""

    max_symbols: int = field(default_factory=lambda: conf.max_symbols)
    max_connections: int = field(default_factory=lambda: conf.max_connections_per_user)
    max_messages_per_s: float = field(default_factory=lambda: conf.max_messages_per_s)
    max_message_bytes: int = field(default_factory=lambda: conf.max_message_bytes)
    rest_per_minute: int = field(default_factory=lambda: conf.rest_per_minute)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a user stands in the database.

    Attributes:
        stamp: what changes with the user's password.
    """

    user_id: int
    username: str
    is_active: bool
    stamp: str
    entitlements: Entitlements
    limits: Limits
