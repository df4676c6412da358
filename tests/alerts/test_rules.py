"""Alert rules, the example configuration and the dashboard: valid, documented, complete."""

import re
from pathlib import Path

import yaml

from tests.alerts.rules import (
    FOLDER,
    alerts,
    dashboard,
    documented_metrics,
    groups,
    metrics_of,
    promtool,
    queries,
)
from tests.programs import ROOT
from tests.test_docs import sections

RUNBOOKS = sections("docs/runbooks.md")


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def test_promtool_agrees() -> None:
    """Rules and configuration are valid, and thresholds and waiting times are as tested."""
    assert "rules found" in promtool("check", "rules", "alerts.yml")
    assert "SUCCESS" in promtool("check", "config", "prometheus.yml")
    assert "SUCCESS" in promtool("test", "rules", "tests/alerts.yml", "tests/weekend.yml")


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    """An alert leads to the run-book that begins with it."""
    pages = {anchor(heading): text for heading, text in RUNBOOKS.items() if heading != "Run-books"}
    for name, rule in alerts().items():
        page = rule["annotations"]["runbook_url"].removeprefix("docs/runbooks.md#")
        begin = pages[page].strip().splitlines()[0]
        assert begin.startswith("**Alerts:**") and f"`{name}`" in begin, name
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["for"] and rule["annotations"]["summary"] and rule["annotations"]["description"]
    for page, text in pages.items():
        named = re.findall(r"`(\w+)`", text.strip().splitlines()[0])
        assert named, page
        for name in named:
            assert alerts()[name]["annotations"]["runbook_url"].endswith(f"#{page}")
        assert "```\nmanage.py doctor" in text, page


def test_the_table_of_runbooks_has_all_alerts() -> None:
    """The page begins with a table of all alerts."""
    table = RUNBOOKS["Run-books"]
    for name in alerts():
        assert f"`{name}`" in table


def test_findings_lead_to_runbooks_that_are_there() -> None:
    """A page that `manage.py doctor` names has a heading."""
    pages = {anchor(heading) for heading in RUNBOOKS}
    named = set()
    for path in (ROOT / "quotes" / "doctor").glob("*.py"):
        code = path.read_text()
        named |= set(re.findall(r'^(?:PAGE|STOPPED) = "([a-z0-9-]+)"', code, re.MULTILINE))
        named |= {one for one in re.findall(r'"([a-z0-9]+(?:-[a-z0-9]+)+)"', code) if one in pages}
    assert {"prices-stopped", "redis-full", "clock-skew", "a-new-holiday"} <= named <= pages


def test_rules_read_metrics_that_there_are() -> None:
    """Each metric of a rule is in docs/metrics.md."""
    documented = documented_metrics()
    for group in groups():
        for rule in group["rules"]:
            unknown = metrics_of(rule["expr"]) - documented
            assert not unknown, (rule, unknown)


def test_the_dashboard(tmp_path: Path) -> None:
    """Each query parses, each metric is documented, and no two panels overlap or share an id."""
    documented = documented_metrics()
    found = queries()
    assert len(found) > 40
    for title, expression in found:
        assert metrics_of(expression) <= documented, title
    rules = [{"record": f"query:{at}", "expr": text} for at, (_, text) in enumerate(found)]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert f"{len(found)} rules found" in promtool("check", "rules", str(path))
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in panels)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(set(cells)) == len(cells)


def test_the_example_scrapes_as_documented() -> None:
    """One target for each machine, at the default of QUOTES_METRICS."""
    example = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    (job,) = example["scrape_configs"]
    assert job["job_name"] == "prices"
    assert job["static_configs"][0]["targets"][0] in (ROOT / "docs" / "metrics.md").read_text()
