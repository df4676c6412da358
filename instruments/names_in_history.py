"""What an import says of history that is stored under other names of the instruments.

This app has no history. INSTRUMENTS_NAMES_IN_HISTORY names the function that knows; it is imported
at the first call.
"""

import logging
from collections.abc import Callable, Sequence

from django.utils.module_loading import import_string

from instruments.conf import conf
from instruments.index import index

logger = logging.getLogger(__name__)

_SHOWN = 5

# Returns pairs of the name that history is stored under, and the key of the instrument.
Source = Callable[[], Sequence[tuple[str, str]]]


def join_offer() -> str:
    """Return what to do about history under other names after an import; "" if there is none.

    Reads the master again, and the history database. A failure is logged: the import is done.
    """
    if not conf.names_in_history:
        return ""
    index.refresh()
    try:
        source: Source = import_string(conf.names_in_history)
        found = list(source())
    except Exception as error:  # whatever fails there, instruments are imported
        logger.warning("cannot look for history under other names: %s", error)
        return ""
    if not found:
        return ""
    names = ", ".join(f"{old} -> {new}" for old, new in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    return (
        f"History of instruments is stored under other names: {names}{more}. It is read as one "
        "already. To store it as one, run manage.py join_series --dry-run, then without --dry-run."
    )
