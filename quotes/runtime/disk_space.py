"""Free space on the disks that hold this machine's data: SQLite files, the embedded Redis."""

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from quotes.conf import conf

logger = logging.getLogger(__name__)

_WARN_EVERY_S = 600.0
_HIDDEN_FOLDER = "the data"


def database_files() -> list[Path]:
    """Return the SQLite files of the databases, each once."""
    names = [
        str(one["NAME"])
        for one in settings.DATABASES.values()
        if str(one["ENGINE"]).endswith("sqlite3")
    ]
    # Not databases in memory.
    return [Path(one) for one in dict.fromkeys(names) if one and not one.startswith((":", "file:"))]


def embedded_folder() -> Path:
    """Return the folder of embedded Redis servers, which need not exist."""
    return Path(settings.BASE_DIR, conf.embedded_folder)


def free_bytes() -> dict[Path, int]:
    """Return a folder with data of each disk, and how many bytes a user may still write there."""
    found: dict[int, tuple[Path, int]] = {}
    for folder in [*(file.parent for file in database_files()), embedded_folder()]:
        try:
            disk = folder.stat().st_dev
            if disk not in found:
                found[disk] = (folder, shutil.disk_usage(folder).free)
        except OSError:  # it is not there, or not for this user
            continue
    return dict(found.values())


def disk_problem(*, with_folders: bool = True) -> str:
    """Return which disks are nearly full, and what to do; "" for none.

    Args:
        with_folders: whether to name folders.
    """
    full = [
        f"{free / 1e9:.1f} GB are free on the disk of {folder if with_folders else _HIDDEN_FOLDER}"
        for folder, free in free_bytes().items()
        if free < conf.min_free_disk_bytes
    ]
    if not full:
        return ""
    return (
        f"{', '.join(full)} (less than QUOTES_MIN_FREE_DISK_BYTES): make room, or keep less "
        "history with QUOTES_KEEP_HISTORY"
    )


class DiskWatch:
    """Logs a warning while a disk is nearly full: at once, then every ten minutes.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._warned_at = float("-inf")
        self._is_full = False

    def check(self) -> None:
        """Look at the disks; this takes microseconds."""
        problem = disk_problem()
        if not problem:
            if self._is_full:
                logger.info("the disks have room again")
            self._is_full, self._warned_at = False, float("-inf")
        elif self._clock() - self._warned_at >= _WARN_EVERY_S:
            logger.warning("%s", problem)
            self._is_full, self._warned_at = True, self._clock()
