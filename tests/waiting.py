"""Waiting for something to become true, with a deadline: the only sleeps of the tests."""

import asyncio
import time
from collections.abc import Callable

DEADLINE_S = 15.0
PAUSE_S = 0.01


def wait_until(condition: Callable[[], object], *, timeout_s: float = DEADLINE_S) -> None:
    """Return when the condition holds; fail when it does not within the time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not true within {timeout_s} s: {condition}"
        time.sleep(PAUSE_S)


async def eventually(condition: Callable[[], object], *, timeout_s: float = DEADLINE_S) -> None:
    """Return when the condition holds; fail when it does not within the time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not true within {timeout_s} s: {condition}"
        await asyncio.sleep(PAUSE_S)
