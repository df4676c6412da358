"""README's snippets work as they stand, beside the demo that it starts."""

import http.client
import http.server
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from redis import Redis

from tests import other_clients
from tests.chromium import find_chromium
from tests.ports import free_port
from tests.programs import ROOT, Program
from tests.serve.conftest import START_S
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

README = (ROOT / "README.md").read_text()
# Language and text of each block, in their order.
BLOCKS = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", README, re.MULTILINE | re.DOTALL)


class Demo(NamedTuple):
    """A running demo."""

    port: int
    redis_port: int
    text: str

    def here(self, snippet: str) -> str:
        """Return a snippet for the port of this demo."""
        return snippet.replace("localhost:5000", f"localhost:{self.port}")

    def has_price(self, symbol: str, price: float) -> bool:
        """Return whether this is the latest price of a symbol."""
        return bool(self.price(symbol) == price)

    def price(self, symbol: str) -> Any:
        """Return the latest price of a symbol."""
        client = http.client.HTTPConnection("localhost", self.port, timeout=START_S)
        client.request("GET", f"/api/prices/{symbol}/")
        price = json.loads(client.getresponse().read()).get("price")
        client.close()
        return price


@pytest.fixture(scope="module")
def demo(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("a demo")
    url = f"sqlite:///{folder / 'db.sqlite3'}"
    shutil.copy(database_url.removeprefix("sqlite:///"), folder / "db.sqlite3")
    port, redis_port = free_port(), free_port()
    environment = {
        **{"DATABASE_URL": url, "HISTORY_DATABASE_URL": url, "PORT": str(port)},
        **{"REDIS_URL": f"redis://localhost:{redis_port}/0"},
        **{"QUOTES_EMBEDDED_FOLDER": str(folder / "valkey")},
    }
    with Program([sys.executable, "manage.py", "serve", "--demo"], **environment) as program:
        program.wait_for("stop       Ctrl-C", timeout_s=START_S)
        found = Demo(port, redis_port, program.text)
        wait_until(lambda: found.price("RELIANCE") is not None, timeout_s=START_S)
        yield found


def block(language: str, part: str) -> str:
    """Return the only block of a language that has a part."""
    (text,) = [text for kind, text in BLOCKS if kind == language and part in text]
    return str(text)


@contextmanager
def other_port(folder: Path) -> Iterator[str]:
    """Serve a folder as a development server does; yield its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    path = find_chromium()
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


FETCH = """
fetch("http://localhost:5000/api/prices/RELIANCE/")
  .then((answer) => answer.json()).then(({ symbol }) => console.log("REST", symbol));
"""


def test_pages_of_this_machine_show_prices(demo: Demo, browser: Any, tmp_path: Path) -> None:
    """A file, and a page on another port: the snippet, the client as a module, and the API."""
    pages = {
        "snippet.html": f"<script>{block('js', 'new Date')}{FETCH}</script>",
        "client.html": block("html", "PriceClient"),
    }
    for name, text in pages.items():
        (tmp_path / name).write_text("<!doctype html><meta charset=utf-8>" + demo.here(text))
    with other_port(tmp_path) as address:
        for url in (tmp_path.as_uri(), address):
            for name, expected in (("snippet.html", "REST RELIANCE"), ("client.html", "RELIANCE")):
                page = browser.new_page()
                lines: list[str] = []
                page.on("console", lambda message, lines=lines: lines.append(message.text))
                page.goto(f"{url}/{name}")
                # Playwright delivers events while it waits.
                wait_until(partial(_has_lines, page, lines, expected), timeout_s=START_S)
                page.close()


def _has_lines(page: Any, lines: list[str], expected: str) -> bool:
    """Return whether a page has written its line, and a price."""
    page.wait_for_timeout(50)
    return any(line.startswith(expected) for line in lines) and any(
        re.match(r"RELIANCE \d", line) for line in lines
    )


@pytest.mark.parametrize("part", ["websockets.sync", "live_price"])
def test_python(demo: Demo, part: str) -> None:
    """With the packages that `make run` installs; the client from its folder."""
    environment = {"PYTHONPATH": str(ROOT / "clients" / "python" / "src")}
    command = [sys.executable, "-u", "-c", demo.here(block("python", part))]
    with Program(command, **environment) as program:
        program.wait_for("RELIANCE ", timeout_s=START_S)


def test_node(demo: Demo) -> None:
    """In any version with the package ws; in newer ones without."""
    folder = other_clients.node_client(other_clients.NODE_WS)
    version = int(subprocess.check_output(["node", "--version"], text=True)[1:].split(".")[0])
    blocks = [block("js", 'require("ws")')]
    if version >= 22:
        blocks.append(block("js", "new Date"))
    for text in blocks:
        node = ["node", "--input-type=commonjs", "--eval", demo.here(text)]
        command = ["env", "-C", str(folder), *node]
        with Program(command) as program:
            program.wait_for("RELIANCE", timeout_s=START_S)


def test_curl(demo: Demo) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl")
    lines = [line for line in block("", "curl ").splitlines() if line]
    assert len(lines) == 3
    for line in lines:
        words = shlex.split(demo.here(line))
        words[1:1] = ["--silent", "--fail", "--max-time", f"{START_S}"]
        assert "RELIANCE" in subprocess.check_output(words, text=True)


def test_publishing(demo: Demo, tmp_path: Path) -> None:
    """With redis-cli, or any client of Redis; with the commands, which find the demo."""
    with Redis(port=demo.redis_port) as redis:
        for line in block("", "redis-cli SET").splitlines():
            program, *words = shlex.split(line)
            assert program == "redis-cli"
            redis.execute_command(*words)
    wait_until(lambda: demo.price("AAPL") == 189.45, timeout_s=START_S)
    (tmp_path / "ticks.jsonl").write_text('{"symbol":"MSFT","price":401.5}\n')
    lines = block("", "publish_price --file").splitlines()
    for line, symbol, price in zip(lines, ("AAPL", "MSFT"), (191.5, 401.5), strict=True):
        text = line.replace("189.45", "191.5").replace("ticks.jsonl", f"{tmp_path}/ticks.jsonl")
        command = [sys.executable, *shlex.split(text)[1:]]
        redis_url = f"redis://localhost:{demo.redis_port}/0"
        subprocess.run(command, cwd=ROOT, env={**os.environ, "REDIS_URL": redis_url}, check=True)
        wait_until(partial(demo.has_price, symbol, price))


def test_the_printed_command_works_in_another_terminal(demo: Demo) -> None:
    """Which has none of the variables with which the demo was started."""
    (command,) = re.findall(r"publish    (.*)", demo.text)
    names = {"REDIS_URL", "REDIS_HOST", "REDIS_PORT", "DATABASE_URL", "HISTORY_DATABASE_URL"}
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-c", command.replace("AAPL 189.45", "PRINTED 12.5")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    wait_until(lambda: demo.price("PRINTED") == 12.5)


def test_watching_in_a_terminal(demo: Demo) -> None:
    words = shlex.split(block("", "watch_prices"))[1:]
    command = [sys.executable, *words, "--count", "2"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PORT": str(demo.port)},
        capture_output=True,
        text=True,
        timeout=START_S,
    )
    assert done.returncode == 0, done.stderr
    assert "RELIANCE" in done.stdout or "NIFTY 50" in done.stdout


def test_settings_of_the_table_exist() -> None:
    """Each is described in docs/settings.md; commands of make are targets."""
    settings = (ROOT / "docs" / "settings.md").read_text()
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \|", README, re.MULTILINE)
    for name in re.findall(r"[A-Z_]{4,}", " ".join(rows)):
        assert f"### {name}\n" in settings
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z]+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_pages_of_documents_are_all_linked() -> None:
    """From README, or from a page that it links."""
    pages = sorted((ROOT / "docs").glob("*.md"))
    texts = {page.name: page.read_text() for page in pages}
    for page in pages:
        others = [text for name, text in texts.items() if name != page.name]
        assert any(f"({page.name}" in text for text in others) or f"docs/{page.name}" in README
