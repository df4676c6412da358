"""A service of real processes that records, and an empty machine to restore into."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from redis import Redis

from quotes.runtime.clock import now_ms
from tests.access.deployment import MASTERS, Web
from tests.databases import copy_migrated
from tests.ports import free_port
from tests.programs import ROOT, Program
from tests.valkey import ValkeyProcess
from tests.waiting import PAUSE_S, wait_until

# Names of the master, names that it does not have, and one whose key has to be escaped in files.
SYMBOLS = ("RELIANCE", "NSE_EQ:M&M", "NIFTY 50", "AAPL", "=1+1", "MCX:GOLD26DECFUT")


class Machine:
    """A machine: a Redis and databases of its own, an operator, and the processes that are started.

    Args:
        database_url: of an empty PostgreSQL database for everything; default: SQLite files.
    """

    def __init__(self, folder: Path, database_url: str = "") -> None:
        folder.mkdir()
        self.folder = folder
        self.redis_server = ValkeyProcess(free_port())
        self.redis_server.start()
        self.redis = Redis(port=self.redis_server.port)
        self.environment = {
            "DATABASE_URL": database_url or f"sqlite:///{folder / 'site.sqlite3'}",
            "HISTORY_DATABASE_URL": database_url or f"sqlite:///{folder / 'history.sqlite3'}",
            "REDIS_URL": self.redis_server.url,
            "INSTRUMENTS_FOLLOW_MASTER": "true",
            "QUOTES_AUTH": "required",
            "QUOTES_CANDLES_ALL_HOURS": "true",  # at whatever hour the tests run
            "QUOTES_REPORT_INTERVAL_S": "0.2",
        }
        self.operator = subprocess.Popen(
            [sys.executable, "-m", "tests.backup.operator"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **self.environment},
        )
        self.programs: dict[str, Program] = {}

    def do(self, deed: str, *arguments: Any) -> Any:
        """Let the operator do something, and return what comes of it."""
        assert self.operator.stdin and self.operator.stdout
        self.operator.stdin.write(json.dumps([deed, *arguments]) + "\n")
        self.operator.stdin.flush()
        return json.loads(self.operator.stdout.readline())

    def run(self, command: str, *arguments: object) -> str:
        """Run a management command, which must succeed, and return what it wrote."""
        status, text = self.do("run", command, *map(str, arguments))
        assert status == 0, text
        return str(text)

    def refused(self, command: str, *arguments: object) -> str:
        """Run a management command, which must fail, and return what it wrote."""
        status, text = self.do("run", command, *map(str, arguments))
        assert status, text
        return str(text)

    def start(self, command: str) -> None:
        """Start a management command as a process of its own."""
        self.programs[command] = Program([sys.executable, "manage.py", command], **self.environment)

    def stop(self, command: str) -> None:
        """End a command as an operator would, with Ctrl-C."""
        with self.programs.pop(command) as program:
            program.end()

    def logged(self) -> int:
        """Return how many ticks the log has taken."""
        count: Any = self.redis.get("quotes:log:1:n")
        return int(count or 0)

    def web(self) -> Web:
        """Start a web process."""
        port = free_port()
        command = ["-m", "uvicorn", "config.asgi:application", "--port", str(port)]
        command += ["--ws", "quotes.websocket.transports.uvicorn:PriceWebSocketProtocol"]
        command += ["--no-proxy-headers", "--lifespan", "off"]
        web = Web(*command, port=port, **self.environment)
        self.programs[f"web {port}"] = web.program
        wait_until(web.answers, timeout_s=30)
        return web

    def __enter__(self) -> "Machine":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for program in self.programs.values():
            program.__exit__(kind, error, trace)
        self.operator.kill()
        self.operator.wait()
        assert self.operator.stdin and self.operator.stdout
        self.operator.stdin.close()
        self.operator.stdout.close()
        self.redis.close()
        self.redis_server.__exit__(kind, error, trace)


class Publisher:
    """Publishes ticks of all symbols in a thread, as any program would, until it is stopped."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.published = 0

    def publish(self, rounds: int = 1, symbols: Sequence[str] = SYMBOLS) -> None:
        """Publish one tick of each symbol, so many times."""
        for _ in range(rounds):
            pipeline = self._redis.pipeline(transaction=False)
            for symbol in symbols:
                self.published += 1
                number = self.published
                tick: dict[str, Any] = {
                    "symbol": symbol.rpartition(":")[2],
                    "price": f"@{100 + number % 50}.{number % 20 * 5:02}@",
                    "timestamp": now_ms(),
                    "volume": number,
                }
                if number % 3 == 0:
                    tick |= {"bid": 99.5, "oi": number, "day": {"high": "é\n"}}
                # A price with trailing zeros, which Python's floats do not have.
                text = json.dumps(tick).replace('"@', "").replace('@"', "")
                pipeline.set(f"stock:{symbol}", text)
                pipeline.publish(f"stock:{symbol}", text)
            pipeline.execute()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.publish(4)
            self._stop.wait(PAUSE_S)

    def __enter__(self) -> "Publisher":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()


PASSWORD = "six words that nobody can guess"


def set_up(machine: Machine) -> None:
    """Make databases, a master, users with grants and keys; start bridge and recorder."""
    copy_migrated("default", machine.folder / "site.sqlite3")
    copy_migrated("history", machine.folder / "history.sqlite3")
    for path in MASTERS:
        machine.run("import_instruments", path)
    machine.do("user", "asha", ["NSE_EQ"], [])
    machine.do("set_password", "asha", PASSWORD)
    machine.do("user", "trader", ["NSE_EQ", "NSE_INDEX"], ["metals"])
    for command in ("bridge_prices", "record_prices"):
        machine.start(command)
    machine.programs["bridge_prices"].wait_for("bridging", timeout_s=30)


def wait_until_recorded(machine: Machine, ticks: int) -> None:
    """Wait until at least so many ticks are logged, and all of them are in history."""
    wait_until(
        lambda: machine.logged() >= ticks and machine.do("behind", machine.logged()) == 0,
        timeout_s=30,
    )
