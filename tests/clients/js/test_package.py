"""The JavaScript client as npm packs it: installed, type-checked, and run by its examples."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from redis import Redis

from tests.clients.js.node import HERE, SOURCE
from tests.history.conftest import history, sqlite_template
from tests.history.test_socket import publish as publish_logged
from tests.history.test_socket import record_here, stored
from tests.live import LiveServer
from tests.other_clients import NODE_TYPES, node_client
from tests.programs import ROOT
from tests.ticks import message, publish, tick
from tests.waiting import DEADLINE_S

__all__ = ["history", "sqlite_template", "stored"]

EXAMPLES = ROOT / "examples" / "js"


def run(*command: str, folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def snippets() -> list[str]:
    """Return the examples of the documents as modules of their own."""
    found = []
    for path in (ROOT / "docs" / "javascript.md", SOURCE.parent / "README.md"):
        for text in re.findall(r"^```js\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE):
            text = text.replace('"/static/client/live-price.js"', '"live-price-client"')
            found.append(text)
    assert len(found) >= 6
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a space in its name, with the packed client and the examples."""
    packages = node_client(*NODE_TYPES) / "node_modules"
    folder = tmp_path_factory.mktemp("js client")
    listing = run("npm", "pack", "--json", "--pack-destination", str(folder), folder=SOURCE.parent)
    (packed,) = json.loads(listing)
    files = {one["path"] for one in packed["files"]}
    assert {"README.md", "package.json", "src/live-price.js", "src/live-price.d.ts"} <= files
    assert {f"src/{path.name}" for path in SOURCE.iterdir()} <= files
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    options = ["--offline", "--no-audit", "--no-fund", "--no-package-lock"]
    run("npm", "install", *options, packed["filename"], folder=folder)
    for name in ("@types", "ws", "typescript", "undici-types"):
        (folder / "node_modules" / name).symlink_to(packages / name)
    for path in EXAMPLES.glob("*.mjs"):
        shutil.copy(path, folder)
    for number, snippet in enumerate(snippets()):
        (folder / f"snippet{number}.mjs").write_text(snippet)
    shutil.copytree(SOURCE, folder / "src")
    shutil.copytree(HERE / "types", folder / "types")
    return folder


@pytest.mark.timeout(180)
def test_types(installed: Path) -> None:
    """Declarations, implementation, examples, snippets and a user's program are strictly typed."""
    options = {
        "strict": True,
        "noUncheckedIndexedAccess": True,
        "allowJs": True,
        "checkJs": True,
        "noEmit": True,
        "target": "ES2022",
        "module": "NodeNext",
        "lib": ["ES2022", "DOM", "DOM.Iterable"],
        "types": ["node"],
        "skipLibCheck": True,
    }
    wanted = {"compilerOptions": options, "include": ["src", "types", "*.mjs"]}
    (installed / "tsconfig.json").write_text(json.dumps(wanted))
    compiler = installed / "node_modules" / "typescript" / "bin" / "tsc"
    run("node", str(compiler), "-p", ".", folder=installed)


async def example(folder: Path, url: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        "node",
        *arguments,
        cwd=folder,
        env={**os.environ, "PRICES_URL": url},
        stdout=asyncio.subprocess.PIPE,
    )


async def test_example_watches_prices(installed: Path, live: LiveServer, redis: Redis) -> None:
    """It prints each price with its digits, until Ctrl-C."""
    publish(redis, "AAPL", message("AAPL", "189.450"))
    process = await example(installed, live.url, "watch.mjs", "AAPL")
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        assert (await process.stdout.readline()).split() == [b"AAPL", b"189.450"]
        process.send_signal(2)
        assert await process.wait() == 0


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("history", ["sqlite"], indirect=True)
async def test_example_writes_candles(installed: Path, live: LiveServer, redis: Redis) -> None:
    """A CSV on the standard output; an error is one line and a status."""
    await publish_logged(redis, tick("AAPL", "189.450"))
    await asyncio.to_thread(record_here, redis)
    url = f"http://127.0.0.1:{live.port}"
    process = await example(installed, url, "history.mjs", "AAPL", "7m")
    async with asyncio.timeout(DEADLINE_S):
        text, _ = await process.communicate()
        assert text == b""
        assert process.returncode == 1
        process = await example(
            installed, url, "history.mjs", "AAPL", "1m", "2024-04-05", "2024-04-05"
        )
        text, _ = await process.communicate()
    assert text.decode().splitlines() == [
        "start,open,high,low,close,volume",
        "2024-04-05T15:45:00.000Z,189.450,189.450,189.450,189.450,",
    ]
