"""The deployed site as processes of its own, as production starts them: bridge and web server."""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from urllib.error import URLError

from redis import Redis

from quotes.store.shards import idle_shards
from tests.ports import free_port
from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent


class Site:
    """A bridge and a uvicorn server on a free port; each can be killed and started again."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        # A short lease, so that tests need not wait long for "down".
        settings = {"DJANGO_SETTINGS_MODULE": "config.settings", "QUOTES_BRIDGE_LEASE_MS": "500"}
        self.environment = os.environ | settings

    def start_bridge(self) -> None:
        self.start("bridge", "manage.py", "bridge_prices")

    def start_web(self) -> None:
        self.start(
            "web",
            *("-m", "uvicorn", "config.asgi:application", "--port", str(self.port)),
            *(
                "--ws",
                "quotes.websocket.transports.uvicorn:PriceWebSocketProtocol",
                "--log-level",
                "warning",
            ),
        )

    def start(self, name: str, *arguments: str) -> None:
        self.processes[name] = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self, name: str) -> None:
        """End a process as a crash would."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def wait_until_up(self) -> None:
        # Two processes start, on a machine that may be busy with others.
        wait_until(lambda: self.answers() and not idle_shards(self.redis), timeout_s=60)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}healthz", timeout=1) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def start_all(self) -> None:
        """Start what does not run, and wait until both work."""
        if "bridge" not in self.processes:
            self.start_bridge()
        if "web" not in self.processes:
            self.start_web()
        self.wait_until_up()

    def __enter__(self) -> "Site":
        try:
            self.start_all()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        for name in list(self.processes):
            self.kill(name)
