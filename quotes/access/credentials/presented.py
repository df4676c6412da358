"""The credentials that a WebSocket's handshake brings: where they are, not what they are worth.

The ways in are in docs/security.md; one of the five, an `authenticate` message, comes later.
"""

from typing import Any, NamedTuple
from urllib.parse import parse_qs

from quotes.access.errors import BadCredentials
from quotes.conf import conf

SUBPROTOCOL = "live-price"
BEARER_SUBPROTOCOL = "bearer."


class Credentials(NamedTuple):
    """What a handshake brings: a ticket, or a token."""

    is_ticket: bool
    text: str

    def __repr__(self) -> str:
        return f"Credentials(is_ticket={self.is_ticket}, text=...)"


def credentials_of(scope: Any) -> Credentials | None:
    """Return the credentials of a WebSocket's scope; None where it brings none.

    Raises:
        BadCredentials: they come by a way that is not open.
    """
    query = query_of(scope)
    if "ticket" in query:
        return Credentials(True, query["ticket"][0])
    for name, value in scope.get("headers", ()):
        if name == b"authorization":
            kind, _, token = value.decode("latin-1").partition(" ")
            if kind.lower() == "bearer":
                return Credentials(False, token.strip())
    for name in scope.get("subprotocols", ()):
        if name.startswith(BEARER_SUBPROTOCOL):
            return Credentials(False, name.removeprefix(BEARER_SUBPROTOCOL))
    if "token" in query:
        if not conf.query_token:
            raise BadCredentials("a token in the URL is not accepted here, send a ticket instead")
        return Credentials(False, query["token"][0])
    return None


def query_of(scope: Any) -> dict[str, list[str]]:
    try:
        text = scope.get("query_string", b"").decode("latin-1")
        return parse_qs(text, keep_blank_values=True, max_num_fields=20)
    except ValueError:
        return {}
