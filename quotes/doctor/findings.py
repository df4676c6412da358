"""What a check of a deployment finds: how bad it is, a sentence, and what to do about it."""

import re
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple

# Words that begin an instruction. The texts of `/readyz` have it after a colon.
_IMPERATIVES = re.compile(
    r"(add|allow|ask|check|correct|create|delete|enter|import|install|lower|make|pass|publish|raise"
    r"|read|report|restart|run|set|share|start|stop|wait|write)\b"
)


class Level(IntEnum):
    """How bad a finding is; the greatest of all is the exit code of `manage.py doctor`."""

    OK = 0
    WARNING = 1
    ERROR = 2


class Finding(NamedTuple):
    """One sentence about the deployment.

    Attributes:
        text: what was found; no credential, no address of a client.
        cure: what to do about it; "" for what is well.
        page: where to read more, as a heading in docs/runbooks.md; "" for nothing.
    """

    level: Level
    text: str
    cure: str = ""
    page: str = ""


class Result(NamedTuple):
    """A finding and the name of its check."""

    name: str
    finding: Finding


def ok(text: str) -> Finding:
    return Finding(Level.OK, text)


def warning(text: str, cure: str, page: str = "") -> Finding:
    """Return a finding to act on soon: prices flow."""
    return Finding(Level.WARNING, text, cure, page)


def error(text: str, cure: str, page: str = "") -> Finding:
    """Return a finding to act on now: prices do not flow, or are not safe."""
    return Finding(Level.ERROR, text, cure, page)


def from_sentence(level: Level, sentence: str, cure: str, page: str = "") -> Finding:
    """Return a finding of a sentence of `/readyz`, most of which end with an instruction.

    Args:
        cure: what to do if the sentence has none.
    """
    parts = sentence.split(": ")
    for number in range(1, len(parts)):
        rest = ": ".join(parts[number:])
        if _IMPERATIVES.match(rest):
            return Finding(level, ": ".join(parts[:number]), rest, page)
    return Finding(level, sentence, cure, page)


def counted(number: int, noun: str) -> str:
    """Return a number and its noun, such as `1 client` or `2 clients`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "es" if noun.endswith("s") else "s")


def worst(findings: Iterable[Finding]) -> Level:
    return max((one.level for one in findings), default=Level.OK)


def summed_up(findings: Iterable[Finding], text: str) -> Iterator[Finding]:
    """Yield the findings; if none is a problem, yield a sentence on what is well, too."""
    is_well = True
    for one in findings:
        is_well = is_well and one.level is Level.OK
        yield one
    if is_well:
        yield ok(text)
