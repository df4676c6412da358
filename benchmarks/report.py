"""Results as tables of text: pure.

Each workload has its columns; every value is the median of the runs, and `spread` is how far the
runs lie apart in the first column, as a share of it.
"""

from collections.abc import Collection, Mapping, Sequence

from benchmarks.summary import spread
from benchmarks.targets import Verdict, describe

Runs = Mapping[str, Sequence[Mapping[str, float]]]  # contender -> metrics of each run

# metric -> heading, format
COLUMNS = {
    "server_us": ("server us", "{:.2f}"),
    "web_us": ("web us", "{:.2f}"),
    "bridge_us": ("bridge us", "{:.2f}"),
    "bridge_tick_us": ("bridge us/tick", "{:.2f}"),
    "redis_us": ("redis us", "{:.2f}"),
    "deliveries_per_s": ("deliveries/s", "{:,.0f}"),
    "ticks_per_s": ("ticks/s", "{:,.0f}"),
    "web_busy": ("web busy", "{:.0%}"),
    "client_us": ("client us", "{:.2f}"),
    "client_busy": ("client busy", "{:.0%}"),
    "client_most_per_s": ("client could/s", "{:,.0f}"),
    "publisher_busy": ("publisher busy", "{:.0%}"),
    "others_busy": ("others busy", "{:.0%}"),
    "conflated": ("conflated", "{:,.0f}"),
    "p50_ms": ("p50 ms", "{:.2f}"),
    "p99_ms": ("p99 ms", "{:.2f}"),
    "p999_ms": ("p99.9 ms", "{:.2f}"),
    "max_ms": ("max ms", "{:.1f}"),
    "p99_alone_ms": ("p99 alone ms", "{:.2f}"),
    "p99_ratio": ("p99 ratio", "{:.2f}"),
    "connection_kib": ("KiB/connection", "{:.1f}"),
    "web_mib": ("web MiB", "{:.1f}"),
    "grown_mib": ("grown MiB", "{:.2f}"),
    "still_open": ("still open", "{:.0f}"),
    "closed_after_s": ("closed after s", "{:.1f}"),
    "carried_per_s": ("carried/s", "{:,.0f}"),
    "held_per_s": ("held/s", "{:,.0f}"),
    "backlog_first_ms": ("backlog first ms", "{:.0f}"),
    "backlog_last_ms": ("backlog last ms", "{:.0f}"),
    "backlog_growth_ms": ("backlog grown ms", "{:.0f}"),
    "served_s": ("all served s", "{:.1f}"),
    "served_half_s": ("half served s", "{:.1f}"),
    "p99_after_ms": ("p99 after ms", "{:.2f}"),
    "p99_leaving_ms": ("p99 leaving ms", "{:.2f}"),
    "web_cpu_s": ("web CPU s", "{:.1f}"),
    "bridge_cpu_s": ("bridge CPU s", "{:.1f}"),
    "redis_cpu_s": ("redis CPU s", "{:.1f}"),
    "client_cpu_s": ("client CPU s", "{:.1f}"),
    "peak_mib": ("peak MiB", "{:.1f}"),
    "after_mib": ("after MiB", "{:.1f}"),
    "left_mib": ("left MiB", "{:.1f}"),
    "repeated": ("repeated", "{:.0f}"),
    "reversed": ("reversed", "{:.0f}"),
    "skipped": ("skipped", "{:.0f}"),
}
COST = ("server_us", "web_us", "bridge_us", "redis_us", "deliveries_per_s", "ticks_per_s")
BUSY = ("web_busy", "client_us", "client_busy", "client_most_per_s", "others_busy")
SHOWN = {
    "fanout": (*COST, *BUSY, "web_mib"),
    "batched": (*COST, "conflated", *BUSY, "web_mib"),
    "max": ("deliveries_per_s", "server_us", "ticks_per_s", *COST[1:4], *BUSY, "web_mib"),
    "latency": ("p50_ms", "p99_ms", "p999_ms", "max_ms", *COST, *BUSY),
    "check": ("repeated", "reversed", "skipped", "deliveries_per_s", "ticks_per_s"),
    "memory": ("connection_kib", "web_mib"),
    "slow_readers": (
        *("p99_ratio", "p99_alone_ms", "p99_ms", "max_ms", "grown_mib"),
        *("still_open", "closed_after_s", "server_us", "deliveries_per_s", *BUSY),
    ),
    "market": (
        *("bridge_tick_us", "web_us", "redis_us", "carried_per_s", "held_per_s"),
        *(
            "backlog_first_ms",
            "backlog_last_ms",
            "backlog_growth_ms",
            "conflated",
            "publisher_busy",
            *BUSY,
            "web_mib",
        ),
    ),
    "herd": (
        *("served_s", "served_half_s", "p99_ms", "max_ms", "p99_alone_ms", "p99_after_ms"),
        *("p99_leaving_ms", "web_cpu_s", "bridge_cpu_s", "redis_cpu_s", "client_cpu_s"),
        *("web_mib", "peak_mib", "after_mib", "left_mib", "deliveries_per_s"),
    ),
    "calibration": ("client_us", "client_most_per_s", "deliveries_per_s", "client_busy"),
}


def grid(rows: Sequence[Sequence[str]], words: Collection[int] = (0,)) -> str:
    """Return rows as columns of text, the first row as a heading.

    Args:
        rows: cells, the same number in each row.
        words: which columns are of words, aligned left; the others are numbers, aligned right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column in words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def table(shown: str, runs: Runs, medians: Mapping[str, Mapping[str, float]]) -> str:
    """Return the results of one workload.

    Args:
        shown: a key of SHOWN.
        runs: of each contender.
        medians: of the same.
    """
    metrics = SHOWN[shown]
    rows = [["", *(COLUMNS[metric][0] for metric in metrics), "runs", "spread"]]
    for contender, values in medians.items():
        cells = [
            COLUMNS[metric][1].format(values[metric]) if metric in values else "-"
            for metric in metrics
        ]
        apart = f"{spread(runs[contender], metrics[0]):.0%}"
        rows.append([contender, *cells, str(len(runs[contender])), apart])
    return grid(rows)


def verdicts(found: Sequence[Verdict]) -> str:
    """Return the targets and whether each was reached, a line each."""
    rows = [["workload", "server", "measured", "", "target"]]
    for verdict in found:
        target = verdict.target
        measured = "-" if verdict.measured is None else f"{verdict.measured:.3g}"
        words = {True: "reached", False: "missed", None: "not measured"}
        word = words[verdict.reached] + (" (aim)" if target.aim else "")
        rows.append([target.workload, target.contender, measured, word, describe(target)])
    return grid(rows, words=(0, 1, 3, 4))
