"""Which web pages may open a WebSocket.

Programs send no Origin and are let in. A page of another site sends one, and is refused: it would
read prices with its visitor's credentials.
"""

import logging
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from instruments.errors import quoted
from quotes.conf import conf
from quotes.websocket.refusals import HandshakeRefused, send_refusal

logger = logging.getLogger(__name__)

_LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}


def is_allowed(origin: str, host: str) -> bool:
    """Say whether a page of an origin may connect.

    Args:
        origin: the Origin header; "" when there is none.
        host: the Host header.
    """
    if not origin:
        return True
    try:
        parts = urlsplit(origin)
        _ = parts.port
    except ValueError:
        return False
    allowed = {one.strip().rstrip("/") for one in conf.allowed_origins.split(",") if one.strip()}
    if origin in allowed:
        return True
    if settings.DEBUG and parts.hostname in _LOCAL_HOSTS:
        return True
    if parts.scheme not in ("http", "https") or parts.netloc.lower() != host.lower():
        return False
    return validate_host(split_domain_port(parts.netloc)[0], settings.ALLOWED_HOSTS)


class OriginCheck:
    """Refuses WebSockets of foreign pages before the application sees them."""

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        headers = dict(scope.get("headers", ()))
        origin = headers.get(b"origin", b"").decode("latin-1")
        if is_allowed(origin, headers.get(b"host", b"").decode("latin-1")):
            return await self.application(scope, receive, send)
        logger.warning(
            "refused a WebSocket from the origin %s: to allow it, add it to "
            "QUOTES_ALLOWED_ORIGINS (or its host to ALLOWED_HOSTS if it is this server's own)",
            quoted(origin),
        )
        reason = "pages of this origin may not connect"
        return await send_refusal(scope, send, HandshakeRefused(403, reason))
