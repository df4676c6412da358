"""The handshake of a WebSocket: its credentials and its limits."""

import logging
from collections.abc import Callable
from typing import Any

from quotes.access.credentials.presented import Credentials, credentials_of
from quotes.access.errors import AccessDown, BadCredentials, LimitReached
from quotes.access.service import AccessService
from quotes.runtime.redaction import scrub
from quotes.websocket.client_access import ClientAccess, Peer
from quotes.websocket.refusals import HandshakeRefused
from quotes.websocket.transports.draining import current_drain

_MAX_AGENT = 120

logger = logging.getLogger(__name__)


async def open_access(
    scope: Any,
    service: AccessService,
    *,
    find: Callable[[Any], Credentials | None] = credentials_of,
) -> ClientAccess:
    """Return the access of a WebSocket whose handshake is under way; the caller ends it.

    Args:
        find: finds the credentials in the scope; raises BadCredentials for ones that cannot be.

    Raises:
        HandshakeRefused: 401 for bad credentials, 429 for too many connections, 503 if accounts
            cannot be read, or if the server stops.
    """
    if current_drain().has_begun:
        raise HandshakeRefused(503, "the server restarts, connect again")
    address = (scope.get("client") or ("",))[0]
    try:
        credentials = find(scope)
        scopes = await service.count_connection(address)
        access = ClientAccess(service, scopes, Peer(address, scope["path"], _agent_of(scope)))
        if credentials is not None:
            try:
                await access.enter(credentials)
            except BaseException:
                access.end()
                raise
    except LimitReached as error:
        if _is_forwarded(scope):
            logger.warning(
                "refused a WebSocket from %s, %s: if that address is your own proxy, add it to "
                "QUOTES_TRUSTED_PROXIES",
                address,
                error,
            )
        raise HandshakeRefused(429, str(error)) from error
    except BadCredentials as error:
        raise HandshakeRefused(401, str(error)) from error
    except AccessDown as error:
        raise HandshakeRefused(503, str(error)) from error
    return access


def _agent_of(scope: Any) -> str:
    """Return the beginning of the User-Agent header; "" without one."""
    for name, value in scope.get("headers", ()):
        if name == b"user-agent":
            return scrub(value[:_MAX_AGENT].decode("latin-1"))
    return ""


def _is_forwarded(scope: Any) -> bool:
    """Return whether a proxy that is not trusted forwards the connection."""
    return any(name == b"x-forwarded-for" for name, _ in scope.get("headers", ()))
