"""What is done with a stage to measure each kind of workload: one function each."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.contenders import Contender
from benchmarks.control import Worker
from benchmarks.market import market
from benchmarks.processes import Failed, open_ports
from benchmarks.stage import Stage
from benchmarks.window import Metrics, Opened, forget_latencies, latencies
from benchmarks.workloads import Workload

MIB = 1 << 20
KIB = 1 << 10
SAMPLE_S = 0.25
HERD_S = 180.0  # in which a herd must be served
LEFT_S = 10.0  # most that memory is watched after a herd has left
FIRST_CLIENTS = 50  # whose memory is not counted: what a server loads for its first clients


def fanout(stage: Stage) -> Metrics:
    """Measure CPU per delivery and, where prices carry their time, latency."""
    workload = stage.workload
    stage.connect(stage.lists)
    stage.prime()
    exact = not workload.interval_ms
    Opened(stage, workload.warm_s, workload.rate, workload.window).close(exact=exact)
    if workload.meter == "latency":
        forget_latencies(stage)
    opened = Opened(stage, workload.duration_s, workload.rate, workload.window)
    window = opened.close(exact=exact)
    metrics = window.metrics(stage.load_processes)
    metrics["web_mib"] = stage.web_bytes() / MIB
    if workload.meter == "latency":
        metrics |= latencies(stage)
    if workload.meter == "check":
        metrics |= faults(stage)
    lost = sum(report["closed"] for report in stage.reports())
    if lost:
        raise Failed(f"{lost} clients were closed")
    return metrics


def faults(stage: Stage) -> Metrics:
    """Return what was wrong with the order of ticks, of all clients."""
    reports = stage.reports()
    return {
        name: float(sum(report[name] for report in reports))
        for name in ("repeated", "reversed", "skipped")
    }


def memory(stage: Stage) -> Metrics:
    """Measure what an idle connection adds to the memory of the web process."""
    stage.connect(stage.lists[:FIRST_CLIENTS])
    time.sleep(stage.workload.duration_s)
    before = stage.web_bytes()
    rest = stage.lists[FIRST_CLIENTS:]
    stage.connect(rest)
    time.sleep(stage.workload.duration_s)
    after = stage.web_bytes()
    closed = sum(report["closed"] for report in stage.reports())
    if closed:
        raise Failed(f"{closed} clients were closed")
    return {"connection_kib": (after - before) / KIB / len(rest), "web_mib": after / MIB}


def slow_readers(stage: Stage) -> Metrics:
    """Measure what clients that stop reading do to the others, and what becomes of them.

    First without them for the same time, as what to compare with.
    """
    workload = stage.workload
    stage.connect(stage.lists)
    stage.prime()
    Opened(stage, workload.warm_s, workload.rate).close(exact=True)
    forget_latencies(stage)
    Opened(stage, workload.duration_s, workload.rate).close(exact=True)
    alone = latencies(stage)

    before = stage.web_bytes()
    waiting: set[int] = set()
    for worker in stage.connect(stage.slow_lists, narrow=True):
        waiting |= set(worker.ask({"do": "stop_reading"})["ports"])
    begin = time.monotonic()
    forget_latencies(stage)
    opened = Opened(stage, workload.duration_s, workload.rate)
    grown, closed_after_s = 0, 0.0
    while time.monotonic() - begin < workload.duration_s:
        time.sleep(SAMPLE_S)
        grown = max(grown, stage.web_bytes() - before)
        table = Path("/proc/net/tcp").read_text()
        still = waiting & {each for port in stage.ports for each in open_ports(table, port)}
        if still != waiting:
            waiting, closed_after_s = still, time.monotonic() - begin
    window = opened.close(exact=False)
    together = latencies(stage)
    return window.metrics(stage.load_processes) | {
        "p99_alone_ms": alone["p99_ms"],
        "p99_ms": together["p99_ms"],
        "p99_ratio": together["p99_ms"] / alone["p99_ms"],
        "max_ms": together["max_ms"],
        "grown_mib": grown / MIB,
        "still_open": float(len(waiting)),
        "closed_after_s": closed_after_s,
    }


def herd(stage: Stage) -> Metrics:
    """Measure how soon clients that subscribe all at once are served, and what others notice.

    Every symbol was published before, so a client is served when it has a price of each of its
    symbols. The clients of the herd are connected before the clock starts.
    """
    workload = stage.workload
    stage.connect(stage.lists)
    stage.prime()
    herd = stage.connect(stage.herd_lists, meter="first")
    others = [worker for worker in stage.loads if worker not in herd]
    forget_latencies(stage, others)
    _flow(stage, workload.duration_s / 3)
    alone = _settled_latencies(stage, others)
    quiet_bytes = stage.web_bytes()

    forget_latencies(stage, others)
    cpu_s = stage.cpu_s()
    peak = 0
    for worker in herd:
        worker.ask({"do": "subscribe"}, HERD_S)
    begin = time.monotonic()
    served: list[float] = []
    while len(served) < workload.herd:
        if time.monotonic() - begin > HERD_S:
            raise Failed(f"{len(served)} of {workload.herd} were served in {HERD_S:.0f} s")
        _flow(stage, SAMPLE_S)
        peak = max(peak, stage.web_bytes())
        served = sorted(at for worker in herd for at in _served(worker))
    used_s = {role: now - cpu_s[role] for role, now in stage.cpu_s().items()}
    together = _settled_latencies(stage, others)

    forget_latencies(stage, others)
    received, begin = stage.received.total(), time.monotonic()
    _flow(stage, workload.duration_s)
    rate = (stage.received.total() - received) / (time.monotonic() - begin)
    after = _settled_latencies(stage, others)
    after_bytes = stage.web_bytes()
    lost = sum(report["closed"] for report in stage.reports())
    if lost:
        raise Failed(f"{lost} clients were closed")
    for worker in herd:
        worker.stop()
        stage.loads.remove(worker)
    forget_latencies(stage, others)
    _flow(stage, min(LEFT_S, workload.duration_s))
    leaving = _settled_latencies(stage, others)
    return {
        "served_s": served[-1],
        "served_half_s": median(served),
        "p99_ms": together["p99_ms"],
        "max_ms": together["max_ms"],
        "p99_alone_ms": alone["p99_ms"],
        "p99_after_ms": after["p99_ms"],
        "p99_leaving_ms": leaving["p99_ms"],
        "deliveries_per_s": rate,
        "web_cpu_s": used_s["web"],
        "bridge_cpu_s": used_s.get("bridge", 0.0),
        "redis_cpu_s": used_s["redis"],
        "client_cpu_s": used_s["client"],
        "web_mib": quiet_bytes / MIB,
        "peak_mib": peak / MIB,
        "after_mib": after_bytes / MIB,
        "left_mib": stage.web_bytes() / MIB,
    }


def _flow(stage: Stage, duration_s: float) -> None:
    """Publish at the workload's rate for a time."""
    stage.publisher.ask({"duration_s": duration_s, "rate": stage.workload.rate}, duration_s + 30)


def _settled_latencies(stage: Stage, workers: list[Worker]) -> Metrics:
    """Return the latencies of all that was published, what was held up included."""
    stage.quiet()
    return latencies(stage, workers)


def _served(worker: Worker) -> list[float]:
    answer = worker.ask({"do": "served"})
    if answer["closed"]:
        raise Failed(f"{answer['closed']} clients of the herd were closed")
    times: list[float] = answer["served_s"]
    return times


METHODS: dict[str, Callable[[Stage], Metrics]] = {
    "fanout": fanout,
    "memory": memory,
    "slow_readers": slow_readers,
    "market": market,
    "herd": herd,
}


def measure(
    contender: Contender, workload: Workload, logs: Path, load_processes: int = 1
) -> Metrics:
    """Set a contender up for a workload, measure it once, and end all of it.

    Raises:
        Failed: it could not be measured; the text says why.
    """
    with Stage(contender, workload, logs, load_processes) as stage:
        return METHODS[workload.method](stage)
