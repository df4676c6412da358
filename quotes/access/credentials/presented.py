"""The credentials in a WebSocket's handshake: finding them, not verifying them.

docs/security.md lists the five ways to authenticate; the fifth, an `authenticate` message, comes
after the handshake.
"""

from typing import Any, NamedTuple
from urllib.parse import parse_qs

from quotes.access.errors import BadCredentials
from quotes.conf import conf

SUBPROTOCOL = "live-price"
_BEARER_SUBPROTOCOL = "bearer."


class Credentials(NamedTuple):
    """A ticket, or a token or API key, not verified yet. Its repr does not show it."""

    is_ticket: bool
    text: str

    def __repr__(self) -> str:
        return f"Credentials(is_ticket={self.is_ticket}, text=...)"


def credentials_of(scope: Any) -> Credentials | None:
    """Return the credentials in the scope of a WebSocket; None without any.

    Raises:
        BadCredentials: a token in the URL, which QUOTES_QUERY_TOKEN does not allow; or a ticket or
            token that is repeated.
    """
    query = _query_of(scope)
    if repeated := [name for name in ("ticket", "token") if len(query.get(name, ())) > 1]:
        raise BadCredentials(f"{repeated[0]} must not be repeated in the URL")
    if "ticket" in query:
        return Credentials(True, query["ticket"][0])
    for name, value in scope.get("headers", ()):
        if name == b"authorization":
            kind, _, token = value.decode("latin-1").partition(" ")
            if kind.lower() in ("bearer", "api-key"):
                return Credentials(False, token.strip())
    for name in scope.get("subprotocols", ()):
        if name.startswith(_BEARER_SUBPROTOCOL):
            return Credentials(False, name.removeprefix(_BEARER_SUBPROTOCOL))
    if "token" in query:
        if not conf.query_token:
            raise BadCredentials("a token in the URL is not accepted here, send a ticket instead")
        return Credentials(False, query["token"][0])
    return None


def _query_of(scope: Any) -> dict[str, list[str]]:
    try:
        text = scope.get("query_string", b"").decode("latin-1")
        return parse_qs(text, keep_blank_values=True, max_num_fields=20)
    except ValueError:
        return {}
