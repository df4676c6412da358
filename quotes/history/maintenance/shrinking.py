"""Giving the free space of SQLite's file of history back to the disk, a little at a time."""

import time
from collections.abc import Callable

from django.db import connections

from quotes.history.router import ALIAS

# The free pages that a file keeps, to be used again: this share of the others, and at least so many
# bytes.
_KEPT_SHARE = 0.1
_KEPT_BYTES = 32 << 20
# Pages moved in a transaction: 2 MB.
_STEP_PAGES = 512
_INCREMENTAL = 2


def shrink(
    *,
    pause: Callable[[float], object] = time.sleep,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Shrink the file of history where it has much free space; return by how many bytes.

    Nothing happens in PostgreSQL, nor in a file that was created without `auto_vacuum`: its free
    pages are used again, and `VACUUM` shrinks it while nothing else uses it.
    """
    connection = connections[ALIAS]
    if connection.vendor != "sqlite" or _pragma("auto_vacuum") != _INCREMENTAL:
        return 0
    page_bytes, before = _pragma("page_size"), _pragma("page_count")
    free = _pragma("freelist_count")
    kept = max((before - free) * _KEPT_SHARE, _KEPT_BYTES / page_bytes)
    if free <= 2 * kept:
        return 0
    while (left := _pragma("freelist_count") - kept) >= 1 and not stopped():
        began = time.monotonic()
        with connection.cursor() as cursor:
            # It frees a page with each step of its statement.
            cursor.execute(f"PRAGMA incremental_vacuum({min(_STEP_PAGES, int(left))})").fetchall()
        pause(time.monotonic() - began)
    return (before - _pragma("page_count")) * page_bytes


def _pragma(name: str) -> int:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(f"PRAGMA {name}")
        return int(cursor.fetchone()[0])
