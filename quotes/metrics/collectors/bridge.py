"""The metrics of a bridge."""

from quotes.bridge.bridge import Bridge
from quotes.metrics.samples import Samples


class BridgeCollector:
    """Collects what a bridge counts, each under its shard."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def __call__(self, samples: Samples) -> None:
        bridge, market = self._bridge, self._bridge.market
        ticks, counters, shard = market.counters, bridge.counters, str(bridge.shard)
        results = {
            "shown": ticks.shown,
            "stale": ticks.stale,
            "bad": ticks.bad,
            "repeated": ticks.repeated,
            "history": ticks.history,
        }
        last_tick = ticks.last_tick
        samples.add("quotes_bridge_leader", int(bridge.bridging), shard)
        samples.add("quotes_ticks_received_total", ticks.received, shard)
        samples.add_each("quotes_ticks_total", results, shard)
        samples.add("quotes_ticks_written_total", counters.sent, shard)
        samples.add("quotes_tick_fields_dropped_total", ticks.unknown, shard)
        samples.add(
            "quotes_last_tick_timestamp_seconds",
            None if last_tick is None else last_tick / 1000,
            shard,
        )
        samples.add("quotes_bridge_intake_seconds", counters.intake.state(), shard)
        samples.add("quotes_bridge_write_seconds", counters.writes.state(), shard)
        samples.add("quotes_bridge_pending_ticks", len(market.pending), shard)
        samples.add("quotes_streams", len(market.streams), shard)
        samples.add("quotes_streams_limit", market.max_streams, shard)
        samples.add("quotes_streams_let_go_total", market.let_go, shard)
        samples.add_each("quotes_silent_names", bridge.silent_names, shard)
        samples.add("quotes_log_bytes", bridge.log_bytes, shard)
        samples.add("quotes_log_trimmed_ticks_total", bridge.trimmed, shard)
