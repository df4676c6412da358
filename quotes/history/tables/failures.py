"""Why the database did not store a batch: because of its data, of its size, or for another reason.

A batch with odd data is stored in parts, and one that is too large for a transaction too. With any
other failure (no connection, no space, a missing table) the same batch is tried again later.
"""

from enum import Enum

from django.db import DatabaseError, DataError, Error, IntegrityError

# Errors of Python on the way from a tick to its row: a number or a text that nothing can hold.
_OF_DATA = (ArithmeticError, AssertionError, LookupError, TypeError, ValueError)
# Classes of SQLSTATE: cardinality, data, integrity, limits of the program, raised by a trigger.
_DATA_CLASSES = ("21", "22", "23", "54", "P0")
# Out of memory (also of that for locks), a limit of the configuration, cancelled by a timeout.
_SIZE_STATES = ("53200", "53400", "57014")


class Cause(Enum):
    """Why a batch was not stored."""

    DATA = "data"
    SIZE = "size"
    OTHER = "other"


def cause_of(error: Exception) -> Cause:
    """Return why a transaction failed."""
    if not isinstance(error, Error):
        return Cause.DATA if isinstance(error, _OF_DATA) else Cause.OTHER
    if not isinstance(error, DatabaseError):
        return Cause.OTHER
    state: str | None = getattr(error.__cause__, "sqlstate", None)
    if state is None:
        return Cause.DATA if isinstance(error, DataError | IntegrityError) else Cause.OTHER
    if state in _SIZE_STATES:
        return Cause.SIZE
    return Cause.DATA if state.startswith(_DATA_CLASSES) else Cause.OTHER
