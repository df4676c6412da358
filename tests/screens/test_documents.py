"""The documents at /docs/: every page and link, the search, and nothing else of the machine."""

import re
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.test import Client
from playwright.sync_api import sync_playwright

from quotes.screens.documents import views
from quotes.screens.documents.diagrams import read_flow_chart
from quotes.screens.documents.library import Library, library
from quotes.screens.documents.rendering import anchor_of, rendered
from quotes.screens.documents.searching import search
from tests.chromium import find_chromium
from tests.programs import ROOT


def page(slug: str) -> Any:
    return rendered(library().pages[slug], library())


def test_every_document_is_a_page_in_one_group() -> None:
    """README, changelog, each page of docs and each decision."""
    files = {*ROOT.glob("docs/*.md"), *ROOT.glob("docs/decisions/*.md")}
    files |= {ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")}
    listed = [source.path for group in library().groups().values() for source in group]
    assert len(listed) == len(set(listed)) and set(listed) == files


@pytest.mark.parametrize("slug", list(library().pages))
def test_page_is_shown_and_its_links_lead_somewhere(slug: str) -> None:
    """Each link to a page finds it, and its anchor a heading of that page."""
    answer: Any = Client().get(f"/docs/{slug}/")
    assert answer.status_code == 200
    assert "unsafe" not in answer["Content-Security-Policy"]
    text = answer.content.decode()
    assert " style=" not in text and "<style" not in text and not re.search(r"<script>", text)
    for link in page(slug).links:
        path, _, anchor = link.partition("#")
        if path == "/docs/decisions/":
            continue
        target = slug if not path else path.removeprefix("/docs/").strip("/")
        assert target in library().pages, link
        assert not anchor or anchor in page(target).anchors, link


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/docs/", 200),
        ("/docs/decisions/", 200),
        ("/docs/REST/", 200),
        ("/docs/rest.md/", 404),
        ("/docs/../manage.py/", 404),
        ("/docs/..%2f..%2fetc/passwd/", 404),
        ("/docs/%2e%2e/config/settings/", 404),
        ("/docs/decisions/0001-own-channel-layer/", 200),
        ("/docs/images/..%2f..%2f.env", 404),
        ("/docs/images/.env", 404),
        ("/docs/<script>alert(1)</script>/", 404),
    ],
)
def test_only_the_documents_are_served(address: str, status: int) -> None:
    """An address is looked up in a list, never made into a path."""
    answer: Any = Client().get(address, follow=True)
    assert answer.status_code == status
    assert b"<script>alert" not in answer.content and b"SECRET_KEY =" not in answer.content


def test_wrong_address_has_suggestions() -> None:
    """A page with a name like it, and sections with its words."""
    answer: Any = Client().get("/docs/protokol/")
    assert answer.status_code == 404 and b'href="/docs/protocol/"' in answer.content


def test_page_that_the_browser_has_is_not_sent_again() -> None:
    first = Client().get("/docs/rest/")
    again = Client().get("/docs/rest/", headers={"If-None-Match": first["ETag"]})
    assert again.status_code == 304 and not getattr(again, "content", b"")


@pytest.mark.parametrize(
    ("query", "address"),
    [
        ("candles interval", "/docs/rest/#get-apiinstrumentskeycandles"),
        ("QUOTES_STRICT_SYMBOLS", "/docs/settings/#quotes_strict_symbols"),
        ("Codes closes 4410", "/docs/protocol/#codes-of-closes"),
    ],
)
def test_search_finds_the_section(query: str, address: str) -> None:
    """Among the first; a heading counts more than text."""
    assert address in [hit.address for hit in search(query, library())[:5]]


@pytest.mark.parametrize(
    "query", ["", " ", "xyzzyplugh", "<script>alert(1)</script>", "%", "a" * 500]
)
def test_search_for_nothing_is_a_page(query: str) -> None:
    answer: Any = Client().get("/docs/search/", {"q": query})
    assert answer.status_code == 200 and b"<script>alert" not in answer.content


