"""Isolation: a client that fails is ended, and the others get what is due to them.

Every loop over clients hands the one that raised to `end_failed`, or its receiver to
`end_failed_receiver`, and goes on with the next.
"""

import logging
from typing import Any, Protocol

from quotes.layer.groups import Receiver

logger = logging.getLogger(__name__)


class Isolated(Protocol):
    """A client, or a part of it, that can be ended by itself."""

    def fail(self, error: Exception) -> None:
        """End the client because of an error; may be called twice."""


def end_failed(client: Isolated, error: Exception) -> None:
    """End a client that failed. Raises nothing, even if the client cannot be ended properly."""
    try:
        client.fail(error)
    except Exception:
        logger.exception("a client that failed could not be ended either")


def end_failed_receiver(receiver: Receiver, error: Exception) -> None:
    """End the client whose method failed to take a message. Raises nothing."""
    owner: Any = getattr(receiver, "__self__", None)
    if hasattr(owner, "fail"):
        end_failed(owner, error)
    else:
        logger.error("a receiver failed to take a message", exc_info=error)
