"""Which background tasks and threads of this process do not work: `/readyz` shows them."""

import time

from instruments.index import index
from quotes.runtime.background import TaskFailure, background_failures


def failed_tasks() -> list[TaskFailure]:
    """Return the failures of all tasks of this process; may be called from any thread."""
    found = background_failures()
    if (failure := index.failure) is not None:
        ago_s = round(time.monotonic() - failure.at, 1)
        found.append(
            TaskFailure("following the instrument master", failure.error, failure.times, ago_s)
        )
    return found
