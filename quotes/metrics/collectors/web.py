"""The metrics of a web process: its clients, its feed, its requests of HTTP and its readiness."""

from quotes.metrics.http import requests
from quotes.metrics.readiness import ReadinessWatch
from quotes.metrics.samples import Collect, Samples
from quotes.websocket.counters import counters
from quotes.websocket.feed.bridge_watch import FeedState
from quotes.websocket.feed.feed import Feed, feeds
from quotes.websocket.protocol import CloseCode

# Of a series that begins above 0, Prometheus takes no rate: these begin at 0.
_CLOSED = {str(int(code)): 0 for code in CloseCode}
_REFUSED = dict.fromkeys(("401", "403", "429", "503"), 0)


class ClientCollector:
    """Collects what was counted of clients since the start."""

    def __call__(self, samples: Samples) -> None:
        samples.add_each("quotes_connections", {"live-price": 0, **counters.connections})
        samples.add_each("quotes_connections_opened_total", counters.opened)
        samples.add_each("quotes_connections_closed_total", {**_CLOSED, **counters.closed})
        samples.add_each("quotes_handshakes_refused_total", {**_REFUSED, **counters.refused})
        samples.add("quotes_deliveries_total", counters.deliveries)
        samples.add("quotes_frames_sent_total", counters.frames)
        samples.add("quotes_conflated_prices_total", counters.conflated)
        samples.add_each("quotes_client_errors_total", counters.errors)
        samples.add_each("quotes_rejected_symbols_total", counters.rejected)
        samples.add_each("quotes_resumes_total", counters.resumes)
        samples.add("quotes_resumed_ticks_total", counters.resumed_ticks)
        samples.add("quotes_tick_latency_seconds", counters.latency.state())


class FeedCollector:
    """Collects the state of the feed, once there is one: the first client begins it."""

    def __call__(self, samples: Samples) -> None:
        found = list(feeds.values())
        if not found:
            return
        totals = [feed.client_totals for feed in found]
        samples.add("quotes_slow_connections", sum(one.slow for one in totals))
        samples.add("quotes_unsent_bytes", sum(one.unsent for one in totals))
        samples.add("quotes_subscriptions", sum(one.subscriptions for one in totals))
        samples.add("quotes_sent_bytes_total", sum(one.sent_bytes for one in totals))
        samples.add("quotes_client_messages_total", sum(feed.client_messages for feed in found))
        samples.add("quotes_failed_clients_total", sum(feed.failed_clients for feed in found))
        samples.add("quotes_prices_received_total", sum(feed.prices_received for feed in found))
        samples.add("quotes_subscribed_streams", sum(one.streams for one in totals))
        self._add_state(found[-1], samples)

    @staticmethod
    def _add_state(feed: Feed, samples: Samples) -> None:
        for state in FeedState:
            samples.add("quotes_feed_state", int(feed.state is state), state.value)
        if feed.last_tick:
            samples.add("quotes_feed_last_tick_timestamp_seconds", feed.last_tick / 1000)


class RequestCollector:
    """Collects what was counted of HTTP requests."""

    def __call__(self, samples: Samples) -> None:
        for labels, count in requests.counts().items():
            samples.add("quotes_http_requests_total", count, *labels)
        for route, state in requests.durations().items():
            samples.add("quotes_http_request_duration_seconds", state, route)


def web_collectors() -> list[Collect]:
    """Return what collects the metrics of a web process."""
    return [ClientCollector(), FeedCollector(), RequestCollector(), ReadinessWatch()]
