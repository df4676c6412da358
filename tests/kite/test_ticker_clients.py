"""The official tickers, unmodified, on both servers: what they get is what was published."""

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from quotes.publish.publishing import publish_ticks
from quotes.runtime.clock import now_ms
from quotes.ticks import Tick
from tests.access.deployment import Deployment, Web
from tests.kite.ticker_client import TickerClient
from tests.other_clients import NODE_KITE, PYTHON_KITE, node_client, python_client
from tests.programs import Program
from tests.ticks import tick
from tests.valkey import ValkeyProcess
from tests.waiting import wait_until

FOLDER = Path(__file__).parent
SHARES = range(2_997)
NIFTY, USDINR, CRUDEOIL = 256265, 1234 << 8 | 3, 2345 << 8 | 7
OTHERS = {NIFTY: "NSE:NIFTY 50", USDINR: "CDS:USDINR99APRFUT", CRUDEOIL: "MCX:CRUDEOIL99APRFUT"}
HEAD = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,"
    "lot_size,instrument_type,segment,exchange"
)
SERVERS = ("uvicorn", "daphne")
SILENCE_S = 15


def token_of(number: int) -> int:
    return (10_000 + number) << 8 | 1


TOKENS = {**{token_of(n): f"NSE:S{n}" for n in SHARES}, **OTHERS}


def master() -> str:
    """Return a dump of 3,000 instruments in Kite's format."""
    rows = [
        HEAD,
        f"{NIFTY},1001,NIFTY 50,NIFTY 50,0,,0,0,0,EQ,INDICES,NSE",
        f"{USDINR},{USDINR >> 8},USDINR99APRFUT,USDINR,0,2099-04-28,0,0.0025,1,FUT,CDS-FUT,CDS",
        f"{CRUDEOIL},{CRUDEOIL >> 8},CRUDEOIL99APRFUT,CRUDEOIL,0,2099-04-19,0,1,1,FUT,MCX-FUT,MCX",
        *(f"{token_of(n)},{10_000 + n},S{n},S{n},0,,0,0.05,1,EQ,NSE,NSE" for n in SHARES),
    ]
    return "\n".join(rows) + "\n"


