"""Chromium by Playwright: one browser of a test module, a page of its own for each test."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Locator, Page, sync_playwright

from tests.chromium import find_chromium
from tests.waiting import DEADLINE_S, wait_until

OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
DEADLINE_MS = DEADLINE_S * 2000


@contextmanager
def started_browser() -> Iterator[Browser]:
    """A headless Chromium, of Debian or at CHROMIUM."""
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=OPTIONS, timeout=60_000)
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A person's visit: a browser with an empty storage, and one page. Errors are in `errors`."""

    def __init__(self, browser: Browser, **options: Any) -> None:
        options = {"viewport": {"width": 1366, "height": 768}, "locale": "en-IN"} | options
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(DEADLINE_MS)
        self.page: Page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self._hear(message.type, message.text))

    def _hear(self, kind: str, text: str) -> None:
        # A server that is down is what some tests are about, and the chart library may be missing.
        if kind == "error" and not re.search(
            r"WebSocket connection|ERR_|status of (4|5)|/vendor/", text
        ):
            self.errors.append(text)

    def open(self, url: str) -> None:
        self.page.goto(url)

    def close(self) -> None:
        self.context.close()

    # -- the watch list -----------------------------------------------------------------------

    def row(self, symbol: str) -> Locator:
        name = self.page.locator(".symbol-name", has_text=re.compile(f"^{re.escape(symbol)}$"))
        return self.page.locator(".grid-space .row", has=name)

    def cell(self, symbol: str, column: str) -> Locator:
        return self.row(symbol).locator(f".c-{column}")

    def wait_for_cell(self, symbol: str, column: str, text: str) -> None:
        self._wait(f".c-{column}", symbol, text)

    def wait_for_note(self, symbol: str, text: str) -> None:
        self._wait(".note", symbol, text)

    def _wait(self, selector: str, symbol: str, text: str) -> None:
        """Wait until an element in the row of a symbol has a text in it."""
        self.wait_for(
            """([symbol, selector, text]) => {
              const rows = [...document.querySelectorAll(".grid-space .row")];
              const row = rows.find(
                (row) => row.querySelector(".symbol-name").textContent === symbol,
              );
              return row?.querySelector(selector).textContent.includes(text);
            }""",
            [symbol, selector, text],
        )

    def wait_for(self, expression: str, argument: Any = None) -> None:
        """Wait until an expression, or a function of the argument, is true in the page."""
        # Playwright's own way to wait evaluates text, which the page's policy forbids.
        wait_until(lambda: self.page.evaluate(expression, argument), timeout_s=2 * DEADLINE_S)

    def wait_for_state(self, *states: str) -> None:
        found = json.dumps(states)
        self.wait_for(f"{found}.includes(document.querySelector('#state').dataset.state)")

    def symbols(self) -> list[str]:
        """The symbols of the visible rows, from top to bottom."""
        found = self.page.evaluate(
            """[...document.querySelectorAll(".grid-space .row")]
              .sort((a, b) => a.ariaRowIndex - b.ariaRowIndex)
              .map((row) => row.querySelector(".symbol-name").textContent)"""
        )
        return [str(symbol) for symbol in found]

    def search(self, text: str) -> Locator:
        """Type into the search and return the suggestions."""
        if self.page.evaluate("document.activeElement.id") != "search":
            self.page.keyboard.press("/")
        self.page.keyboard.type(text)
        return self.page.locator("#suggestions [role=option]")

    def add(self, text: str) -> None:
        self.search(text)
        self.page.keyboard.press("Enter")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def overflows(self) -> bool:
        """Whether the page, or the grid in it, would scroll sideways."""
        return bool(
            self.page.evaluate(
                """[document.documentElement, document.body, document.querySelector("#grid")]
                  .some((element) => element.scrollWidth > element.clientWidth)"""
            )
        )
