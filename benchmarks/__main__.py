"""`python -m benchmarks [NAME ...]`: measure, print tables, and keep them in var/bench/."""

import argparse
import json
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.campaign import NAMES, Results, run, text_of
from benchmarks.contenders import CONTENDERS
from benchmarks.processes import REPOSITORY

FOLDER = REPOSITORY / "var" / "bench"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"run only these of {', '.join(NAMES)}"
    )
    parser.add_argument("--servers", default="", help="measure only these servers, comma-separated")
    parser.add_argument("--runs", type=int, default=3, help="runs of each server; default: 3")
    parser.add_argument("--quick", action="store_true", help="small sizes, one run each")
    parser.add_argument(
        "--load-processes", type=int, default=1, help="processes of clients; default: 1"
    )
    parser.add_argument(
        "--from", dest="files", nargs="+", type=Path, default=[], metavar="JSON",
        help="measure nothing, print these saved results",
    )  # fmt: skip
    chosen = parser.parse_args()
    chosen.servers = [name for name in chosen.servers.split(",") if name]
    for name in chosen.names:
        if name not in NAMES:
            parser.error(f"NAME must be one of {', '.join(NAMES)}, got {name!r}")
    for name in chosen.servers:
        if name not in CONTENDERS:
            parser.error(f"a server must be one of {', '.join(CONTENDERS)}, got {name!r}")
    return chosen


def read(files: list[Path]) -> Results:
    """Return the results kept in several files, as one; a later file adds its runs."""
    results = Results()
    for file in files:
        kept = Results(**json.loads(file.read_text()))
        results.about = {**kept.about, "quick": results.about.get("quick") or kept.about["quick"]}
        for workload, contenders in kept.runs.items():
            for name, runs in contenders.items():
                for metrics in runs:
                    results.add(workload, name, metrics)
        for workload, failures in kept.failures.items():
            for name, reasons in failures.items():
                for reason in reasons:
                    results.fail(workload, name, reason)
    return results


def keep(results: Results) -> None:
    """Print what was measured so far and write it to files of this minute."""
    if not results.about:
        return
    text = text_of(results)
    kept = FOLDER / time.strftime("%Y%m%d-%H%M%S")
    kept.with_suffix(".json").write_text(json.dumps(asdict(results), indent=1))
    kept.with_suffix(".txt").write_text(text)
    print(text)
    print(f"saved in {kept.relative_to(REPOSITORY)}.json and .txt")


def main() -> None:
    chosen = options()
    if chosen.files:
        print(text_of(read(chosen.files)))
        return
    # A signal ends the benchmark as an error would: with all it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results = Results()
    try:
        run(
            results,
            chosen.names or NAMES,
            servers=chosen.servers,
            runs=1 if chosen.quick else chosen.runs,
            quick=chosen.quick,
            load_processes=chosen.load_processes,
            logs=FOLDER / "logs",
        )
    finally:
        keep(results)


if __name__ == "__main__":
    main()
