"""The address and scheme of a caller, as trusted proxies report them."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from django.http import HttpRequest

from quotes.conf import conf

# Headers that a proxy adds.
_FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@lru_cache(maxsize=8)
def networks(text: str) -> Sequence[_Network]:
    """Return the networks of a setting, comma-separated; raise ValueError."""
    return [ipaddress.ip_network(one.strip()) for one in text.split(",") if one.strip()]


def _parse(text: str) -> _Address | None:
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]  # with a port
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _is_trusted(address: _Address | None) -> bool:
    return address is not None and any(address in net for net in networks(conf.trusted_proxies))


def is_loopback(text: str) -> bool:
    address = _parse(text)
    return address is not None and address.is_loopback


def is_own_request(request: HttpRequest) -> bool:
    """Return whether a request comes from this machine, by no proxy that says so.

    Behind a proxy on this machine everybody's address may be a loopback address.
    """
    if not is_loopback(request.META.get("REMOTE_ADDR", "")):
        return False
    return not any(name in request.META for name in _FORWARDED)


def address_group(text: str) -> str:
    """Return the name that connections and requests of an address are counted under.

    It is an IPv4 address, or the IPv6 network of 64 bits.
    """
    address = _parse(text)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    return text


def client_address(peer: str, forwarded: str) -> str:
    """Return a caller's address.

    Args:
        peer: the address that the connection comes from.
        forwarded: X-Forwarded-For, to which each proxy adds the address that called it. It is
            read from its end, back to the first address that is not a trusted proxy.
    """
    address = _parse(peer)
    if not _is_trusted(address):
        return peer
    for text in reversed(forwarded.split(",") if forwarded else []):
        before = _parse(text)
        if before is None:
            break
        address = before
        if not _is_trusted(address):
            break
    return str(address)


class ProxyHeaders:
    """ASGI middleware: puts the caller's address and scheme into the scope.

    It reads the headers of trusted proxies and ignores those of anybody else.
    """

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        if scope["type"] in ("http", "websocket") and conf.trusted_proxies:
            peer, port = (scope.get("client") or ("", 0))[:2]
            if _is_trusted(_parse(peer)):
                scope = {**scope, **_forwarded_scope(scope, peer, port)}
        return await self._application(scope, receive, send)


def _forwarded_scope(scope: Any, peer: str, port: int) -> dict[str, Any]:
    headers: dict[bytes, list[bytes]] = {}
    for name, value in scope.get("headers", ()):
        headers.setdefault(name, []).append(value)
    text = b",".join(headers.get(b"x-forwarded-for", [])).decode("latin-1")
    found: dict[str, Any] = {"client": (client_address(peer, text), port)}
    proto = b"".join(headers.get(b"x-forwarded-proto", [])[-1:]).decode("latin-1").strip()
    if proto in ("http", "https"):
        secure = proto == "https"
        found["scheme"] = proto if scope["type"] == "http" else "wss" if secure else "ws"
    return found