def test_markdown_is_rendered_without_html_of_its_own(tmp_path: Path) -> None:
    """HTML and dangerous addresses stay text; tables, anchors, code and images have their form."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(
        "# One <b>page</b>\n\n<script>alert(1)</script>\n\n[bad](javascript:alert(1))\n\n"
        "[there](docs/other.md#a-b) [file](manage.py) ![shot](docs/images/none.png)\n\n"
        "| a | b |\n|---|--:|\n| 1 | 2 |\n\n```python\nx = 1\n```\n\n## Twice\n\n## Twice\n"
    )
    (tmp_path / "docs" / "other.md").write_text("# Other\n\n## A `b`\n")
    shelf = Library(tmp_path)
    found = rendered(shelf.pages["readme"], shelf)
    assert "<script>" not in found.html and "<b>" not in found.html
    assert 'href="javascript' not in found.html and "<img" not in found.html
    assert '<a href="/docs/other/#a-b">' in found.html and "<a>file</a>" in found.html
    assert '<td class="right">2</td>' in found.html and 'class="mi"' in found.html
    assert {"twice", "twice-1"} <= found.anchors
    assert rendered(shelf.pages["other"], shelf).anchors == {"other", "a-b"}


def test_installation_without_documents_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "library", lambda: Library(tmp_path))
    answer: Any = Client().get("/docs/")
    assert answer.status_code == 404 and b"installed without its documents" in answer.content


def test_flow_chart_is_a_list_of_boxes() -> None:
    """Each box with what it says, and where its arrows lead."""
    chart = 'flowchart TD\n  a["a<br/>the first"] --> b & c\n  b["b"] --> c["c<br/>the last"]\n'
    assert read_flow_chart(chart) == [
        ("a", "the first", ("b", "c")),
        ("b", "", ("c",)),
        ("c", "the last", ()),
    ]
    assert read_flow_chart("sequenceDiagram\n a->>b: x") == [] == read_flow_chart("")


@pytest.mark.parametrize(
    ("title", "anchor"),
    [
        ("GET /api/prices/", "get-apiprices"),
        ("What's new?", "whats-new"),
        ("QUOTES_AUTH", "quotes_auth"),
    ],
)
def test_anchors_are_those_of_github(title: str, anchor: str) -> None:
    assert anchor_of(title) == anchor


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.django_db
def test_pages_are_accessible_and_fit_a_phone(live_server: Any, monkeypatch: Any) -> None:
    """Axe finds nothing, no page scrolls sideways, and nothing breaks the strict policy."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    problems: list[str] = []

    def note(message: Any) -> None:
        problems.append(message.text)

    with sync_playwright() as player:
        program = str(find_chromium())
        browser = player.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            for theme, width, addresses in (
                ("dark", 375, ("/docs/openalgo/", "/api/sockets/")),
                ("light", 1280, ("/docs/search/?q=candles", "/docs/openalgo/")),
            ):
                tab = browser.new_page(
                    viewport={"width": width, "height": 800},
                    color_scheme=theme,  # type: ignore[arg-type]
                )
                tab.on("console", note)
                for address in addresses:
                    tab.goto(live_server.url + address)
                    problems += [
                        f"{address}: {one['id']}, {one['nodes'][0]['html']}"
                        for one in Axe().run(tab).response["violations"]
                    ]
                    if tab.evaluate("document.documentElement.scrollWidth > innerWidth"):
                        problems.append(f"{address} scrolls sideways")
            tab.keyboard.press("/")
            assert tab.evaluate("document.activeElement.id") == "q"
            assert tab.locator("main pre + button.copy").count() > 2
            tab.goto(live_server.url + "/api/docs/")
            tab.locator("#operations-prices-prices_list").wait_for(timeout=60_000)
        finally:
            browser.close()
    assert not problems
