"""The handshake: who is let in, and the answer to who is not.

That is a status and why, where the server can say it.
"""

import logging
from typing import Any

import msgspec

from quotes.access.credentials.presented import credentials_of
from quotes.access.errors import AccessDown, BadCredentials, LimitReached
from quotes.access.service import AccessService
from quotes.websocket.client_access import SocketAccess

logger = logging.getLogger(__name__)


class Refused(Exception):
    """A handshake that is refused: an HTTP status, and a reason for people."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


async def admit(scope: Any, desk: AccessService) -> SocketAccess:
    """Return the access of a WebSocket whose handshake is under way.

    Raises:
        Refused: 401 for bad credentials, 429 for too many connections, 503 when nobody can tell.
    """
    address = (scope.get("client") or ("",))[0]
    try:
        credentials = credentials_of(scope)
        access = SocketAccess(desk, await desk.count_connection(address))
        if credentials is not None:
            try:
                await access.enter(credentials)
            except BaseException:
                access.end()
                raise
    except LimitReached as error:
        if address_is_shared(scope):
            logger.warning(
                "refused a WebSocket from %s, %s: if that is a proxy of yours, name it in "
                "QUOTES_TRUSTED_PROXIES",
                address,
                error,
            )
        raise Refused(429, str(error)) from error
    except BadCredentials as error:
        raise Refused(401, str(error)) from error
    except AccessDown as error:
        raise Refused(503, str(error)) from error
    return access


def address_is_shared(scope: Any) -> bool:
    """Say whether a proxy that is not trusted names the address of somebody else."""
    return any(name == b"x-forwarded-for" for name, _ in scope.get("headers", ()))


async def refuse(scope: Any, send: Any, refused: Refused) -> None:
    """Answer as REST does; a server without the extension for that answers 403."""
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
