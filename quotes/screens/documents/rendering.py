"""Markdown as HTML: tables, anchors on headings, links between pages, colours in code.

HTML within Markdown is shown as text. Nothing that is made here needs an inline script or style.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from itertools import islice
from pathlib import Path
from posixpath import join, normpath
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from quotes.screens.documents.diagrams import read_flow_chart
from quotes.screens.documents.library import Library, Source

_SENTENCE = re.compile(r"(?<=[.!?])\s")
_NOT_IN_ANCHOR = re.compile(r"[^\w\- ]")
_ALIGNED = {"text-align:right": "right", "text-align:center": "center"}
_FORMATTER = HtmlFormatter(nowrap=True)
# The first word of a fence -> the lexer, where they differ.
_LEXERS = {"js": "javascript", "ts": "typescript", "sh": "shell-session", "dotenv": "ini"}


@dataclass(frozen=True)
class Section:
    """A part of a page, from one heading to the next.

    Attributes:
        level: of the heading, from 1.
        anchor: of the heading; "" for what is before the first.
        text: of the heading and all below it, for the search.
    """

    level: int
    title: str
    anchor: str
    text: str


@dataclass
class Page:
    """A rendered page.

    Attributes:
        summary: its first sentence.
        links: the addresses of its links to other pages and to its own headings.
    """

    title: str
    html: str
    sections: list[Section]
    summary: str = ""
    links: list[str] = field(default_factory=list)

    @property
    def anchors(self) -> set[str]:
        return {section.anchor for section in self.sections}

    @property
    def contents(self) -> list[Section]:
        """The headings for a table of contents."""
        return [section for section in self.sections if section.level in (2, 3)]


def rendered(source: Source, library: Library) -> Page:
    """Return the page of a file, as the file is now."""
    return _render(source, library, source.path.stat().st_mtime_ns)


@lru_cache(maxsize=200)
def _render(source: Source, library: Library, mtime_ns: int) -> Page:
    markdown = _parser()
    tokens = markdown.parse(source.path.read_text())
    page = Page("", "", [])
    _name_headings(tokens, page)
    page.title = page.sections[0].title if page.sections else source.slug
    page.summary = _first_sentence(tokens)
    page.links = _rewrite_links(tokens, source, library)
    page.html = _wrap_tables(markdown.renderer.render(tokens, markdown.options, {}))
    return page


def _parser() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "highlight": None}).enable("table")
    markdown.add_render_rule("fence", _fence)
    for name in ("th_open", "td_open"):
        markdown.add_render_rule(name, _cell)
    return markdown


def anchor_of(title: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    return _NOT_IN_ANCHOR.sub("", title.strip().lower()).replace(" ", "-")


def _name_headings(tokens: Sequence[Token], page: Page) -> None:
    """Give each heading its anchor, and note what each section says."""
    taken: dict[str, int] = {}
    texts: list[str] = []
    head = (0, "", "")

    def finish() -> None:
        if head[0]:
            page.sections.append(Section(*head, " ".join(texts)))

    for position, token in enumerate(tokens):
        if token.type == "heading_open":
            finish()
            title = _plain(tokens[position + 1])
            anchor = anchor_of(title)
            count = taken.get(anchor, 0)
            taken[anchor] = count + 1
            anchor = f"{anchor}-{count}" if count else anchor
            token.attrSet("id", anchor)
            head, texts = (int(token.tag[1]), title, anchor), []
        if token.type == "inline":
            texts.append(_plain(token))
        elif token.type == "fence":
            texts.append(token.content)
    finish()


def _first_sentence(tokens: Sequence[Token]) -> str:
    """Return the first sentence of the first paragraph."""
    starts = (at for at, token in enumerate(tokens) if token.type == "paragraph_open")
    text = " ".join(_plain(tokens[at + 1]) for at in islice(starts, 1))
    return _SENTENCE.split(text, maxsplit=1)[0].strip().rstrip(":")


def _plain(token: Token) -> str:
    """Return the text of an inline token without its markup."""
    return "".join(
        one.content if one.type in ("text", "code_inline") else " "
        for one in token.children or ()
        if one.type in ("text", "code_inline", "softbreak", "hardbreak")
    )


def _rewrite_links(tokens: Sequence[Token], source: Source, library: Library) -> list[str]:
    """Point links to the pages of this server; return those that do."""
    found = []
    for token in tokens:
        for one in token.children or ():
            if one.type == "link_open":
                address = _address(str(one.attrGet("href") or ""), source, library)
                one.attrs = {} if address is None else {"href": address}
                if address and address.startswith(("http:", "https:")):
                    one.attrs["rel"] = "noopener noreferrer"
                elif address:
                    found.append(address)
            elif one.type == "image":
                name = str(one.attrGet("src") or "").rpartition("/")[2]
                if name in library.images:
                    one.attrSet("src", f"/docs/images/{name}")
                    one.attrSet("loading", "lazy")
                else:
                    one.type = "text"  # what it shows, in words
    return found


def _address(link: str, source: Source, library: Library) -> str | None:
    """Return where a link leads here; None for a file of the project that is no page."""
    path, hash_mark, anchor = link.partition("#")
    if not path:
        return link
    if link.startswith(("http://", "https://", "mailto:", "/")):
        return link
    name = normpath(join(str(Path(source.name).parent), path))
    if name == "docs/decisions":
        return "/docs/decisions/"
    page = library.by_name.get(name)
    return f"/docs/{page.slug}/{hash_mark}{anchor}" if page else None


def _fence(
    renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Mapping[str, Any]
) -> str:
    """Return a block of code with colours; a flow chart as a list."""
    token = tokens[index]
    language, _, name = token.info.strip().partition(" ")
    if language == "mermaid" and (boxes := read_flow_chart(token.content)):
        items = "".join(
            f"<li><strong>{escape(box.name)}</strong>"
            + (f" ({escape(box.text)})" if box.text else "")
            + (f" → {escape(', '.join(box.leads_to))}" if box.leads_to else "")
            + "</li>"
            for box in boxes
        )
        return f'<ul class="diagram">{items}</ul>\n'
    label = f' aria-label="{escape(name)}"' if name else ""
    code = _coloured(token.content, language)
    return (
        f'<pre tabindex="0"{label}><code class="language-{escape(language)}">{code}</code></pre>\n'
    )


def _coloured(text: str, language: str) -> str:
    try:
        lexer = get_lexer_by_name(_LEXERS.get(language, language)) if language else None
    except ClassNotFound:
        lexer = None
    if lexer is None or language == "sh":
        return escape(text, quote=False)
    return str(highlight(text, lexer, _FORMATTER))


def _cell(
    renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Mapping[str, Any]
) -> str:
    """Return the start of a cell; its alignment is a class, since inline styles are blocked."""
    token = tokens[index]
    style = str(token.attrs.pop("style", ""))
    if style in _ALIGNED:
        token.attrSet("class", _ALIGNED[style])
    if token.tag == "th":
        token.attrSet("scope", "col")
    return str(renderer.renderToken(tokens, index, options, env))


def _wrap_tables(html: str) -> str:
    """Let wide tables scroll by themselves, also by keys."""
    return html.replace(
        "<table>", '<div class="table" tabindex="0" role="group" aria-label="Table"><table>'
    ).replace("</table>", "</table></div>")
