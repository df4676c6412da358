"""A headless Chromium driven over its DevTools protocol: pages as a person gets them."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.waiting import DEADLINE_S, wait_until

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--force-prefers-reduced-motion",
    "--remote-debugging-port=0",
    "about:blank",
)


def find_chromium() -> str:
    """Return the path of a Chromium; skip the test, or fail it in CI, where there is none."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        reason = "no Chromium: install Debian's package chromium, or set CHROMIUM to its path"
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class Chromium:
    """A browser with one page. Errors of the page and its console are in `errors`."""

    def __init__(self) -> None:
        self.path = find_chromium()
        self.folder = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        self.stack = ExitStack()
        self.errors: list[str] = []
        self.last_id = 0

    def __enter__(self) -> "Chromium":
        try:
            port = self._started()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
                page = next(one for one in json.load(answer) if one["type"] == "page")
            self.socket = self.stack.enter_context(
                connect(page["webSocketDebuggerUrl"], max_size=None)
            )
            for domain in ("Page", "Runtime", "Log"):
                self.command(f"{domain}.enable")
        except BaseException:
            self.close()
            raise
        return self

    def _started(self) -> str:
        """Start the browser and return its port; once more if it hangs, with a new profile."""
        try:
            return self._start()
        except AssertionError:
            self.process.kill()
            self.process.wait()
            return self._start()

    def _start(self) -> str:
        profile = Path(tempfile.mkdtemp(dir=self.folder.name))
        with open(profile / "stderr", "wb") as errors:
            self.process = subprocess.Popen(
                [self.path, f"--user-data-dir={profile}", *OPTIONS],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        port_file = profile / "DevToolsActivePort"
        try:
            wait_until(lambda: port_file.exists() and port_file.read_text().count("\n"))
        except AssertionError as error:
            told = (profile / "stderr").read_text(errors="replace")[-1000:]
            raise AssertionError(f"{self.path} did not start: {told}") from error
        return port_file.read_text().splitlines()[0]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.stack.close()
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and return its result."""
        self.last_id += 1
        self.socket.send(json.dumps({"id": self.last_id, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv(timeout=DEADLINE_S))
            if message.get("id") == self.last_id:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result
            self.note(message)

    def note(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        if message["method"] == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", str(details)))
        elif message["method"] == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            entry = parameters["entry"]
            self.errors.append(f"{entry['text']} {entry.get('url', '')}")

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self.command("Page.navigate", url=url)
        wait_until(
            lambda: (
                self.evaluate("location.href") == url
                and self.evaluate("document.readyState") == "complete"
            )
        )

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page; promises are awaited."""
        result = self.command(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait_for(self, expression: str, *, timeout_s: float = DEADLINE_S) -> None:
        """Return when a JavaScript expression is true in the page."""

        def holds() -> bool:
            return bool(self.evaluate(expression))

        wait_until(Condition(expression, holds), timeout_s=timeout_s)

    def type(self, selector: str, text: str) -> None:
        """Type into an element, and Enter, as a keyboard does."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")
        self.command("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            self.command(
                "Input.dispatchKeyEvent",
                type=kind,
                key="Enter",
                code="Enter",
                windowsVirtualKeyCode=13,
                text="\r" if kind == "keyDown" else "",
            )

    def screenshot(self, path: Path, *, width: int, height: int, dark: bool = False) -> None:
        """Save a picture of the page as a screen of this size shows it."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])
        picture = self.command("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(picture["data"]))


class Condition:
    """A condition that prints as the expression that it looks at."""

    def __init__(self, expression: str, holds: Callable[[], bool]) -> None:
        self.expression = expression
        self.holds = holds

    def __call__(self) -> bool:
        return self.holds()

    def __repr__(self) -> str:
        return self.expression
