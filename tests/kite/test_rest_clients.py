"""The official clients, unmodified, read quotes, instruments and candles from this server."""

import csv
import json
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.access.deployment import MASTERS, Deployment, Web, deployment_with_history
from tests.kite.factories import show
from tests.kite.test_rest import DAY, MOMENT
from tests.other_clients import NODE_KITE, PYTHON_KITE, node_client, python_client
from tests.ticks import tick
from tests.valkey import ValkeyProcess
from tests.waiting import wait_until

FOLDER = Path(__file__).parent
# A name with an ampersand and one with a space are what a query can get wrong.
NAMES = ("NSE:RELIANCE", "NSE:M&M", "NSE:NIFTY 50", "NFO:M&M26AUGFUT", "NSE:NOSUCH", "738561")
DEPTH = {"buy": [{"price": 2925.5, "quantity": 3, "orders": 2}], "sell": []}


class Site:
    """A server on uvicorn and one on Daphne, and a user of theirs.

    Attributes:
        folder: empty, for programs to run in.
    """

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        self.deployment = deployment
        self.folder = folder
        self.webs = {"uvicorn": deployment.uvicorn(), "daphne": deployment.daphne()}
        self.token: str = deployment.do("user", "asha", ["NSE_EQ", "NFO", "BFO"], [])["access"]

    def wait(self) -> None:
        """Wait until the servers have read the master."""
        for web in self.webs.values():
            wait_until(lambda web=web: web.answers() and self.has_master(web))  # type: ignore[misc]

    def has_master(self, web: Web) -> bool:
        headers = {"Authorization": f"token asha:{self.token}"}
        path = "/instruments/historical/738561/day?from=2024-04-05&to=2024-04-05"
        return web.request("GET", path, **headers)[0] == 200

    def run(self, *command: str | Path, folder: Path | None = None) -> Any:
        """Run a client in its own environment; return what it prints, numbers exactly."""
        options: Any = {"capture_output": True, "text": True, "timeout": 50, "check": False}
        done = subprocess.run(command, cwd=folder or self.folder, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1], parse_float=Decimal)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_server: ValkeyProcess) -> Iterator[Site]:
    redis_server.start()
    folder: Path = tmp_path_factory.mktemp("kite")
    closes = [f"{2900 + minute}.00" for minute in range(15, 45)]
    with deployment_with_history(folder, redis_server.url, closes) as deployment:
        (folder / "cwd").mkdir()
        found = Site(deployment, folder / "cwd")
        found.wait()
        yield found


@pytest.fixture
def published(site: Site, redis: Redis) -> None:
    """Prices of some instruments."""
    more = {"volume": 1000, "last_qty": 7, "last_trade_time": MOMENT, "depth": DEPTH}
    show(
        redis,
        tick("NSE_EQ:RELIANCE", "2925.50", MOMENT, **more),
        *(tick("NSE_EQ:M&M", "2001.05", MOMENT), tick("NSE_INDEX:NIFTY 50", "22513.70", MOMENT)),
        tick("NFO:M&M26AUGFUT", "2010", MOMENT, oi=42),
    )
    redis.hset("quotes:day", "NSE_EQ:RELIANCE", DAY)


