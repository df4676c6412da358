"""Samples: the values of metrics, as one process hands them to the one that answers scrapes."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from quotes.metrics.catalog import METRICS
from quotes.runtime.histogram import HistogramState


class Sample(NamedTuple):
    """One value of a metric.

    Attributes:
        labels: values of the metric's labels, in the order of the catalog.
        value: a number, or the state of a histogram.
    """

    name: str
    labels: tuple[str, ...]
    value: int | float | HistogramState


class _Wire(msgspec.Struct, array_like=True):
    """A sample between two processes; a histogram has bounds and counts as well."""

    name: str
    labels: tuple[str, ...]
    value: int | float
    bounds: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()


_decode = msgspec.msgpack.Decoder(list[_Wire]).decode


class Samples:
    """Gathers the samples of one process."""

    def __init__(self) -> None:
        self.taken: list[Sample] = []

    def add(self, name: str, value: float | HistogramState | None, *labels: str) -> None:
        """Add the value of a metric; None, which is a value that is not known, adds nothing.

        Raises:
            KeyError, ValueError: the catalog has no such metric, or it has other labels.
        """
        if len(METRICS[name].labels) != len(labels):
            raise ValueError(f"{name} has the labels {METRICS[name].labels}, got {labels!r}")
        if value is not None:
            self.taken.append(Sample(name, labels, value))

    def add_each(self, name: str, values: Mapping[str, int], *labels: str) -> None:
        """Add a value for each value of the metric's last label."""
        for label, value in dict(values).items():
            self.add(name, value, *labels, label)


Collect = Callable[[Samples], None]


def encode(samples: list[Sample]) -> bytes:
    """Return samples as bytes for another process."""
    return msgspec.msgpack.encode(
        [
            _Wire(one.name, one.labels, one.value.total, one.value.bounds, one.value.counts)
            if isinstance(one.value, HistogramState)
            else _Wire(one.name, one.labels, one.value)
            for one in samples
        ]
    )


def decode(data: bytes) -> list[Sample]:
    """Return the samples of another process; those of metrics of another release are left out.

    Raises:
        msgspec.MsgspecError: it sends something else.
    """
    return [
        Sample(
            one.name,
            one.labels,
            HistogramState(one.bounds, one.counts, one.value) if one.counts else one.value,
        )
        for one in _decode(data)
        if (known := METRICS.get(one.name)) is not None and len(known.labels) == len(one.labels)
    ]
