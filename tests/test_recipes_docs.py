"""The recipes of docs/recipes.md: those for libraries that the tests have, or install quickly."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis import Redis

from instruments.index import index
from instruments.models import Instrument
from quotes.runtime.clock import now_ms
from tests import other_clients
from tests.access.people import api_key, asha
from tests.conftest import In
from tests.doc_examples import START_S, examples_of, running, wait_for
from tests.history.factories import minutes
from tests.instruments.factories import m_and_m, reliance
from tests.live import LiveServer
from tests.programs import ROOT
from tests.ticks import message, publish

EXAMPLES = examples_of("docs/recipes.md")
# Recipe -> what it prints.
PRINTS = {
    "pandas": "2024-04-05 09:15:00",
    "pandas-csv": "NSE_EQ:RELIANCE",
    "polars": "return",
    "backtrader": "value at the end: 1000",
}
LIVE = "live-frame"
TOO_LARGE_TO_INSTALL = {"vectorbt"}
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "clients" / "python" / "src")}

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "history"]),
    pytest.mark.timeout(260),
]


def test_every_recipe_is_run() -> None:
    """But what takes minutes to install; the page names the versions that were tried."""
    assert set(EXAMPLES) == {*PRINTS, LIVE, *TOO_LARGE_TO_INSTALL}
    page = (ROOT / "docs" / "recipes.md").read_text()
    assert other_clients.PYTHON_BACKTRADER.partition("==")[2] in page


@pytest.fixture
async def key(live: LiveServer, database: In, required: None) -> AsyncIterator[str]:
    def prepare() -> str:
        Instrument.objects.bulk_create([reliance(), m_and_m()])
        index.refresh()
        minutes(60)
        return api_key(asha("*"), scope="read")

    yield await database(prepare)
    await database(lambda: (Instrument.objects.all().delete(), index.refresh()))


def python_of(name: str) -> str:
    if name == "backtrader":
        return str(other_clients.python_client(other_clients.PYTHON_BACKTRADER))
    return sys.executable


@pytest.mark.parametrize("name", PRINTS)
async def test_recipe_prints_what_it_makes(
    name: str, live: LiveServer, key: str, tmp_path: Path
) -> None:
    """Of an hour of candles."""
    program = await asyncio.to_thread(python_of, name)
    (tmp_path / "recipe.py").write_text(EXAMPLES[name].at(live.port, key))
    async with running([program, "recipe.py"], tmp_path, ENVIRONMENT) as process:
        async with asyncio.timeout(START_S):
            output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        assert PRINTS[name] in output.decode(), output.decode()


async def test_live_prices_go_into_a_frame(
    live: LiveServer, key: str, redis: Redis, tmp_path: Path
) -> None:
    """The past first, then each new tick."""
    publish(redis, "RELIANCE", message("RELIANCE", "2950.05", now_ms()))
    (tmp_path / "recipe.py").write_text(EXAMPLES[LIVE].at(live.port, key))
    async with running([sys.executable, "recipe.py"], tmp_path, ENVIRONMENT) as process:
        await wait_for(process, "2950.05")
        publish(redis, "RELIANCE", message("RELIANCE", "2951.15", now_ms()))
        await wait_for(process, "2951.15")
