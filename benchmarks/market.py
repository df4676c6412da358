"""The rate at which a whole market is carried: found in short probes, then held for a long run.

A rate is carried while the backlog stays flat and nothing is conflated. A burst with a bounded
backlog shows where to look; on its own it would credit a server for work that it can only do in
bursts. Every symbol has one client and ticks in turn: what has not arrived is the backlog.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.processes import Failed
from benchmarks.stage import Stage
from benchmarks.window import Metrics, Opened, Window

MIB = 1 << 20
HELD = 0.9  # of the rate that is carried
PROBES = 6
PROBE_S = 4.0
FLAT_MS = 50.0  # most that a backlog may grow in a probe: 2 % above what is carried make that
ABOVE = 1.1  # of a burst's rate: more is not probed
FIRST = 0.8  # of a burst's rate: where the search begins
LOWER = (0.25, 0.95)  # of a rate that was too much: least and most to probe next
REACHED = 0.97  # of the rate to publish at; a publisher that reaches less has no more to give
# Arrays leave every 100 ms. Samples at a divisor of it would all see the same part of an interval.
SAMPLE_S = 0.037


@dataclass(frozen=True)
class Probe:
    """What came of publishing at a rate for a time."""

    rate: float  # to publish at, ticks/s
    reached_per_s: float  # what was published, ticks/s
    delivered_per_s: float  # what arrived meanwhile
    first_ms: float  # backlog in the first third, in milliseconds of ticks at that rate
    last_ms: float  # in the last third
    conflated: float

    @property
    def growth_ms(self) -> float:
        return self.last_ms - self.first_ms

    @property
    def carried(self) -> bool:
        """Whether the backlog stayed flat and every update arrived."""
        return self.growth_ms <= FLAT_MS and not self.conflated


def search(probe: Callable[[float], Probe], burst_per_s: float) -> float:
    """Return the highest rate that was carried, of those that are probed.

    Args:
        probe: publish at a rate.
        burst_per_s: what was delivered of a burst.

    Raises:
        Failed: nothing was carried.
    """
    low, high = 0.0, burst_per_s * ABOVE
    rate = burst_per_s * FIRST
    for _ in range(PROBES):
        found = probe(rate)
        if found.carried:
            low = max(low, found.reached_per_s)
            if found.reached_per_s < rate * REACHED:
                break
        else:
            high = rate
        if low:
            rate = (low + high) / 2
        else:  # an overloaded server delivers about what it carries
            least, most = (share * rate for share in LOWER)
            rate = min(max(found.delivered_per_s, least), most)
    if not low:
        raise Failed(f"the backlog grew at each rate, the last of them {high:,.0f} ticks/s")
    return low


def held(stage: Stage, rate: float, duration_s: float) -> tuple[Window, Probe]:
    """Publish at a rate for a time, and watch the backlog."""
    opened = Opened(stage, duration_s, rate)
    backlog = []
    while time.monotonic() - opened.begin < duration_s:
        time.sleep(SAMPLE_S)
        backlog.append(stage.expected.total() - stage.received.total())
    delivered = (stage.received.total() - opened.base) / (time.monotonic() - opened.begin)
    window = opened.close(exact=False)
    stage.prime()  # what was held back is the newest of each symbol: nothing is lost for good
    first_ms, last_ms = (ticks / rate * 1000 for ticks in thirds(backlog))
    reached = window.ticks / duration_s
    conflated = window.expected - window.received
    return window, Probe(rate, reached, delivered, first_ms, last_ms, conflated)


def thirds(values: Sequence[float]) -> tuple[float, float]:
    """Return the medians of the first and of the last third."""
    third = max(1, len(values) // 3)
    return median(values[:third]), median(values[-third:])


def market(stage: Stage) -> Metrics:
    """Find the rate at which a whole market is carried, and hold nine tenths of it."""
    workload = stage.workload
    stage.connect(stage.lists)
    stage.prime()
    probe_s = min(PROBE_S, workload.duration_s)
    burst = Opened(stage, probe_s, window=workload.window).close(exact=True).metrics()
    burst_per_s = burst["deliveries_per_s"]
    carried = search(lambda rate: held(stage, rate, probe_s)[1], burst_per_s)
    window, probe = held(stage, carried * HELD, workload.duration_s)
    metrics = window.metrics(stage.load_processes)
    return metrics | {
        "burst_per_s": burst_per_s,
        "carried_per_s": carried,
        # Of the time until the last update arrived: a backlog is no credit.
        "held_per_s": metrics["deliveries_per_s"],
        "asked_per_s": probe.rate,
        "backlog_first_ms": probe.first_ms,
        "backlog_last_ms": probe.last_ms,
        "backlog_growth_ms": probe.growth_ms,
        "web_mib": stage.web_bytes() / MIB,
    }
