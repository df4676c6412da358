"""A measured window: from quiet to quiet, what was delivered and what CPU it took."""

import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.control import Worker
from benchmarks.processes import Failed, machine_cpu_s
from benchmarks.stage import Stage
from benchmarks.summary import percentile

US = 1_000_000
MS = 1e-6  # milliseconds in a nanosecond
Metrics = dict[str, float]


@dataclass(frozen=True)
class Window:
    ticks: int
    expected: int  # deliveries, if nothing is conflated
    received: int
    wall_s: float
    cpu_s: dict[str, float]  # by role: redis, web, bridge, client, publisher
    machine_s: float  # CPU that all processes of the machine used, these and others

    def metrics(self, load_processes: int = 1) -> Metrics:
        """Return rates, and CPU time in microseconds per delivery."""
        each = {role: seconds * US / self.received for role, seconds in self.cpu_s.items()}
        return {
            "deliveries_per_s": self.received / self.wall_s,
            "ticks_per_s": self.ticks / self.wall_s,
            "server_us": each["web"] + each.get("bridge", 0.0),
            "web_us": each["web"],
            "bridge_us": each.get("bridge", 0.0),
            "bridge_tick_us": self.cpu_s.get("bridge", 0.0) * US / self.ticks,
            "redis_us": each["redis"],
            "client_us": each["client"],
            "client_busy": self.cpu_s["client"] / self.wall_s / load_processes,
            "client_most_per_s": load_processes * US / max(each["client"], 1e-3),
            "publisher_busy": self.cpu_s["publisher"] / self.wall_s,
            "web_busy": self.cpu_s["web"] / self.wall_s,
            "others_busy": max(0.0, self.machine_s - sum(self.cpu_s.values())) / self.wall_s,
            "conflated": self.expected - self.received,
            "wall_s": self.wall_s,
        }


class Opened:
    """A window that has begun: the publisher is at work."""

    def __init__(self, stage: Stage, duration_s: float, rate: float = 0, window: int = 0) -> None:
        """Let the publisher begin; the arguments are those of `Publisher.publish`."""
        self.stage = stage
        self.duration_s = duration_s
        self.base = stage.received.total()
        self.before, self.machine = stage.cpu_s(), machine_cpu_s()
        self.begin = time.monotonic()
        stage.publisher.send({"duration_s": duration_s, "rate": rate, "window": window})

    def close(self, *, exact: bool) -> Window:
        """Wait for the publisher and the last delivery; return what was measured.

        Args:
            exact: every delivery is to arrive; else some may be conflated.
        """
        stage = self.stage
        sent = stage.publisher.receive(self.duration_s + 30)
        end = stage.drained(self.base + sent["expected"]) if exact else stage.quiet()
        after, machine = stage.cpu_s(), machine_cpu_s()
        stage.check()
        received = stage.received.total() - self.base
        if not received:
            raise Failed("nothing was delivered")
        return Window(
            ticks=sent["ticks"],
            expected=sent["expected"],
            received=received,
            wall_s=end - self.begin,
            cpu_s={role: after[role] - self.before[role] for role in after},
            machine_s=machine - self.machine,
        )


def forget_latencies(stage: Stage, workers: Sequence[Worker] | None = None) -> None:
    """Leave out the latencies of all deliveries so far, of some load processes or of all."""
    for worker in stage.loads if workers is None else workers:
        worker.ask({"do": "forget"})


def latencies(stage: Stage, workers: Sequence[Worker] | None = None) -> Metrics:
    """Return percentiles of the latencies since they were last forgotten, in milliseconds."""
    ages = array("q")
    for slot, worker in enumerate(stage.loads if workers is None else workers):
        path = Path(stage.folder, f"latencies-{slot}")
        worker.ask({"do": "save_latencies", "path": str(path)}, 60)
        ages.frombytes(path.read_bytes())
    ordered = sorted(ages)
    if not ordered:
        raise Failed("no delivery carried the time of its publishing")
    named = {"p50_ms": 50.0, "p99_ms": 99.0, "p999_ms": 99.9, "max_ms": 100.0}
    return {name: percentile(ordered, share) * MS for name, share in named.items()}
