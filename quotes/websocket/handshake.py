"""The handshake of a WebSocket: its credentials, its limits, and the answer if it is refused."""

import logging
from typing import Any

import msgspec

from quotes.access.credentials.presented import credentials_of
from quotes.access.errors import AccessDown, BadCredentials, LimitReached
from quotes.access.service import AccessService
from quotes.websocket.client_access import ClientAccess

logger = logging.getLogger(__name__)


class HandshakeRefused(Exception):
    """A handshake is refused; its text is the reason.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


async def open_access(scope: Any, service: AccessService) -> ClientAccess:
    """Return the access of a WebSocket whose handshake is under way; the caller ends it.

    Raises:
        HandshakeRefused: 401 for bad credentials, 429 for too many connections, 503 if accounts
            cannot be read.
    """
    address = (scope.get("client") or ("",))[0]
    try:
        credentials = credentials_of(scope)
        access = ClientAccess(service, await service.count_connection(address))
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


def _is_forwarded(scope: Any) -> bool:
    """Return whether a proxy that is not trusted forwards the connection."""
    return any(name == b"x-forwarded-for" for name, _ in scope.get("headers", ()))


async def send_refusal(scope: Any, send: Any, refused: HandshakeRefused) -> None:
    """Answer with a status and JSON as REST does; a server that lacks the extension answers 403."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    body = msgspec.json.encode({"code": refused.status, "message": str(refused)})
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if refused.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="live-price"'))
    else:
        headers.append((b"retry-after", b"5"))
    await send(
        {"type": "websocket.http.response.start", "status": refused.status, "headers": headers}
    )
    await send({"type": "websocket.http.response.body", "body": body})
