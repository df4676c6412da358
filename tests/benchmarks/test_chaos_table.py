"""The table of the chaos suite: one row for each fault, as docs/reliability.md has it."""

import random

from benchmarks.chaos.faults import FAULTS, two_at_once
from benchmarks.chaos.findings import Kind
from benchmarks.chaos.promises import BRIDGE, LANES
from benchmarks.chaos.table import COLUMNS, line, markdown
from benchmarks.chaos.trial import Result
from tests.programs import ROOT


def result_of(*kinds: Kind) -> Result:
    result = Result("web-kill", "a web server killed", 1, BRIDGE | LANES, recovery_s=0.44)
    result.findings.counts.update({"published": 1234, "not taken": 5})
    result.findings.words.update({"feed down": 2})
    for kind in kinds:
        result.findings.add(kind, "a client", "why")
    return result


def test_a_row_has_what_happened() -> None:
    """Cells are in the order of the columns."""
    row = markdown([result_of()]).splitlines()[-1]
    cells = dict(zip(COLUMNS, row.strip("| ").split(" | "), strict=True))
    assert cells["published"] == "1,234" and cells["not taken"] == "5"
    assert cells["may cost"] == "untaken ticks, replaced prices"
    assert (cells["said"], cells["seconds to recover"]) == ("feed down 2", "0.4")
    assert cells["promises"] == "kept"


def test_breaches_are_in_their_columns() -> None:
    """Holes count as lost, and the row says that promises are broken."""
    broken = result_of(Kind.HOLE, Kind.LOST, Kind.DOUBLED)
    cells = dict(zip(COLUMNS, markdown([broken]).splitlines()[-1].split(" | "), strict=True))
    assert (cells["lost"], cells["doubled"], cells["reordered"]) == ("2", "1", "0")
    assert "BROKEN 3" in cells["promises"] and "BROKEN 3" in line(broken)


def test_the_page_has_the_result_of_each_fault() -> None:
    """A fault that is added is run, and its row put into the page."""
    text = (ROOT / "docs" / "reliability.md").read_text()
    assert f"| {' | '.join(COLUMNS)} |" in text
    for fault in FAULTS.values():
        assert f"| {fault.title} | {fault.lasts_s:g} | {fault.promise} |" in text, fault.name


def test_two_at_once_are_of_different_parts() -> None:
    """The seed decides which; together they may cost what each may."""
    pairs = [two_at_once(random.Random(seed)) for seed in range(50)]
    assert [one.name for one in pairs] == [
        two_at_once(random.Random(seed)).name for seed in range(50)
    ]
    for pair in pairs:
        first, second = (FAULTS[name] for name in pair.name.split("+"))
        assert first.name.split("-")[0] != second.name.split("-")[0]
        assert pair.promise == first.promise | second.promise
        assert not first.name.startswith("redis")  # others need one that answers
