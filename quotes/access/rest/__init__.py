"""Access over HTTP: authentication, permissions, throttles, log-in and tickets."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Find `allowed_keys` by its dotted name of release 0.1.0, which settings may hold."""
    if name == "allowed_keys":
        from quotes.access.rest.permissions import allowed_keys

        return allowed_keys
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
