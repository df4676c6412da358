"""The Python client as a package: built, installed, type-checked, and its examples run."""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest
from redis import Redis

from instruments.index import index
from instruments.models import Instrument
from quotes.history.candles.intervals import Interval
from quotes.history.models import Candle
from quotes.runtime.clock import now_ms
from tests.access.people import PASSWORD, asha
from tests.conftest import In
from tests.history.factories import OPENS, candle
from tests.instruments.factories import nifty50_index, nifty_option, reliance
from tests.live import LiveServer
from tests.programs import ROOT
from tests.ticks import message, publish

CLIENT = ROOT / "clients" / "python"
EXAMPLES = ROOT / "examples" / "python"
DOCUMENT = dict(
    re.findall(
        r"^```python ([\w-]+)\n(.*?)^```$",
        (ROOT / "docs" / "python.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
)
README = re.findall(r"^```python\n(.*?)^```$", (CLIENT / "README.md").read_text(), re.M | re.S)
# What an example prints at the end, once the price is 2951.25.
PRINTS = {
    "live": "RELIANCE 2951.25",
    "candles": "1712288700000",
    "option-chain": "NIFTY99AUG24000CE 7.5",
    "events": "RELIANCE 2951.25",
    "tokens": "RELIANCE 2951.25",
    "sync": "RELIANCE 2951.25",
    "history": "1712288700000",
    "pandas": "2024-04-05 03:45:00+00:00",
    "README 0": "RELIANCE 2951.25",
    "README 1": "RELIANCE 2951.25",
}
_START_S = 45.0

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "history"]),
    pytest.mark.timeout(120),
]


def run(*command: str | Path) -> str:
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution."""
    pytest.importorskip("build", reason="pip install -r requirements-dev.txt")
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, CLIENT)
    assert [one.suffix for one in sorted(folder.iterdir())] == [".whl", ".gz"]
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel, in a folder with a space in its name.

    What the client needs is that of this environment.
    """
    folder = tmp_path_factory.mktemp("python client")
    venv.create(folder)
    interpreter = folder / "bin" / "python"
    options = ("--quiet", "--no-index", "--no-deps", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "--python", interpreter, "install", *options, wheel)
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return interpreter


def test_wheel_has_all_that_it_needs_and_no_more(wheel: Path) -> None:
    """The modules, `py.typed`, and a single requirement; its version is that of the module."""
    with zipfile.ZipFile(wheel) as files:
        names = {name for name in files.namelist() if not name.endswith("/")}
        [metadata] = [name for name in names if name.endswith("/METADATA")]
        text = files.read(metadata).decode()
    modules = {f"live_price/{one.name}" for one in (CLIENT / "src/live_price").glob("*.*")}
    assert {name for name in names if ".dist-info/" not in name} == modules
    assert "live_price/py.typed" in names
    required = re.findall(r"^Requires-Dist: ([^;\n]+)$", text, re.MULTILINE)
    assert [one.split(">")[0] for one in required] == ["websockets"]
    assert "Name: live-price-client" in text and "# live-price-client" in text
    import live_price

    assert f"\nVersion: {live_price.__version__}\n" in text


def test_client_imports_nothing_of_the_server() -> None:
    """The standard library, websockets, and itself."""
    for path in (CLIENT / "src" / "live_price").glob("*.py"):
        for name in re.findall(r"^(?:from|import) ([\w]+)", path.read_text(), re.MULTILINE):
            assert name in {"live_price", "websockets"} | sys.stdlib_module_names, (path, name)


def test_examples_are_typed(python: Path, tmp_path: Path) -> None:
    """Strictly, against the installed package; a mistake of a user is found."""
    (tmp_path / "check_types.py").write_text(
        "from decimal import Decimal\n\n"
        "from live_price import Candle, PriceClient, RestClient, Tick, sync\n\n\n"
        "async def check() -> None:\n"
        '    prices = PriceClient("x", exact=True)\n'
        '    async for tick in prices.subscribe("A"):\n'
        "        exact: Tick[Decimal] = tick\n"
        "        wrong: Tick[float] = tick  # type: ignore[assignment]\n"
        "        print(exact, wrong)\n"
        '    async for one in PriceClient("x").subscribe("A", candles="1m"):\n'
        "        candle: Candle[float] = one\n"
        "        print(candle)\n"
        "    prices.subscribe(7)  # type: ignore[call-overload]\n"
        '    rows: list[Candle[float]] = await RestClient("x").candles("A", interval="1d")\n'
        "    print(rows)\n\n\n"
        'for price in sync.PriceClient("x").subscribe(["A"]):\n'
        "    number: float = price.price\n"
    )
    for name, text in DOCUMENT.items():
        (tmp_path / f"document_{name.replace('-', '_')}.py").write_text(text)
    options = ["--strict", "--config-file=", "--cache-dir", str(tmp_path / "cache")]
    options += ["--python-executable", str(python)]
    files = [*sorted(EXAMPLES.glob("*.py")), *sorted(tmp_path.glob("*.py"))]
    run(sys.executable, "-m", "mypy", *options, *files)


def test_examples_are_those_of_the_page() -> None:
    """A file of examples/python and the example of docs/python.md are the same program."""
    for path in EXAMPLES.glob("*.py"):
        program = path.read_text().partition('"""\n\n')[2]
        assert program in DOCUMENT.values(), path
    assert set(PRINTS) == {*DOCUMENT, *(f"README {n}" for n in range(len(README)))}


@pytest.fixture
async def server(live: LiveServer, database: In, redis: Redis) -> AsyncIterator[LiveServer]:
    """A server with instruments, candles and a price."""

    def prepare() -> None:
        option = nifty_option("NIFTY99AUG24000CE", date(2099, 8, 25), "24000", "CE")
        Instrument.objects.bulk_create([reliance(), nifty50_index(), option])
        index.refresh()
        Candle.objects.bulk_create([candle(OPENS), candle(OPENS, interval=Interval.parse("5m"))])

    await database(prepare)
    publish(redis, "NFO:NIFTY99AUG24000CE", message("NIFTY99AUG24000CE", "7.5", now_ms()))
    yield live
    await database(lambda: (Instrument.objects.all().delete(), index.refresh()))


def log_in_with_password() -> None:
    user = asha("*")
    user.set_password(PASSWORD)
    user.save()


@pytest.mark.parametrize("name", PRINTS)
async def test_example_works(
    name: str, server: LiveServer, redis: Redis, python: Path, database: In
) -> None:
    """With the address of the server in it, as it stands on the page."""
    if name == "tokens":
        await database(log_in_with_password)
    text = DOCUMENT.get(name) or README[int(name[-1])]
    text = text.replace("localhost:5000", f"127.0.0.1:{server.port}")
    process = await asyncio.create_subprocess_exec(
        *(python, "-u", "-c", text),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONWARNINGS": ""},
    )
    lines: list[str] = []
    try:
        async with asyncio.timeout(_START_S):
            publish(redis, "NSE_EQ:RELIANCE", message("RELIANCE", "2951.25", now_ms()))
            assert process.stdout is not None
            async for line in process.stdout:
                lines.append(line.decode())
                if PRINTS[name] in lines[-1]:
                    return
    except TimeoutError:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    raise AssertionError(f"{PRINTS[name]} is not in:\n{''.join(lines)}")
