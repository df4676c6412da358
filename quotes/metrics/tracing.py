"""Traces for OpenTelemetry, optional: requests of HTTP, and the way of a sampled tick.

Spans are made after the fact, from two times that are known then, so nothing is on the way of a
tick. The packages export them in a thread of their own, in batches, and drop what a collector does
not take.
"""

import logging
import threading
import time
from importlib import import_module
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from quotes.conf import conf
from quotes.runtime.identity import ProcessIdentity
from quotes.runtime.version import server_version
from quotes.runtime.warnings import RateLimitedWarnings
from quotes.websocket.counters import counters

logger = logging.getLogger(__name__)
_warn = RateLimitedWarnings(logger)

PACKAGES = "opentelemetry-sdk opentelemetry-exporter-otlp-proto-http"
_TICK_EVERY_S = 1.0


class Tracing:
    """Makes the spans of one process.

    Args:
        process: what it is, for the resource of the spans.
        exporter: takes the spans, by batches; None: an OTLP exporter to QUOTES_TRACING_URL.

    Raises:
        ImproperlyConfigured: the packages are not installed.
    """

    def __init__(self, process: ProcessIdentity, *, exporter: Any = None) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise ImproperlyConfigured(
                f"QUOTES_TRACING_URL needs packages: run pip install {PACKAGES}, or leave it empty"
            ) from error
        resource = {
            "service.name": "live-prices",
            "service.version": server_version(),
            "service.instance.id": process.name,
        }
        self._provider = TracerProvider(resource=Resource.create(resource))
        url = f"{conf.tracing_url.rstrip('/')}/v1/traces"
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter or OTLPSpanExporter(endpoint=url))
        )
        self._tracer = self._provider.get_tracer("quotes", server_version())
        self._extract = TraceContextTextMapPropagator().extract
        self._stopping = threading.Event()

    def request(self, request: HttpRequest, route: str, status: int, seconds: float) -> None:
        """Note a request that was answered just now; it continues the caller's trace if any."""
        ends = time.time_ns()
        parent = request.headers.get("traceparent", "")
        span = self._tracer.start_span(
            f"{request.method} {route}",
            context=self._extract({"traceparent": parent}) if parent else None,
            start_time=ends - round(seconds * 1e9),
            attributes={
                "http.request.method": str(request.method),
                "http.route": route,
                "http.response.status_code": status,
            },
        )
        span.end(end_time=ends)

    def tick(self, received_ms: int, flushed_ms: int) -> None:
        """Note a tick, from the bridge's reading of it to the write to clients' sockets."""
        span = self._tracer.start_span("tick", start_time=received_ms * 1_000_000)
        span.end(end_time=max(received_ms, flushed_ms) * 1_000_000)

    def watch_ticks(self) -> None:
        """Note one tick a second, in a thread, until `stop`."""
        threading.Thread(target=self._watch, name="tracing", daemon=True).start()

    def stop(self) -> None:
        """Send what is left, and make no more spans."""
        self._stopping.set()
        self._provider.shutdown()

    def _watch(self) -> None:
        last = counters.last_sample
        while not self._stopping.wait(_TICK_EVERY_S):
            try:
                sample = counters.last_sample
                if sample is not last:
                    last = sample
                    self.tick(*sample)
            except Exception as error:
                _warn("tracing", "failed", error=error)


def has_tracing_packages() -> bool:
    """Return whether the packages are installed."""
    try:
        import_module("opentelemetry.sdk.trace")
        import_module("opentelemetry.exporter.otlp.proto.http")
    except ImportError:
        return False
    return True


_tracing: Tracing | None = None


def start_tracing(process: ProcessIdentity) -> None:
    """Make spans in this web process from now on, if QUOTES_TRACING_URL is set.

    Raises:
        ImproperlyConfigured: the packages are not installed.
    """
    global _tracing
    if conf.tracing_url and _tracing is None:
        _tracing = Tracing(process)
        _tracing.watch_ticks()


def current_tracing() -> Tracing | None:
    """Return what makes spans in this process; None while tracing is off."""
    return _tracing
