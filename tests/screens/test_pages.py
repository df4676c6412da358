"""The dashboard without a browser: its headers, its files, and that it needs no other server."""

import re
from pathlib import Path

import pytest
from django.test import Client

import quotes

FOLDER = Path(quotes.__file__).parent / "screens" / "static" / "screens"
# Files of others, whose hash is pinned, and their notices.
FOREIGN = ("vendor", "notices")
FILES = sorted(
    path
    for path in FOLDER.rglob("*")
    if path.is_file() and path.relative_to(FOLDER).parts[0] not in FOREIGN
)
# Links that a person may follow, in the place that licenses ask for; they load nothing.
LINKS = re.compile(r'href: "https://www\.tradingview\.com/"')


def page() -> str:
    return Client().get("/").content.decode()


def test_page_forbids_what_it_does_not_need() -> None:
    """The page comes with a policy under which only this server's own files run."""
    response = Client().get("/")
    assert response.status_code == 200
    policy = response["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'; connect-src 'self' ws: wss:;")
    assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert Client().post("/").status_code == 405


def test_page_has_nothing_inline_and_nothing_foreign() -> None:
    """No script, style or handler stands in the page, and no address of another server."""
    text = page()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", text)
    assert not re.search(r"https?://|[\"']//", text)


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(FOLDER)) for path in FILES])
def test_files_use_no_other_server_and_no_markup_from_text(path: Path) -> None:
    """The page's files load nothing from elsewhere and never turn text into markup."""
    text = LINKS.sub("", path.read_text().replace("http://www.w3.org/2000/svg", ""))
    assert not re.search(r"https?://", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)


def test_page_suggests_symbols_of_the_demo() -> None:
    """Who opens the page sees some of the simulated market's symbols, escaped."""
    assert 'data-symbols="RELIANCE, ' in page()
    assert "M&amp;M" in page() and "M&M" not in page()


def test_page_knows_the_heartbeat(settings: object) -> None:
    """The page takes a line for dead by the heartbeat that this server is set to."""
    assert 'data-heartbeat-s="15"' in page()
    settings.QUOTES_HEARTBEAT_S = "2.5"  # type: ignore[attr-defined]
    assert 'data-heartbeat-s="2.5"' in page()


@pytest.mark.parametrize("method", ["get", "head", "post"])
def test_address_of_the_websocket_asks_for_an_upgrade(method: str) -> None:
    """HTTP at /live-price is answered by 426, the header of it and a sentence that says how."""
    response = getattr(Client(enforce_csrf_checks=True), method)("/live-price")
    assert (response.status_code, response["Upgrade"]) == (426, "websocket")
    if method != "head":
        assert "ws://testserver/live-price" in response.content.decode()


def test_browsers_get_an_icon_wherever_they_look() -> None:
    """A page without an icon of its own costs no 404."""
    response = Client().get("/favicon.ico")
    assert (response.status_code, response["Content-Type"]) == (200, "image/svg+xml")
    assert response.content.startswith(b"<svg")
