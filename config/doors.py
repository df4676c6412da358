"""The doors for programs that speak other protocols: which are open, and what they answer to.

The setting QUOTES_DOORS names those that are open. The modules of a closed door are not imported.
"""

from importlib import import_module
from itertools import chain

from django.urls import URLPattern, URLResolver

from quotes.conf import conf


def urlpatterns() -> list[URLPattern | URLResolver]:
    """Return the addresses of HTTP of all open doors."""
    return list(chain.from_iterable(_door(name).urlpatterns for name in conf.open_doors))


def websockets() -> list[URLPattern]:
    """Return the addresses of WebSockets of all open doors."""
    return list(chain.from_iterable(_door(name).websockets for name in conf.open_doors))


def _door(name: str):  # type: ignore[no-untyped-def]
    return import_module(f"quotes.{name}.door")
