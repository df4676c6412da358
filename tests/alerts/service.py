"""A service of real processes, scraped by a real Prometheus that has the alert rules."""

import json
import os
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from redis import Redis

from tests.alerts.rules import groups, program
from tests.ports import free_port
from tests.programs import ROOT, Program
from tests.valkey import ValkeyProcess
from tests.waiting import wait_until

# A start loads Django several times at once; a busy machine takes its time for that.
START_S = 60.0
FIRE_S = 30.0
# What makes a process's clock 90 s fast; the rest is manage.py.
_FAST_CLOCK = """
import sys, time
from quotes.runtime import clock
real = time.time_ns
clock.time_ns = lambda: real() + 90 * 10**9
import manage
manage.main()
"""


def quick_rules() -> str:
    """Return the rules without waiting times, in trading hours whatever time it is.

    Rates are those of seconds, and a silent feed is one of a second.
    """
    quick = groups()
    for group in quick:
        for rule in group["rules"]:
            if rule.get("record") == "quotes:nse_hours:bool":
                rule["expr"] = "vector(1)"
            expression = rule["expr"].replace("[5m]", "[8s]").replace("[1m]", "[8s]")
            rule["expr"] = expression.replace("> 60)", "> 1)")
            if "alert" in rule:
                rule["for"] = "0s"
    return yaml.safe_dump({"groups": quick})


class Service:
    """Redis, Prometheus, and the processes that a test starts.

    Args:
        folder: empty.
        environment: settings of all processes.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.port, self.metrics_port, self.prometheus_port = free_port(), free_port(), free_port()
        self.redis_server = ValkeyProcess(free_port())
        self.database = folder / "db.sqlite3"
        url = f"sqlite:///{self.database}"
        self.environment = {
            "DATABASE_URL": url,
            "HISTORY_DATABASE_URL": url,
            "REDIS_URL": self.redis_server.url,
            "PORT": str(self.port),
            "QUOTES_METRICS": f"127.0.0.1:{self.metrics_port}",
            "QUOTES_EMBEDDED_FOLDER": str(folder),
            **environment,
        }
        self.programs: dict[str, Program] = {}

    def start(self, name: str, *command: str, **environment: str) -> Program:
        self.programs[name] = Program([sys.executable, *command], **self.environment, **environment)
        return self.programs[name]

    def start_web(self) -> None:
        command = ["-m", "uvicorn", "config.asgi:application", "--port", str(self.port)]
        command += ["--ws", "quotes.websocket.transports.uvicorn:PriceWebSocketProtocol"]
        command += ["--ws-per-message-deflate", "false", "--no-proxy-headers", "--lifespan", "off"]
        self.start("web", *command)

    def start_with_fast_clock(self, name: str, command: str) -> None:
        self.start(name, "-c", _FAST_CLOCK, command)

    @property
    def redis(self) -> Redis:
        return Redis.from_url(self.redis_server.url, socket_timeout=5)

    def answers(self) -> bool:
        try:
            url = f"http://127.0.0.1:{self.port}/healthz"
            with urllib.request.urlopen(url, timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    # -- Prometheus --------------------------------------------------------------------------------

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an expression; none while Prometheus starts."""
        text = urllib.parse.urlencode({"query": expression})
        url = f"http://127.0.0.1:{self.prometheus_port}/api/v1/query?{text}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
                return found
        except OSError:
            return []

    def fired(self) -> set[str]:
        """Return the alerts that fire or have fired."""
        found = self.query('max by (alertname) (max_over_time(ALERTS{alertstate="firing"}[1h]))')
        return {one["metric"]["alertname"] for one in found}

    def wait_for(self, *alerts: str) -> None:
        """Wait until each of the alerts has fired."""
        try:
            wait_until(lambda: set(alerts) <= self.fired(), timeout_s=FIRE_S)
        except AssertionError:
            missing = set(alerts) - self.fired()
            raise AssertionError(f"{missing} did not fire; {self.fired()} did") from None

    def __enter__(self) -> "Service":
        self.redis_server.start()
        (self.folder / "rules.yml").write_text(quick_rules())
        config = {
            "global": {
                # While a process hangs, the others' numbers come within a second.
                "scrape_interval": "1500ms",
                "scrape_timeout": "1500ms",
                "evaluation_interval": "200ms",
            },
            "rule_files": ["rules.yml"],
            "scrape_configs": [
                {
                    "job_name": "prices",
                    "static_configs": [{"targets": [f"127.0.0.1:{self.metrics_port}"]}],
                }
            ],
        }
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            check=True,
        )
        self.programs["prometheus"] = Program(
            [
                program("prometheus"),
                f"--config.file={self.folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self.folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{self.prometheus_port}",
                "--log.level=warn",
            ]
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for one in self.programs.values():
            one.__exit__(kind, error, trace)
        self.redis_server.__exit__(kind, error, trace)
