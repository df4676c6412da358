"""The optional package `quotes-speedups`: parts of the way of a tick again, in C.

What is in Python is the definition, and does the same when the package is not installed, is of
another version, or is switched off (QUOTES_SPEEDUPS). To build it, run `make speedups`.
"""

import logging
from importlib import import_module
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured

from quotes.conf import conf

logger = logging.getLogger(__name__)

# Raised with each change of what the package does or of how it is called; the same number is in
# speedups/src/module.c.
API_VERSION = 7

T = TypeVar("T")

# Name -> what stands in Python under it.
definitions: dict[str, Any] = {}


def accelerated(definition: T) -> T:
    """Return the package's function or class of the same name; without the package, the definition.

    A decorator of functions and classes.
    """
    name = definition.__name__  # type: ignore[attr-defined]
    definitions[name] = definition
    found: T = getattr(package, name) if package is not None else definition
    return found


def load_package() -> Any:
    """Return the package; None if it is not to be used. Logs a warning if it is of no use."""
    try:
        if not conf.speedups:
            return None
    except ImproperlyConfigured:
        return None  # a system check reports a wrong value; programs without settings do without
    try:
        found = import_module("quotes_speedups")
    except ModuleNotFoundError as error:
        if error.name != "quotes_speedups":
            raise
        return None
    except ImportError as error:
        logger.warning("cannot load quotes-speedups (%s): run `make speedups`", error)
        return None
    version = getattr(found, "API_VERSION", None)
    if version != API_VERSION:
        logger.warning(
            "quotes-speedups has the API version %s, this server needs %s: run `make speedups`",
            version,
            API_VERSION,
        )
        return None
    return found


package = load_package()
