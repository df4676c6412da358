"""A whole benchmark: every workload, its contenders in turn, run after run; results as data."""

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine, report
from benchmarks.calibration import TOGETHER, calibrate
from benchmarks.contenders import CONTENDERS
from benchmarks.experiments import measure
from benchmarks.processes import Failed
from benchmarks.summary import medians
from benchmarks.targets import TARGETS, judge
from benchmarks.window import Metrics
from benchmarks.workloads import WORKLOADS, Workload

CALIBRATION = "calibration"
NAMES = (CALIBRATION, *WORKLOADS)


@dataclass
class Results:
    """By workload and contender: the metrics of each run, and why others came to nothing."""

    runs: dict[str, dict[str, list[Metrics]]] = field(default_factory=dict)
    failures: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    def add(self, workload: str, contender: str, metrics: Metrics) -> None:
        self.runs.setdefault(workload, {}).setdefault(contender, []).append(metrics)

    def fail(self, workload: str, contender: str, why: str) -> None:
        self.failures.setdefault(workload, {}).setdefault(contender, []).append(why)

    def medians(self) -> dict[str, dict[str, Metrics]]:
        return {
            workload: {name: medians(runs) for name, runs in contenders.items()}
            for workload, contenders in self.runs.items()
        }


def say(text: str) -> None:
    """Tell how far it is, beside the results."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def contenders_of(workload: Workload, servers: Sequence[str]) -> list[str]:
    """Return who takes part in a workload: all of its contenders, or only some servers."""
    return [name for name in workload.contenders if not servers or name in servers]


def install_peers(names: Iterable[str]) -> None:
    """Install what these contenders need, where this machine has the tools for it."""
    for needs in {CONTENDERS[name].needs: None for name in names}:
        if needs.missing() and needs.command:
            say(f"installing a peer: {needs.missing()}")
            needs.install()


def run(
    results: Results,
    names: Iterable[str],
    *,
    servers: Sequence[str],
    runs: int,
    quick: bool,
    load_processes: int,
    logs: Path,
) -> None:
    """Measure workloads, adding to the results as they come.

    Args:
        results: empty.
        names: of NAMES.
        servers: only these contenders; empty: all.
        runs: how often each is measured; contenders take turns, so that a change of the machine's
            mood meets all of them.
        quick: in small sizes, to see that it works.
        load_processes: over how many processes the clients are spread.
        logs: a folder for what the processes print.
    """
    names = list(names)
    install_peers(
        contender
        for name in names
        if name != CALIBRATION
        for contender in contenders_of(WORKLOADS[name], servers)
    )
    logs.mkdir(parents=True, exist_ok=True)
    results.about = {
        "began": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "quick": quick,
        "load_processes": load_processes,
        "machine": machine.machine(),
        "versions": machine.versions(),
    }
    for name in names:
        for turn in range(runs):
            label = f"{name}, run {turn + 1} of {runs}"
            if name == CALIBRATION:
                run_calibration(results, label, logs, quick)
            else:
                workload = WORKLOADS[name].quick() if quick else WORKLOADS[name]
                for contender in contenders_of(workload, servers):
                    run_one(results, label, workload, contender, logs, load_processes)


def run_calibration(results: Results, label: str, logs: Path, quick: bool) -> None:
    for title, together in TOGETHER.items():
        metrics = calibrate(logs, together=together, duration_s=1 if quick else 4)
        results.add(CALIBRATION, title, metrics)
        say(f"{label}, {title}: {metrics['client_most_per_s']:,.0f}/s")


def run_one(
    results: Results,
    label: str,
    workload: Workload,
    name: str,
    logs: Path,
    load_processes: int,
) -> None:
    contender = CONTENDERS[name]
    missing = contender.needs.missing()
    try:
        if missing:
            raise Failed(missing)
        metrics = measure(contender, workload, logs, load_processes)
    except (Failed, OSError, ValueError) as error:
        results.fail(workload.name, name, str(error))
        say(f"{label}, {name} failed: {error}")
        return
    results.add(workload.name, name, metrics)
    first = report.SHOWN[shown(workload)][0]
    heading, form = report.COLUMNS[first]
    say(f"{label}, {name}: {form.format(metrics[first])} {heading}")


def shown(workload: Workload) -> str:
    """Return which columns a workload's table has."""
    if workload.columns:
        return workload.columns
    if workload.method == "fanout":
        by_meter = {"latency": "latency", "check": "check"}
        return by_meter.get(workload.meter, "batched" if workload.interval_ms else "fanout")
    return workload.method


def text_of(results: Results) -> str:
    """Return the results as text: machine, versions, a table per workload, targets."""
    about = results.about
    parts = ["  ".join(f"{name} {value}" for name, value in about["machine"].items())]
    parts.append("  ".join(f"{name} {value}" for name, value in about["versions"].items()))
    if about["quick"]:
        parts.append("QUICK: small sizes, to see that it works. No statement about speed.")
    found = results.medians()
    for name in dict.fromkeys((*results.runs, *results.failures)):
        workload = WORKLOADS.get(name)
        parts.append(workload.title if workload else "calibration: what one load process takes")
        if name in found:
            kind = shown(workload) if workload else CALIBRATION
            parts.append(report.table(kind, results.runs[name], found[name]))
        for contender, reasons in results.failures.get(name, {}).items():
            parts += [f"{contender} failed: {reason}" for reason in reasons]
    verdicts = [judge(target, found) for target in TARGETS if target.workload in found]
    if verdicts:
        parts.append(report.verdicts(verdicts))
    return "\n\n".join(parts) + "\n"
