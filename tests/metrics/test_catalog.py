"""The catalog of metrics, and the page that lists it."""

import re

import pytest

from quotes.metrics.catalog import METRICS, SECTIONS, Kind, Metric
from tests.programs import ROOT

PAGE = (ROOT / "docs" / "metrics.md").read_text()
ROWS = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", PAGE, flags=re.MULTILINE)


def test_the_page_lists_each_metric_as_it_is() -> None:
    """Name, type, labels and meaning of docs/metrics.md are those of the catalog, in its order."""
    listed = [
        Metric(name, Kind(kind), meaning, tuple(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels, meaning in ROWS
    ]
    assert listed == list(METRICS.values())
    assert len(METRICS) == sum(map(len, SECTIONS.values()))


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_names_follow_the_conventions_of_prometheus(metric: Metric) -> None:
    """A counter ends in _total, nothing else does; labels are not those of the process."""
    assert metric.name.startswith(("quotes_", "process_", "python_"))
    assert metric.name.endswith("_total") is (metric.kind is Kind.COUNTER)
    assert metric.help and not metric.help.endswith(".")
    assert not set(metric.labels) & {"process", "worker", "le", "instance", "job", "symbol", "user"}
