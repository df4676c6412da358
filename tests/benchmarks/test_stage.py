"""Contenders as real processes: what a stage starts, and what clients get from it."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.contenders import CONTENDERS
from benchmarks.processes import open_ports
from benchmarks.stage import Stage
from benchmarks.window import Opened, latencies
from benchmarks.workloads import WORKLOADS

LATENCY = replace(WORKLOADS["w2-latency"], clients=10, symbols=20, per_client=5, rate=200)


@pytest.mark.slow  # Django starts in four processes
def test_two_web_processes_have_half_of_the_clients_each(tmp_path: Path) -> None:
    """Each has a port; every tick reaches the clients of both."""
    with Stage(CONTENDERS["uvicorn-2"], LATENCY, tmp_path) as stage:
        stage.connect(stage.lists)
        stage.prime()
        table = Path("/proc/net/tcp").read_text()
        assert [len(open_ports(table, port)) for port in stage.ports] == [5, 5]
        window = Opened(stage, 0.3, LATENCY.rate).close(exact=True)
        assert window.received == window.expected > 0
        assert len(stage.servers["web"]) == 2
        assert latencies(stage)["p50_ms"] > 0
