"""Search in the documents: every word of a query, in headings first."""

import re
from functools import lru_cache
from typing import NamedTuple

from quotes.screens.documents.library import Library
from quotes.screens.documents.rendering import rendered

MAX_QUERY = 100
_MOST_WORDS = 8
_MOST_HITS = 30
_BEFORE, _AFTER = 60, 140
_WORD = re.compile(r"[^\s,;()\"'`]+")


class Hit(NamedTuple):
    """A section that a query is in.

    Attributes:
        before, match, after: an excerpt around the first word that was found.
    """

    page: str
    title: str
    address: str
    before: str
    match: str
    after: str


class _Entry(NamedTuple):
    page: str
    title: str
    address: str
    heading: str  # in small letters, as the two below
    words: str
    text: str  # as written


def search(query: str, library: Library) -> list[Hit]:
    """Return the sections that have every word of a query, the best first."""
    words = [word.lower() for word in _WORD.findall(query[:MAX_QUERY])][:_MOST_WORDS]
    if not words:
        return []
    found = []
    for position, entry in enumerate(_index(library)):
        if all(word in entry.words for word in words):
            in_heading = sum(word in entry.heading for word in words)
            often = sum(min(entry.words.count(word), 5) for word in words)
            found.append((-in_heading, -often, position, entry))
    found.sort(key=lambda one: one[:3])
    return [_hit(entry, words) for *_, entry in found[:_MOST_HITS]]


def _hit(entry: _Entry, words: list[str]) -> Hit:
    small = entry.text.lower()
    first = min((at for word in words if (at := small.find(word)) >= 0), default=0)
    length = next((len(word) for word in words if small.startswith(word, first)), 0)
    text = entry.text
    before = ("… " if first > _BEFORE else "") + text[max(0, first - _BEFORE) : first]
    end = first + length
    after = text[end : end + _AFTER] + (" …" if len(text) > end + _AFTER else "")
    return Hit(entry.page, entry.title, entry.address, before, text[first:end], after)


def _index(library: Library) -> tuple[_Entry, ...]:
    state = tuple(page.path.stat().st_mtime_ns for page in library.pages.values())
    return _built(library, state)


@lru_cache(maxsize=2)
def _built(library: Library, state: tuple[int, ...]) -> tuple[_Entry, ...]:
    """Return a row for each section; made again only if a file has changed."""
    found = []
    for source in library.pages.values():
        page = rendered(source, library)
        for section in page.sections:
            text = " ".join(section.text.split())
            heading = f"{page.title} {section.title}".lower()
            address = f"/docs/{source.slug}/#{section.anchor}"
            words = f"{heading} {text.lower()}"
            found.append(_Entry(page.title, section.title, address, heading, words, text))
    return tuple(found)
