"""The doors for programs that speak other protocols: which are open, and what they answer to.

The setting QUOTES_DOORS names those that are open, QUOTES_SCREENS opens the pages for people. The
modules of a closed door are not imported.
"""

from importlib import import_module
from itertools import chain
from typing import Any

from django.urls import URLPattern, URLResolver

from quotes.conf import conf


def urlpatterns() -> list[URLPattern | URLResolver]:
    """Return the addresses of HTTP of all open doors."""
    return list(chain.from_iterable(_door(name).urlpatterns for name in _open()))


def websockets() -> list[URLPattern]:
    """Return the addresses of WebSockets of all open doors."""
    return list(chain.from_iterable(_door(name).websockets for name in _open()))


def mounts() -> dict[str, Any]:
    """Return the ASGI applications of all open doors: path -> application."""
    found: dict[str, Any] = {}
    for name in _open():
        found |= getattr(_door(name), "mounts", {})
    return found


def socket_documents() -> list[dict[str, Any]]:
    """Return the parts of the AsyncAPI document of all open doors that have one."""
    found = [getattr(_door(name), "socket_document", None) for name in _open()]
    return [part for part in found if part is not None]


class Mounts:
    """ASGI application: gives requests and WebSockets below a path to what is mounted there.

    Args:
        others: takes all others.
    """

    def __init__(self, mounted: dict[str, Any], others: Any) -> None:
        self._mounted = {path.rstrip("/"): application for path, application in mounted.items()}
        self._others = others

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        if scope["type"] in ("http", "websocket"):
            for path, application in self._mounted.items():
                if (scope["path"] + "/").startswith(path + "/"):
                    return await application(scope, receive, send)
        return await self._others(scope, receive, send)


def _open() -> list[str]:
    return [*conf.open_doors, *(["screens"] if conf.screens else [])]


def _door(name: str) -> Any:
    return import_module(f"quotes.{name}.door")
