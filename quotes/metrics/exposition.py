"""The text of all samples in the format of Prometheus, or of OpenMetrics where that is accepted."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from quotes.metrics.catalog import DEPLOYMENT, METRICS, Kind, Metric
from quotes.metrics.samples import Sample
from quotes.runtime.histogram import HistogramState

_DEPLOYMENT = frozenset(one.name for one in DEPLOYMENT)


class ProcessSamples(NamedTuple):
    """The samples of one process; those of the deployment get no labels of a process.

    Attributes:
        process: its kind, such as web or bridge.
        worker: its number among those of its kind on this machine.
    """

    process: str
    worker: str
    samples: list[Sample]


def exposition(processes: Iterable[ProcessSamples], *, accept: str) -> tuple[bytes, str]:
    """Return the text and its content type.

    Args:
        accept: the Accept header of the request.
    """
    # Only the process that answers scrapes imports it, which takes memory and time.
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.metrics_core import Metric as Family

    families: dict[str, Family] = {}
    for process, worker, samples in processes:
        own = {"process": process, "worker": worker}
        for sample in samples:
            metric = METRICS[sample.name]
            family = families.get(metric.name)
            if family is None:
                family = families[metric.name] = Family(
                    metric.name.removesuffix("_total"), metric.help, metric.kind.value
                )
            labels = {} if metric.name in _DEPLOYMENT else own
            _add(
                family,
                metric,
                sample,
                {**labels, **dict(zip(metric.labels, sample.labels, strict=True))},
            )

    class _Registry:
        def collect(self) -> Iterable[Family]:
            return (families[name] for name in METRICS if name in families)

    encode, content_type = choose_encoder(accept)
    return encode(_Registry()), content_type


def _add(family: Any, metric: Metric, sample: Sample, labels: dict[str, str]) -> None:
    add = family.add_sample
    value = sample.value
    if not isinstance(value, HistogramState):
        add(metric.name, labels, float(value))
        return
    if metric.kind is not Kind.HISTOGRAM:
        return
    count = 0
    for bound, more in zip((*value.bounds, float("inf")), value.counts, strict=False):
        count += more
        text = "+Inf" if bound == float("inf") else repr(float(bound))
        add(f"{metric.name}_bucket", {**labels, "le": text}, float(count))
    add(f"{metric.name}_count", labels, float(count))
    add(f"{metric.name}_sum", labels, value.total)
