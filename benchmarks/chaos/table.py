"""The results as a table, in text or Markdown. Pure."""

from collections.abc import Sequence

from benchmarks.chaos.findings import Kind
from benchmarks.chaos.trial import Result

COLUMNS = (
    "fault",
    "seconds",
    "may cost",
    "published",
    "delivered",
    "not taken",
    "in a gap",
    "skipped",
    "said",
    "lost",
    "doubled",
    "reordered",
    "seconds to recover",
    "promises",
)


def cells(result: Result) -> list[str]:
    """Return the cells of one row."""
    findings = result.findings
    counts = findings.counts
    lost = findings.count(Kind.LOST) + findings.count(Kind.HOLE)
    recovery = "never" if result.recovery_s is None else f"{result.recovery_s:.1f}"
    broken = len(findings.breaches)
    return [
        result.title,
        f"{result.lasts_s:g}",
        str(result.promise),
        f"{counts['published']:,}",
        f"{counts['delivered']:,}",
        f"{counts['not taken']:,}",
        f"{counts['in a gap'] + counts['lost by Redis']:,}",
        f"{counts['skipped'] + counts['conflated']:,}",
        ", ".join(f"{word} {count}" for word, count in sorted(findings.words.items()) if count)
        or "-",
        f"{lost:,}",
        f"{findings.count(Kind.DOUBLED):,}",
        f"{findings.count(Kind.REORDERED):,}",
        recovery,
        "kept" if not broken else f"BROKEN {broken}",
    ]


def markdown(results: Sequence[Result]) -> str:
    """Return a Markdown table."""
    rows = [COLUMNS, ["---"] * len(COLUMNS), *map(cells, results)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def line(result: Result) -> str:
    """Return one line of progress."""
    named = dict(zip(COLUMNS, cells(result), strict=True))
    parts = [f"{name} {named[name]}" for name in COLUMNS[3:-2]]
    recovered = f"recovered in {named['seconds to recover']} s"
    busy = f", this process stood still for {result.lag_s:.1f} s" if result.lag_s > 1 else ""
    return f"{result.name}: {named['promises']}, {recovered} ({', '.join(parts)}){busy}"