class Round:
    """Prices of all instruments, published together; each round has others.

    Every price is in steps of 0.05, or 0.0025 for the currency.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.at = now_ms()
        self.values = {token: self._values(token) for token in TOKENS}

    def _values(self, token: int) -> dict[str, Any]:
        n = self.number * 7 + (token >> 8) % 1000
        step = 0.0025 if token == USDINR else 0.05
        base = 60 if token == USDINR else 1000
        best = [round(base + (n + k) * step, 4) for k in range(20)]

        def side(prices: list[float]) -> list[dict[str, Any]]:
            return [
                {"price": price, "quantity": n + k, "orders": k + 1}
                for k, price in enumerate(prices, 1)
            ]

        return {
            **{"price": best[5], "open": best[3], "high": best[12], "low": best[0]},
            **{"prev_close": best[2], "avg_price": best[4], "last_qty": n, "volume": n + 10**6},
            **{"buy_qty": n + 500, "sell_qty": n + 700, "oi": n + 5, "oi_day_high": n + 9},
            **{"oi_day_low": n + 1, "last_trade_time": self.at - 2500},
            "depth": {"buy": side(best[4::-1]), "sell": side(best[6:11])},
        }

    def ticks(self, tokens: list[int]) -> list[Tick]:
        found = []
        for token in tokens:
            values = dict(self.values[token])
            price = str(values.pop("price"))
            found.append(tick(TOKENS[token], price, self.at, **values))
        return found

    def expected(self, token: int, mode: str) -> dict[str, Any]:
        """Return the tick that the official clients have to give."""
        values = self.values[token]
        last, close = values["price"], values["prev_close"]
        found: dict[str, Any] = {
            "tradable": token != NIFTY,
            "mode": mode,
            "instrument_token": token,
            "last_price": last,
        }
        if mode == "ltp":
            return found
        ohlc = {name: values[name] for name in ("open", "high", "low")}
        found |= {
            "ohlc": {**ohlc, "close": close},
            "change": (last - close) * 100 / close,
        }
        times = {"exchange_timestamp": self.at // 1000} if mode == "full" else {}
        if token == NIFTY:
            return found | times
        found |= {
            "last_traded_quantity": values["last_qty"],
            "average_traded_price": values["avg_price"],
            "volume_traded": values["volume"],
            "total_buy_quantity": values["buy_qty"],
            "total_sell_quantity": values["sell_qty"],
        }
        if mode == "full":
            found |= times | {
                "last_trade_time": (self.at - 2500) // 1000,
                "depth": values["depth"],
                **{name: values[name] for name in ("oi", "oi_day_high", "oi_day_low")},
            }
        return found


class Site:
    """A bridge, a server on uvicorn and one on Daphne, a master and a user."""

    def __init__(self, deployment: Deployment, folder: Path, redis: Redis) -> None:
        self.deployment = deployment
        self.folder = folder
        self.redis = redis
        dump = folder / "instruments.csv"
        dump.write_text(master())
        deployment.do("call", "import_instruments", str(dump))
        segments = ["NSE_EQ", "NSE_INDEX", "CDS", "MCX"]
        self.token: str = deployment.do("user", "asha", segments, [])["access"]
        self.webs = {name: self.start(name) for name in SERVERS}

    def start(self, server: str, *options: str) -> Web:
        if server == "uvicorn":
            return self.deployment.uvicorn(*options)
        return self.deployment.daphne("--access-log", "-", *options)

    def restart(self) -> None:
        """End both servers and start them again where they were."""
        for web in self.webs.values():
            web.program.process.terminate()
        for name, web in self.webs.items():
            web.program.process.wait(20)
            port = str(web.port)
            self.webs[name] = self.start(name, "--port" if name == "uvicorn" else "-p", port)
            self.webs[name].port = web.port

    def client(self, language: str, server: str, token: str = "") -> TickerClient:
        root = f"ws://127.0.0.1:{self.webs[server].port}/kite"
        arguments = [root, "asha", token or self.token]
        name = f"{language} on {server}"
        log = self.folder / f"{name}.log"
        if language == "python":
            program: list[str | Path] = [python_client(PYTHON_KITE), FOLDER / "ticker_program.py"]
            return TickerClient(name, [*program, *arguments], folder=self.folder, log=log)
        program = ["node", FOLDER / "ticker_program.mjs"]
        folder = node_client(NODE_KITE)
        return TickerClient(name, [*program, *arguments], folder=folder, log=log)

    @contextlib.contextmanager
    def clients(self, token: str = "") -> Iterator[list[TickerClient]]:
        """Run each client with each server."""
        with contextlib.ExitStack() as stack:
            yield [
                stack.enter_context(self.client(language, server, token))
                for language in ("python", "javascript")
                for server in SERVERS
            ]

    def publish(self, prices: Round, tokens: list[int]) -> None:
        publish_ticks(prices.ticks(tokens), client=self.redis)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_server: ValkeyProcess) -> Iterator[Site]:
    redis_server.start()
    redis = Redis.from_url(redis_server.url, socket_timeout=5)
    redis.flushall()
    folder: Path = tmp_path_factory.mktemp("ticker")
    with Deployment(
        folder,
        redis_server.url,
        INSTRUMENTS_FOLLOW_MASTER="true",
        QUOTES_AUTH="required",
        LOG_LEVEL="DEBUG",
    ) as deployment:
        found = Site(deployment, folder, redis)
        command = [sys.executable, "manage.py", "bridge_prices"]
        with Program(command, **deployment.environment) as bridge:
            bridge.wait_for("bridging")
            yield found
    redis.close()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_official_tickers_get_what_is_published(site: Site) -> None:
    """3,000 tokens in three modes, through changes, 15 s of silence and a restart."""
    tokens = list(TOKENS)
    first = Round(0)
    site.publish(first, tokens)
    wait_until(lambda: site.redis.hlen("quotes:latest") == len(tokens))
    with site.clients() as clients:

        def all_get(prices: Round, modes: dict[int, str]) -> None:
            expected = {token: prices.expected(token, mode) for token, mode in modes.items()}
            for client in clients:
                client.wait_for_ticks(expected)

        # All tokens in one message: each begins as a quote.
        for client in clients:
            client.wait_for("connect")
            client.send("subscribe", tokens)
        modes = dict.fromkeys(tokens, "quote")
        all_get(first, modes)

        # A change of mode brings the newest price in that mode.
        full, ltp = [*OTHERS, *tokens[:7]], tokens[7:17]
        for client in clients:
            client.send("set_mode", "full", full)
            client.send("set_mode", "ltp", ltp)
        modes |= {**dict.fromkeys(full, "full"), **dict.fromkeys(ltp, "ltp")}
        all_get(first, modes)

        # Then changes come as they are published, of what is subscribed.
        gone = tokens[20]
        for client in clients:
            client.send("unsubscribe", [gone])
            client.send("set_mode", "ltp", tokens[16:17])
        modes.pop(gone)
        changed = tokens[:100] + list(OTHERS)
        second = Round(1)
        site.publish(second, changed)
        now = {token: modes[token] for token in changed if token != gone}
        all_get(second, now)
        all_get(first, {token: mode for token, mode in modes.items() if token not in now})

        # The clients drop a line on which they hear nothing for 5 s; pings are answered.
        begun = time.monotonic()
        wait_until(lambda: time.monotonic() - begun > SILENCE_S, timeout_s=2 * SILENCE_S)
        for client in clients:
            assert [one["event"] for one in client.events()] == ["connect"], client.name
        third = Round(2)
        site.publish(third, changed)
        all_get(third, now)

        # After a restart they come back by themselves, with what they were subscribed to.
        for client in clients:
            client.newest.clear()
        site.restart()
        for client in clients:
            client.wait_for("connect", count=2)
        all_get(third, now)
        all_get(first, {token: mode for token, mode in modes.items() if token not in now})
        fourth = Round(3)
        site.publish(fourth, changed)
        all_get(fourth, now)
        assert all(gone not in client.newest for client in clients)
    for web in site.deployment.webs:
        assert "/kite" in web.program.text and site.token not in web.program.text


def test_bad_token_is_refused_and_reported(site: Site) -> None:
    """The clients report the status of the handshake, and try again."""
    with site.clients(token=site.token[:-4] + "AAAA") as clients:
        for client in clients:
            assert "403" in client.wait_for("error")["reason"]
            client.wait_for("reconnect")
            assert not client.events("connect")
    for web in site.deployment.webs:
        assert site.token[:40] not in web.program.text
