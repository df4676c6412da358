"""Which web pages may open a WebSocket.

Programs send no Origin and are let in. A page of another site sends one, and is refused: it would
read prices with its visitor's credentials.

With QUOTES_LOCAL_ORIGINS, which `serve --demo` sets, pages of this machine may connect too: a file
that is opened in a browser, and a development server on another port of localhost. A file has no
origin of its own but `null`, and a sandboxed frame of any site has the same one. So three rules
hold for them:

- Their cookies are dropped. They see what everyone sees, or what a token that they present allows.
- The connection comes from this machine.
- The Host header is a name of this machine. Without that rule a site could give its own name the
  address 127.0.0.1 (DNS rebinding) and read prices by that name.
"""

import logging
import re
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.http.request import split_domain_port, validate_host

from instruments.errors import quoted
from quotes.access.middleware.proxy_headers import is_loopback
from quotes.conf import conf
from quotes.websocket.refusals import HandshakeRefused, send_refusal

logger = logging.getLogger(__name__)

_LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}
# What browsers send for a page that was opened from a file.
_FILE_ORIGINS = {"null", "file://"}


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


def is_local_page(origin: str, host: str, address: str) -> bool:
    """Say whether a request comes from a page of this machine that QUOTES_LOCAL_ORIGINS lets in.

    Args:
        origin: the Origin header.
        host: the Host header.
        address: the caller's address, "" if it is unknown.
    """
    if not conf.local_origins or not is_loopback(address):
        return False
    try:
        if urlsplit(f"//{host}").hostname not in _LOCAL_HOSTS:
            return False
        parts = urlsplit(origin)
        _ = parts.port
    except ValueError:
        return False
    if origin in _FILE_ORIGINS:
        return True
    return parts.scheme in ("http", "https") and parts.hostname in _LOCAL_HOSTS


def admitted(scope: Any) -> Any | None:
    """Return the scope of a request as the application may see it; None if it is refused."""
    headers = dict(scope.get("headers", ()))
    origin = headers.get(b"origin", b"").decode("latin-1")
    host = headers.get(b"host", b"").decode("latin-1")
    if is_allowed(origin, host):
        return scope
    if is_local_page(origin, host, (scope.get("client") or ("",))[0]):
        kept = [(name, value) for name, value in scope["headers"] if name != b"cookie"]
        return {**scope, "headers": kept}
    return None


def refusal(origin: str) -> str:
    """Return the sentence for the log that says which origin was refused, and what allows it."""
    own = "add it to QUOTES_ALLOWED_ORIGINS (or its host to ALLOWED_HOSTS if it is this server's)"
    try:
        is_local = origin in _FILE_ORIGINS or urlsplit(origin).hostname in _LOCAL_HOSTS
    except ValueError:
        is_local = False
    cure = "set QUOTES_LOCAL_ORIGINS=true (this machine only)" if is_local else own
    return f"pages of the origin {quoted(origin)} may not connect: to allow it, {cure}"


class OriginCheck:
    """Refuses WebSockets of foreign pages before the application sees them."""

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        seen = admitted(scope)
        if seen is not None:
            return await self.application(seen, receive, send)
        origin = dict(scope["headers"])[b"origin"].decode("latin-1")
        logger.warning("refused a WebSocket: %s", refusal(origin))
        reason = "pages of this origin may not connect"
        return await send_refusal(scope, send, HandshakeRefused(403, reason))


def local_page_reads(sender: Any, request: HttpRequest, **options: Any) -> bool:
    """Say whether a local page may read the answer to a request; django-cors-headers calls it.

    Without cookies only: `Access-Control-Allow-Credentials` is never sent.
    """
    return bool(re.match(settings.CORS_URLS_REGEX, request.path)) and is_local_page(
        request.headers.get("Origin", ""),
        request.headers.get("Host", ""),
        request.META.get("REMOTE_ADDR", ""),
    )
