"""The alert rules as data, promtool, and what metrics there are."""

import json
import os
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.programs import ROOT

FOLDER = ROOT / "deploy" / "prometheus"
RULES = FOLDER / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "live-prices.json"
_METRIC = re.compile(r"\b(?:quotes|process|python)_[a-z_]+\b")
# Labels that look like metrics.
_SUFFIXES = ("_bucket", "_sum", "_count")


def program(name: str) -> str:
    """Return the path of one of Prometheus' programs; skip without it, fail in CI."""
    path = shutil.which(name)
    if path is None:
        text = f"{name} is not installed (Debian, Ubuntu: apt install prometheus)"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    return path


def groups() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
    return found


def alerts() -> dict[str, dict[str, Any]]:
    """Return the alert rules by name."""
    return {rule["alert"]: rule for group in groups() for rule in group["rules"] if "alert" in rule}


def metrics_of(expression: str) -> set[str]:
    """Return the metrics that an expression reads, as docs/metrics.md names them."""
    names = set(_METRIC.findall(expression))
    return {
        next((name.removesuffix(one) for one in _SUFFIXES if name.endswith(one)), name)
        for name in names
        if not re.search(rf"\b{name}\b(?=:)|quotes:", name)
    }


def documented_metrics() -> set[str]:
    text = (ROOT / "docs" / "metrics.md").read_text()
    return set(re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE))


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def queries() -> list[tuple[str, str]]:
    """Return title and expression of each query of the dashboard, its variables filled in."""
    return [
        (panel["title"], target["expr"].replace("$instance", ".*"))
        for panel in dashboard()["panels"]
        for target in panel.get("targets", [])
    ]


def promtool(*arguments: str) -> str:
    """Run promtool in the folder of the rules; fail with its output unless it agrees."""
    ended = subprocess.run(
        [program("promtool"), *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