@pytest.mark.parametrize("server", ["uvicorn", "daphne"])
def test_the_official_python_client_reads_everything(
    server: str, site: Site, published: None
) -> None:
    """KiteConnect(root=...): ltp, ohlc, quote, instruments, candles, and its exceptions."""
    python = python_client(PYTHON_KITE)
    web = site.webs[server]
    root = f"http://127.0.0.1:{web.port}"
    found = site.run(python, FOLDER / "rest_program.py", root, "asha", site.token, *NAMES)
    ltp = found["ltp"]
    prices = {name: str(one["last_price"]) for name, one in ltp.items()}
    # An index is of a segment that asha is not entitled to; NOSUCH is unknown.
    assert prices == {
        **{"NSE:RELIANCE": "2925.5", "NSE:M&M": "2001.05", "738561": "2925.5"},
        "NFO:M&M26AUGFUT": "2010",
    }
    assert ltp["NFO:M&M26AUGFUT"]["instrument_token"] == 14925314
    ohlc = found["ohlc"]["NSE:RELIANCE"]["ohlc"]
    assert list(map(float, ohlc.values())) == [2900, 2950.10, 2890, 2899.90]
    quote = found["quote"]["NSE:RELIANCE"]
    assert quote["timestamp"] == "datetime 2024-04-05T20:15:00"
    assert quote["last_trade_time"] == "datetime 2024-04-05T20:15:00"
    assert (quote["volume"], quote["last_quantity"]) == (1000, 7)
    assert quote["depth"]["buy"][0] == {"price": Decimal("2925.5"), "quantity": 3, "orders": 2}
    assert found["quote"]["NFO:M&M26AUGFUT"]["oi"] == 42
    assert found["many"] == 1
    check_instruments(found["instruments"])
    assert {row["exchange"] for row in found["of one exchange"]} == {"BFO"}
    minutes = found["minutes"]
    assert [row["date"] for row in minutes] == [
        f"datetime 2024-04-05T09:{n}:00+05:30" for n in range(15, 21)
    ]
    assert (float(minutes[0]["close"]), minutes[0]["volume"], minutes[0]["oi"]) == (2915, 15, 5)
    (hour,) = found["hours"]
    assert hour["date"] == "datetime 2024-04-05T09:15:00+05:30" and "oi" not in hour
    assert (float(hour["close"]), hour["volume"]) == (2944, sum(range(15, 45)))
    (day,) = found["days"]
    assert day["date"] == "datetime 2024-04-05T00:00:00+05:30"
    refused = {name: (kind, code) for name, (kind, code, _) in found["refused"].items()}
    assert refused == {
        "token": ("TokenException", 403),
        "api_key": ("TokenException", 403),
        "too many": ("InputException", 400),
        "exchange": ("InputException", 400),
        "range": ("InputException", 400),
        "segment": ("PermissionException", 403),
    }
    assert found["refused"]["range"][2] == "interval exceeds max limit: 60 days"
    assert site.token not in web.program.text


def check_instruments(rows: list[dict[str, Any]]) -> None:
    """The dump that was served is the dump that was imported."""
    imported = {}
    for path in MASTERS:
        for row in csv.DictReader(path.read_text().splitlines()):
            imported[int(row["instrument_token"])] = row
    assert len(rows) == len(imported)
    for row in rows:
        before = imported[row["instrument_token"]]
        for name in ("exchange_token", "tradingsymbol", "instrument_type", "segment", "exchange"):
            assert row[name] == before[name]
        for name in ("strike", "tick_size", "lot_size", "last_price"):
            assert float(row[name]) == float(before[name])
        assert row["expiry"] == (f"date {before['expiry']}" if before["expiry"] else "")


def test_the_official_javascript_client_reads_quotes(site: Site, published: None) -> None:
    """The client of npm reads latest prices, and the dump of an exchange."""
    folder = node_client(NODE_KITE)
    program = """
        import { KiteConnect } from "kiteconnect";
        const [root, api_key, access_token, ...names] = process.argv.slice(1);
        const kite = new KiteConnect({ api_key, root });
        kite.setAccessToken(access_token);
        const bfo = await kite.getInstruments("BFO");
        console.log(JSON.stringify({
            ltp: await kite.getLTP(names),
            bfo: bfo.length,
            days: await kite.getHistoricalData(738561, "day", "2024-04-05", "2024-04-05"),
        }));
    """
    root = f"http://127.0.0.1:{site.webs['uvicorn'].port}"
    arguments = ("--input-type=module", "-e", program, root, "asha", site.token, *NAMES)
    found = site.run("node", *arguments, folder=folder)
    assert sorted(found["ltp"]) == ["738561", "NFO:M&M26AUGFUT", "NSE:M&M", "NSE:RELIANCE"]
    assert found["bfo"] > 30 and len(found["days"]) == 1
