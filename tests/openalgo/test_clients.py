"""The package `openalgo`, unmodified from PyPI, streams and reads from this server."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from quotes.runtime.clock import date_of, now_ms
from tests.access.deployment import Deployment, Web, deployment_with_history
from tests.other_clients import PYTHON_OPENALGO, python_client
from tests.programs import Program
from tests.ticks import message, publish
from tests.valkey import ValkeyProcess
from tests.waiting import wait_until

FOLDER = Path(__file__).parent
OPTION = "NIFTY18AUG2622050CE"
DEPTH = {
    "buy": [{"price": 2950.45, "quantity": 5, "orders": 2}],
    "sell": [{"price": 2950.55, "quantity": 7, "orders": 3}],
}

pytestmark = pytest.mark.timeout(120)


class Site:
    """A bridge, a server on uvicorn, one on Daphne, and the key of a user."""

    def __init__(self, deployment: Deployment) -> None:
        self.webs = {"uvicorn": deployment.uvicorn(), "daphne": deployment.daphne()}
        deployment.do("user", "asha", ["NSE_EQ", "NFO"], [])
        self.key: str = deployment.do("api_key", "asha")

    def has_master(self, web: Web) -> bool:
        body = {"apikey": self.key, "symbol": "RELIANCE", "exchange": "NSE"}
        return web.request("POST", "/openalgo/api/v1/symbol", body)[0] == 200


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_server: ValkeyProcess) -> Iterator[Site]:
    redis_server.start()
    folder: Path = tmp_path_factory.mktemp("openalgo")
    closes = [f"{2900 + minute}.05" for minute in range(15, 18)]
    with deployment_with_history(folder, redis_server.url, closes) as deployment:
        found = Site(deployment)
        for web in found.webs.values():
            wait_until(lambda web=web: web.answers() and found.has_master(web))  # type: ignore[misc]
        command = [sys.executable, "manage.py", "bridge_prices"]
        with Program(command, **deployment.environment) as bridge:
            bridge.wait_for("bridging")
            yield found


@pytest.mark.parametrize("server", ["uvicorn", "daphne"])
def test_the_python_client_streams_and_reads(server: str, site: Site, redis: Redis) -> None:
    """FeedAPI in three modes, an unsubscribe, a partial answer; REST; a wrong key; the log."""
    python = python_client(PYTHON_OPENALGO)
    web = site.webs[server]
    moment = now_ms()
    day = f'{{"date":"{date_of(moment)}","open":9,"high":9,"low":9,"prev_close":2900,"volume":1}}'
    redis.hset("quotes:day", "NFO:NIFTY2681822050CE", day)

    def show(name: str, price: str, number: int) -> None:
        more: dict[str, Any] = {"open": 2900.5, "volume": 7, "last_qty": 3, "depth": DEPTH}
        publish(redis, name, message(name, price, moment + number, **more))

    show("RELIANCE", "2950.50", 0)
    show("NIFTY2681822050CE", "100.05", 0)
    wait_until(lambda: redis.hlen("quotes:latest") == 2)
    root = f"http://127.0.0.1:{web.port}/openalgo"
    # One server is enough for the five seconds that the client waits in vain.
    keys = [site.key, *([site.key[:-1]] if server == "uvicorn" else [])]
    with Program([str(python), str(FOLDER / "program.py"), root, *keys]) as program:
        program.wait_for("SUBSCRIBED", timeout_s=45)
        show("RELIANCE", "2951.25", 1)
        program.wait_for("UNSUBSCRIBED")
        show("RELIANCE", "2952.00", 2)
        program.wait_for("FOUND", timeout_s=45)
        found = json.loads(program.lines[-1].partition(" ")[2])
    check_stream(found["stream"], moment)
    check_requests(found["requests"])
    if server == "uvicorn":
        assert found["entered"] is False and found["wrong"]["code"] == 403
        assert "invalid apikey" in found["wrong"]["message"]
    assert site.key not in web.program.text and site.key[:-1] not in web.program.text


def check_stream(found: dict[str, Any], moment: int) -> None:
    assert found["ltp"] == {"timestamp": moment, "ltp": 2950.50}
    quote = found["quotes"]["NSE"]["RELIANCE"]
    assert (quote["ltp"], quote["open"], quote["volume"]) == (2950.50, 2900.5, 7)
    assert (quote["timestamp"], quote["last_trade_quantity"]) == (moment, 3)
    option = found["quotes"]["NFO"][OPTION]
    assert (option["ltp"], option["avg_trade_price"]) == (100.05, 0)
    depth = found["depth"]
    assert depth["buyBook"]["1"] == {"price": 2950.45, "qty": 5, "orders": 2}
    assert depth["sellBook"]["1"] == {"price": 2950.55, "qty": 7, "orders": 3}
    assert depth["buyBook"]["5"] == {"price": 0.0, "qty": 0, "orders": 0}
    assert found["ltp after unsubscribing"] == [{}, 0]
    kinds = [one["type"] for one in found["answers"]]
    assert kinds == ["auth", *["subscribe"] * 4, "unsubscribe", "subscribe", "pong"]
    assert found["answers"][0]["user_id"] == "asha"
    partial = found["answers"][-2]
    assert partial["status"] == "partial"
    # asha is not entitled to indices.
    assert [one["status"] for one in partial["subscriptions"]] == ["success", "error", "error"]


def check_requests(found: dict[str, Any]) -> None:
    assert found["quotes"]["data"]["ltp"] == 2952
    results = found["multiquotes"]["results"]
    assert [one.get("data", {}).get("ltp") for one in results] == [2952, None, 100.05]
    assert results[0]["symbol"] == "RELIANCE" and "error" in results[1]
    assert found["depth"]["data"]["bids"][0] == {"price": 2950.45, "quantity": 5}
    # open, high, low, close, volume, oi, in the order of the answer.
    assert found["minutes"] == [
        [f"2024-04-05 09:{n}:00+05:30", 2900, 2999.5, 2899.1, 2900.05 + n, n, 5]
        for n in range(15, 18)
    ]
    assert found["daily"] == [["2024-04-05 00:00:00", 2900, 2999.5, 2899.1, 2917.05, 48, 5]]
    assert found["intervals"]["data"]["days"] == ["D"]
    assert found["symbol"]["data"]["brsymbol"] == "NIFTY2681822050CE"
    assert [one["symbol"] for one in found["search"]["data"]] == [
        OPTION,
        "NIFTY01SEP2622050PE",
    ]
    assert found["expiry"]["data"] == ["25-AUG-26", "27-OCT-26"]
    assert found["instruments"] > 10
    refused = found["refused"]
    assert {name: one["code"] for name, one in refused.items()} == {
        "symbol": 400,
        "exchange": 400,
        "segment": 403,
        "order": 404,
    }
    assert "not entitled to NSE_INDEX" in refused["segment"]["message"]
