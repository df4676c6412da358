"""The lines that run-books tell operators to look for."""

import re
from collections.abc import Iterable

from quotes.doctor.findings import Result
from tests.test_docs import sections

_LINE = re.compile(r"`((?:error|warning|ok) \w+: [^`]+)`")


def lines(runbook: str) -> list[str]:
    """Return the lines of a run-book, such as `error redis: Redis does not answer at ...`."""
    return _LINE.findall(sections("docs/runbooks.md")[runbook])


def check_shown(runbook: str, part: str, results: Iterable[Result]) -> None:
    """Fail unless the run-book's line with a part of it is what `manage.py doctor` prints."""
    found = [line for line in lines(runbook) if part in line]
    assert len(found) == 1, (part, lines(runbook))
    pattern = ".*".join(re.escape(text) for text in found[0].split("..."))
    printed = [f"{finding.level.name.lower()} {name}: {finding.text}" for name, finding in results]
    assert any(re.match(pattern, one) for one in printed), (found[0], printed)
