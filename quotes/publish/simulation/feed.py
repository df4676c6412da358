"""The feed of the simulated market: publishes its ticks as time passes."""

import time
from collections.abc import Callable, Sequence

from quotes.publish.simulation.market import SimulatedMarket
from quotes.runtime.interrupts import Interrupt
from quotes.store.redis_clock import redis_clock
from quotes.ticks import Tick

# Prices move in steps: short enough for the eye, long enough to cost next to nothing.
STEP_S = 0.1


def simulate(
    market: SimulatedMarket,
    *,
    publish: Callable[[Sequence[Tick]], int],
    interrupt: Interrupt,
    duration_s: float | None = None,
) -> int:
    """Publish a simulated market until it is interrupted and return how many ticks there were.

    It begins with a tick of each instrument.

    Args:
        publish: publishes a batch and returns how many of its ticks were published.
        duration_s: how long to run; None: until interrupted.
    """
    published = publish(market.opening(timestamp=redis_clock.now_ms()))
    began = step_at = time.monotonic()
    while duration_s is None or step_at - began < duration_s:
        if not interrupt.sleep_until(step_at + STEP_S):
            break
        now = time.monotonic()
        ticks = market.advance(now - step_at, timestamp=redis_clock.now_ms())
        step_at = now
        if ticks:
            published += publish(ticks)
    return published
