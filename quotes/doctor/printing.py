"""Findings as lines for people, in colours on a terminal, and as JSON for programs."""

import json
import textwrap
from collections.abc import Iterable, Sequence

from quotes.doctor.findings import Level, Result, counted, worst

_COLOURS = {Level.OK: "32", Level.WARNING: "33", Level.ERROR: "31"}
_LEVEL_WIDTH, _NAME_WIDTH = 7, 12
_INDENT = _LEVEL_WIDTH + 2 + _NAME_WIDTH + 2
_ARROW = "-> "
_RUNBOOKS = "docs/runbooks.md"


def lines(result: Result, *, width: int, is_coloured: bool) -> Iterable[str]:
    """Yield the lines of a finding: level, check and text; then what to do.

    Args:
        width: of the terminal; lines are wrapped within it.
    """
    name, finding = result
    level = f"{finding.level.name.lower():<{_LEVEL_WIDTH}}"
    if is_coloured:
        level = f"\x1b[{_COLOURS[finding.level]}m{level}\x1b[0m"
    yield from _wrapped(f"{level}  {name:<{_NAME_WIDTH}}  ", finding.text, _INDENT, width)
    if finding.cure:
        page = f" ({_RUNBOOKS}#{finding.page})" if finding.page else ""
        head = " " * _INDENT + _ARROW
        yield from _wrapped(head, finding.cure + page, _INDENT + len(_ARROW), width)


def _wrapped(head: str, text: str, indent: int, width: int) -> Iterable[str]:
    """Yield a text in lines, the first after a head; the indent is the head's room on screen."""
    # A text may come from outside, and must not control the terminal.
    clean = "".join(one if one.isprintable() else "?" for one in text)
    found = textwrap.wrap(
        clean, max(30, width - indent), break_long_words=False, break_on_hyphens=False
    ) or [""]
    yield head + found[0]
    for line in found[1:]:
        yield " " * indent + line


def summary(results: Sequence[Result]) -> str:
    """Return the last line."""
    levels = [finding.level for _, finding in results]
    if worst(finding for _, finding in results) is Level.OK:
        return "all is well"
    errors, warnings = levels.count(Level.ERROR), levels.count(Level.WARNING)
    return f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"


def as_json(results: Sequence[Result]) -> str:
    """Return one JSON object with the worst level and all findings."""
    level = worst(finding for _, finding in results)
    return json.dumps(
        {
            "level": level.name.lower(),
            "findings": [
                {
                    "check": name,
                    "level": finding.level.name.lower(),
                    "text": finding.text,
                    "cure": finding.cure,
                    "runbook": f"{_RUNBOOKS}#{finding.page}" if finding.page else "",
                }
                for name, finding in results
            ],
        },
        indent=1,
        ensure_ascii=False,
    )
