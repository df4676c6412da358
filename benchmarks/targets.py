"""What the server is to reach, as data, and whether a set of results reaches it: pure.

A limit is a number of the metric's unit, or, with `against`, a multiple of what that contender
shows for the same metric in the same results.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Medians = Mapping[str, Mapping[str, Mapping[str, float]]]  # workload -> contender -> metric

NAMES = {
    "server_us": "CPU per delivery",
    "deliveries_per_s": "deliveries/s",
    "connection_kib": "KiB per connection",
    "p99_ratio": "p99 of the others, times that without slow readers",
    "grown_mib": "growth of the web process, MiB",
    "still_open": "slow readers still connected",
    "closed_after_s": "last slow reader closed after, s",
    "bridge_tick_us": "bridge's CPU per tick, us",
    "web_us": "web process's CPU per delivery, us",
    "redis_us": "Redis's CPU per delivery, us",
    "backlog_growth_ms": "growth of the backlog while the rate is held, ms",
    "served_s": "the whole herd has its first prices after, s",
    "p50_ms": "p50, ms",
    "p99_ms": "p99, ms",
}


@dataclass(frozen=True)
class Target:
    workload: str
    contender: str
    metric: str
    limit: float
    against: str = ""  # a contender; the limit is then a multiple
    against_workload: str = ""  # where it shows the metric; empty: the same
    least: bool = False  # the limit is a lower one
    aim: bool = False  # a goal, not a requirement


@dataclass(frozen=True)
class Verdict:
    target: Target
    measured: float | None  # in the unit of the limit; None when a result is missing
    reached: bool | None


def both(
    workload: str, metric: str, uvicorn: float, daphne: float, against: str = ""
) -> list[Target]:
    """Return the targets of both ASGI servers."""
    return [
        Target(workload, "uvicorn", metric, uvicorn, against),
        Target(workload, "daphne", metric, daphne, against),
    ]


TARGETS = [
    *both("w1", "server_us", 0.6, 0.8, "node-ws"),
    Target("w1", "uvicorn", "deliveries_per_s", 2.0, "node-ws", least=True),
    Target("w1", "uvicorn", "deliveries_per_s", 1.0, "nchan", least=True, aim=True),
    Target("w1", "uvicorn", "server_us", 1.0, "node-ws-cork", aim=True),
    Target("w1", "uvicorn", "server_us", 1 / 40, "stock-uvicorn"),
    Target("w1", "daphne", "server_us", 1 / 40, "stock-daphne"),
    Target("w1", "uvicorn-socketio", "server_us", 0.5, "socket.io"),
    Target("w1", "daphne-socketio", "server_us", 0.6, "socket.io"),
    Target("w1", "uvicorn-socketio", "deliveries_per_s", 2.0, "socket.io", least=True),
    Target("w2", "uvicorn-socketio", "server_us", 0.85, "socket.io"),
    Target("w2", "daphne-socketio", "server_us", 1.0, "socket.io"),
    *both("w2", "server_us", 0.85, 1.0, "node-ws"),
    Target("w2", "uvicorn", "server_us", 1.0, "node-ws-cork", aim=True),
    Target("w2-latency", "uvicorn", "p50_ms", 2.0, "node-ws"),
    Target("w2-latency", "uvicorn", "p99_ms", 1.5, "node-ws"),
    Target("w2-latency", "uvicorn", "server_us", 0.85, "node-ws"),
    Target("w2-max", "uvicorn", "deliveries_per_s", 2.5, "node-ws", least=True),
    Target("w2-max", "uvicorn", "server_us", 0.5, "node-ws"),
    Target("w2-max", "uvicorn", "deliveries_per_s", 1.0, "node-ws-cork", least=True, aim=True),
    Target("w2-batched", "uvicorn", "server_us", 0.15, "node-ws", "w2"),
    Target("w2-batched", "daphne", "server_us", 0.25, "node-ws", "w2"),
    *both("w2-batched", "server_us", 0.95, 1.5, "node-ws"),
    *both("w3", "connection_kib", 30, 35),
    *both("w4", "p99_ratio", 1.3, 1.3),
    *both("w4", "grown_mib", 2, 2),
    *both("w4", "still_open", 0, 0),
    *both("w4", "closed_after_s", 15, 15),
    Target("w5", "uvicorn", "bridge_tick_us", 7),
    Target("w5", "uvicorn", "web_us", 7),
    Target("w5", "uvicorn", "redis_us", 6.4),  # an update is a tick: each symbol has one client
    Target("w5", "uvicorn", "backlog_growth_ms", 100),
    *both("herd", "served_s", 10, 10),
    *both("herd", "p99_ms", 100, 100),
    Target("w6", "uvicorn", "p50_ms", 2.0, "node-ws"),
    Target("w6", "uvicorn", "p99_ms", 1.0, "node-ws"),
    Target("w6", "uvicorn", "p50_ms", 1.0, "centrifugo-redis"),  # it has the same two hops
]


def judge(target: Target, medians: Medians) -> Verdict:
    """Return whether the results reach a target."""
    measured = medians.get(target.workload, {}).get(target.contender, {}).get(target.metric)
    if measured is not None and target.against:
        workload = target.against_workload or target.workload
        other = medians.get(workload, {}).get(target.against, {}).get(target.metric)
        measured = measured / other if other else None
    if measured is None:
        return Verdict(target, None, None)
    reached = measured >= target.limit if target.least else measured <= target.limit
    return Verdict(target, measured, reached)


def describe(target: Target) -> str:
    """Return the target as a phrase."""
    bound = "at least" if target.least else "at most"
    if not target.against:
        return f"{NAMES[target.metric]}: {bound} {target.limit:g}"
    where = f" in {target.against_workload}" if target.against_workload else ""
    times = f"1/{1 / target.limit:g}" if 0 < target.limit < 0.1 else f"{target.limit:g} x"
    return f"{NAMES[target.metric]}: {bound} {times} {target.against}{where}"
