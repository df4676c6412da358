"""Web processes of their own with a database of their own, and an operator who changes users."""

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.error import HTTPError, URLError

from websockets.asyncio.client import connect

from tests.databases import Kind, copy_migrated
from tests.live import Client
from tests.ports import free_port
from tests.programs import ROOT, Program
from tests.waiting import wait_until


class Web:
    """One web process."""

    def __init__(self, *command: str, port: int, **environment: str) -> None:
        self.port = port
        self.url = f"ws://127.0.0.1:{port}/live-price"
        self.program = Program([sys.executable, *command], **environment)

    def request(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Return the status and the JSON of an answer."""
        status, text = self.request_text(method, path, body, **headers)
        return status, json.loads(text or "{}")

    def request_text(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, str]:
        """Return the status and the text of an answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data,
            {"Content-Type": "application/json", **headers},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    def answers(self) -> bool:
        try:
            return self.request("GET", "/healthz")[0] == 200
        except (URLError, OSError, ValueError):
            return False

    @contextlib.asynccontextmanager
    async def client(
        self, token: str = "", query: str = "", **options: Any
    ) -> AsyncIterator[Client]:
        if token:
            options["additional_headers"] = {
                "Authorization": f"Bearer {token}",
                **options.get("additional_headers", {}),
            }
        async with connect(self.url + query, max_size=None, **options) as connection:
            yield Client(connection)


class Deployment:
    """Web processes that share a Redis and a database file."""

    def __init__(self, folder: Path, redis_url: str, **settings: str) -> None:
        self.environment = {
            "DATABASE_URL": f"sqlite:///{folder / 'site.sqlite3'}",
            "REDIS_URL": redis_url,
            **settings,
        }
        self._make_databases()
        self.webs: list[Web] = []
        self.operator = subprocess.Popen(
            [sys.executable, "-m", "tests.access.operator"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **self.environment},
        )
        if not self._sqlite_file("DATABASE_URL"):
            self.do("migrate")

    def _make_databases(self) -> None:
        """Make the database, and that of history if it has one of its own; files only."""
        kinds: dict[str, Kind] = {"DATABASE_URL": "default", "HISTORY_DATABASE_URL": "history"}
        for name, kind in kinds.items():
            if (path := self._sqlite_file(name)) is not None:
                copy_migrated(kind, path)

    def _sqlite_file(self, name: str) -> Path | None:
        _, found, path = self.environment.get(name, "").partition("sqlite:///")
        return Path(path) if found else None

    def do(self, deed: str, *arguments: Any) -> Any:
        """Let the operator do something, and return what comes of it."""
        assert self.operator.stdin and self.operator.stdout
        self.operator.stdin.write(json.dumps([deed, *arguments]) + "\n")
        self.operator.stdin.flush()
        return json.loads(self.operator.stdout.readline())

    def uvicorn(self, *options: str) -> Web:
        port = free_port()
        command = ["-m", "uvicorn", "config.asgi:application", "--port", str(port)]
        command += ["--ws", "quotes.websocket.transports.uvicorn:PriceWebSocketProtocol"]
        command += ["--no-proxy-headers", "--lifespan", "off", *options]
        return self.add(Web(*command, port=port, **self.environment))

    def daphne(self, *options: str) -> Web:
        port = free_port()
        command = ["-m", "quotes.websocket.transports.daphne", "-p", str(port), *options]
        return self.add(Web(*command, "config.asgi:application", port=port, **self.environment))

    def add(self, web: Web) -> Web:
        self.webs.append(web)
        return web

    def wait(self) -> None:
        for web in self.webs:
            wait_until(web.answers)

    def __enter__(self) -> "Deployment":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.operator.kill()
        self.operator.wait()
        assert self.operator.stdin and self.operator.stdout
        self.operator.stdin.close()
        self.operator.stdout.close()
        for web in self.webs:
            web.program.__exit__(kind, error, trace)


# The master of `deployment_with_history`.
MASTERS = [
    ROOT / "tests" / "instruments" / "data" / name for name in ("kite.csv", "kite-derivatives.csv")
]


@contextlib.contextmanager
def deployment_with_history(
    folder: Path, redis_url: str, closes: Sequence[str]
) -> Iterator[Deployment]:
    """A deployment that requires authentication and logs all, with a master and candles.

    Args:
        folder: empty.
        closes: of the minutes of RELIANCE from 09:15 on 5 April 2024; the first volume is 15.
    """
    history = folder / "candles.csv"
    minutes = [
        f"NSE_EQ:RELIANCE,2024-04-05 09:{minute},1m,2900,2999.5,2899.1,{close},{minute},5"
        for minute, close in enumerate(closes, 15)
    ]
    head = "instrument,start,interval,open,high,low,close,volume,oi"
    history.write_text("\n".join([head, *minutes]))
    with Deployment(
        folder,
        redis_url,
        HISTORY_DATABASE_URL=f"sqlite:///{folder / 'history.sqlite3'}",
        INSTRUMENTS_FOLLOW_MASTER="true",
        QUOTES_AUTH="required",
        LOG_LEVEL="DEBUG",
    ) as deployment:
        for path in MASTERS:
            deployment.do("call", "import_instruments", str(path))
        deployment.do("call", "import_history", str(history))
        yield deployment
