"""The metrics of the source that takes prices from Kite."""

from quotes.kite.source.ingestion import Ingestion
from quotes.metrics.samples import Samples


class KiteCollector:
    """Collects what the source counts."""

    def __init__(self, ingestion: Ingestion) -> None:
        self._ingestion = ingestion

    def __call__(self, samples: Samples) -> None:
        ingestion = self._ingestion
        connections = list(ingestion.connections)
        samples.add("quotes_kite_ticks_total", ingestion.published)
        samples.add("quotes_kite_connections", sum(one.is_up for one in connections))
        samples.add("quotes_kite_instruments", len(ingestion.selection.modes))
        samples.add("quotes_kite_pending_ticks", len(ingestion.pending))
