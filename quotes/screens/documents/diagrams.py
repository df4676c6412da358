"""Mermaid flow charts as lists: each box, what it says, and where its arrows lead.

A drawing would need a library of megabytes. What is no flow chart stays text.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

_BOX = re.compile(r'(\w+)\["([^"]*)"\]')
_ARROW = re.compile(r"\s*-->\s*")


class Box(NamedTuple):
    """A box of a flow chart.

    Attributes:
        text: what it says below its name.
        leads_to: the names of the boxes that its arrows point to.
    """

    name: str
    text: str
    leads_to: tuple[str, ...]


def read_flow_chart(text: str) -> list[Box]:
    """Return the boxes of a flow chart in the order in which arrows leave them; [] for others."""
    head, *lines = text.strip().splitlines() or [""]
    if not head.startswith("flowchart"):
        return []
    titles = {name: title.split("<br/>", 1) for name, title in _BOX.findall(text)}
    arrows: dict[str, list[str]] = {}
    for line in lines:
        sides = _ARROW.split(_BOX.sub(r"\1", line.strip()))
        for source, targets in pairwise(sides):
            for name in _names(source):
                arrows.setdefault(name, []).extend(_names(targets))
    for name in titles:
        arrows.setdefault(name, [])
    return [
        Box(name, titles[name][1] if len(titles.get(name, ())) > 1 else "", tuple(targets))
        for name, targets in arrows.items()
    ]


def _names(text: str) -> Iterator[str]:
    return (name.strip() for name in text.split("&") if name.strip())
