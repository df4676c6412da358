"""The examples of docs/examples.md work as they stand, in the environments that the page names."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from datetime import date
from pathlib import Path

import pytest
from redis import Redis

from instruments.index import index
from instruments.models import Instrument
from quotes.runtime.clock import now_ms
from tests import other_clients
from tests.access.people import PASSWORD, api_key, asha, publisher
from tests.conftest import In
from tests.doc_examples import START_S, Example, examples_of, running, wait_for
from tests.history.factories import minutes, ticks
from tests.instruments.factories import m_and_m, nifty50_index, nifty_option, reliance
from tests.live import LiveServer
from tests.programs import ROOT
from tests.ticks import message, publish
from tests.waiting import eventually

EXAMPLES = examples_of("docs/examples.md")
FOR_OLD_NODE = EXAMPLES.pop("ws.mjs")
STREAMS = {"subscribe-python", "subscribe-js", "resume-python"}
# Topic -> what each of its examples prints.
PRINTS = {
    "price": "2950.05",
    "prices": "M&M",
    "candles": "100.9",
    "ticks": "2930.05",
    "publish": "accepted",
    "search": "NSE_EQ:RELIANCE",
    "chain": "2036-04-24",
    "market": "NSE_EQ",
    "login": "2950.05",
}
# Of curl, what the server answers.
CURL_PRINTS = {"login": '"access"'}
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "clients" / "python" / "src")}

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "history"]),
    pytest.mark.timeout(240),
]


def test_every_example_is_run() -> None:
    """Each has an expected output, or is a stream; each topic has all languages."""
    topics = {name.partition("-")[0] for name in set(EXAMPLES) - STREAMS}
    assert topics == set(PRINTS)
    for topic in topics:
        assert {f"{topic}-{language}" for language in ("curl", "python", "js")} <= set(EXAMPLES)


@pytest.fixture
async def key(live: LiveServer, database: In, required: None, redis: Redis) -> AsyncIterator[str]:
    """A key that reads and publishes, instruments with prices, and a past."""

    def prepare() -> str:
        option = nifty_option("NIFTY36APR18000CE", date(2036, 4, 24), "18000")
        Instrument.objects.bulk_create([reliance(), m_and_m(), nifty50_index(), option])
        index.refresh()
        minutes(3)
        ticks([(1712289301000, "2929.85"), (1712289302000, "2930.05")])
        asha("*", password=PASSWORD)
        return api_key(publisher("feedhandler", "*"), scope="both")

    text = await database(prepare)
    for name, price in (("RELIANCE", "2950.05"), ("M&M", "2031.10")):
        publish(redis, name, message(name, price, now_ms()))
    yield text
    await database(lambda: (Instrument.objects.all().delete(), index.refresh()))


def written(folder: Path, name: str, example: Example, port: int, key: str) -> str:
    """Write an example into a file; return its name."""
    suffix = {"python": ".py", "js": ".mjs", "sh": ".sh"}[example.language]
    (folder / f"{name}{suffix}").write_text(example.at(port, key))
    return f"{name}{suffix}"


def with_js_client(folder: Path) -> None:
    """Let programs in a folder import the JavaScript client, and what it needs before Node 22."""
    modules = folder / "node_modules"
    modules.mkdir()
    (folder / "ws.mjs").write_text(FOR_OLD_NODE.text)
    (modules / "live-price-client").symlink_to(ROOT / "clients" / "js")
    (modules / "ws").symlink_to(
        other_clients.node_client(other_clients.NODE_WS) / "node_modules" / "ws"
    )


def by_shell(folder: Path, files: list[str]) -> list[str]:
    return ["sh", "-c", "; ".join(f"echo; echo '# {one}'; sh {one}" for one in files)]


def by_python(folder: Path, files: list[str]) -> list[str]:
    program = (
        "import runpy, sys\nfor name in sys.argv[1:]:\n    print('#', name)\n"
        "    runpy.run_path(name, run_name='__main__')\n"
    )
    return [sys.executable, "-c", program, *files]


def by_node(folder: Path, files: list[str]) -> list[str]:
    with_js_client(folder)
    lines = [f'console.log("# {one}"); await import("./{one}");' for one in files]
    (folder / "all.mjs").write_text("\n".join([*lines, "process.exit(0);"]))
    return ["node", "all.mjs"]


@pytest.mark.parametrize(
    ("language", "command"), [("curl", by_shell), ("python", by_python), ("js", by_node)]
)
async def test_examples_print_what_they_read(
    language: str,
    command: Callable[[Path, list[str]], list[str]],
    live: LiveServer,
    key: str,
    tmp_path: Path,
) -> None:
    """All examples of a language, one after another: each prints what it is about."""
    names = [name for name in EXAMPLES if name.endswith(f"-{language}") and name not in STREAMS]
    files = [written(tmp_path, name, EXAMPLES[name], live.port, key) for name in names]
    arguments = await asyncio.to_thread(command, tmp_path, files)
    async with running(arguments, tmp_path, ENVIRONMENT) as process, asyncio.timeout(START_S):
        output, _ = await process.communicate()
        text = output.decode()
        assert process.returncode == 0, text
    parts = text.split("\n# " if language == "curl" else "# ")[1:]
    for name, part in zip(names, parts, strict=True):
        topic = name.partition("-")[0]
        expected = CURL_PRINTS.get(topic, PRINTS[topic]) if language == "curl" else PRINTS[topic]
        assert expected in part, f"{name}: {part}"


@pytest.mark.parametrize("name", ["subscribe-python", "subscribe-js"])
async def test_prices_as_they_change(
    name: str, live: LiveServer, key: str, redis: Redis, tmp_path: Path
) -> None:
    """The latest price comes first, then the next one."""
    file = written(tmp_path, name, EXAMPLES[name], live.port, key)
    if name.endswith("js"):
        await asyncio.to_thread(with_js_client, tmp_path)
    program = ["node", "--import", "./ws.mjs"] if name.endswith("js") else [sys.executable]
    async with running([*program, file], tmp_path, ENVIRONMENT) as process:
        await wait_for(process, "2950.05")
        publish(redis, "RELIANCE", message("RELIANCE", "2951.15", now_ms()))
        await wait_for(process, "2951.15")


async def test_program_that_is_started_again_gets_what_it_missed(
    live: LiveServer, key: str, redis: Redis, tmp_path: Path
) -> None:
    """Both ticks of the time between, then live ones."""
    file = written(tmp_path, "resume", EXAMPLES["resume-python"], live.port, key)
    position = tmp_path / "position.json"
    async with running([sys.executable, file], tmp_path, ENVIRONMENT) as process:
        await wait_for(process, "2950.05")
        await eventually(lambda: position.exists() and position.read_text())
    for price in ("2952.25", "2953.35"):
        publish(redis, "RELIANCE", message("RELIANCE", price, now_ms()))
    async with running([sys.executable, file], tmp_path, ENVIRONMENT) as process:
        for price in ("2952.25", "2953.35"):
            await wait_for(process, price)
