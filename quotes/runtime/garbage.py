"""Garbage collection without long pauses, in a process that holds much for long.

Python looks at every object that can refer to others whenever their number has grown by a quarter.
With the subscriptions of the market's opening that takes some 300 ms each time, in which the
process does nothing else. Here each such pass sets aside what it leaves (`gc.freeze`), so that the
next one looks at what was made since, and no object is looked at twice.

What is set aside is freed as usual when nothing refers to it any more; only objects that refer to
each other in a circle wait for `collect_all`.
"""

import ctypes
import gc
import sys

_OLDEST = 2  # the generation of a pass over all objects that were not set aside


def set_survivors_aside() -> None:
    """Set aside what each pass over all objects leaves, from now on; may be called again."""
    if _set_aside not in gc.callbacks:
        gc.callbacks.append(_set_aside)


def collect_all() -> int:
    """Look at all objects, those set aside as well; return how many were freed.

    Free memory goes back to the operating system, where its C library can do that. It takes about
    20 ms per 100,000 objects, and nothing else runs meanwhile.
    """
    gc.unfreeze()
    freed = gc.collect()
    if _trim is not None:
        _trim(0)
    return freed


# GNU's C library keeps what is freed below its newest block until it is called for.
_trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def _set_aside(phase: str, info: dict[str, int]) -> None:
    if phase == "stop" and info["generation"] == _OLDEST:
        gc.freeze()
