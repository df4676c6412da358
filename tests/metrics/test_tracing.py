"""Traces, with the packages of OpenTelemetry and without."""

import sys
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import RequestFactory

from quotes.checks import check_settings
from quotes.metrics.tracing import Tracing, current_tracing, start_tracing
from quotes.runtime.identity import ProcessIdentity

WEB = ProcessIdentity(["uvicorn"], {"LIVE_PRICE_PROCESS": "web.2"})


def test_they_are_off_by_default() -> None:
    """Nothing is imported, and nothing is made."""
    start_tracing(WEB)
    assert current_tracing() is None


def test_without_the_packages_a_sentence_says_what_to_install(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checks stop the start of commands, and a web server's application does not load."""
    for name in ("", ".sdk", ".sdk.trace", ".exporter.otlp.proto.http.trace_exporter"):
        monkeypatch.setitem(sys.modules, f"opentelemetry{name}", None)
    settings.QUOTES_TRACING_URL = "http://127.0.0.1:4318"
    assert any("pip install opentelemetry-sdk" in str(one.msg) for one in check_settings())
    with pytest.raises(ImproperlyConfigured, match="pip install opentelemetry-sdk"):
        start_tracing(WEB)
    settings.QUOTES_TRACING_URL = "127.0.0.1:4318"
    assert any("must begin with http://" in str(one.msg) for one in check_settings())


def test_requests_and_ticks_are_spans(settings: Any) -> None:
    """A request continues the caller's trace; a tick lasts from the bridge to the socket."""
    pytest.importorskip("opentelemetry.sdk.trace", reason="opentelemetry-sdk is not installed")
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    spans = InMemorySpanExporter()
    tracing = Tracing(WEB, exporter=spans)
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    request = RequestFactory().get("/api/prices/?token=secret", headers=headers)
    tracing.request(request, "/api/prices/", 200, 0.25)
    request = RequestFactory().get("/", headers={"traceparent": "no such thing"})
    tracing.request(request, "/", 200, 0.25)
    tracing.tick(1_712_331_900_000, 1_712_331_900_004)
    tracing.stop()
    first, second, tick = spans.get_finished_spans()
    assert f"{first.context.trace_id:032x}" == trace != f"{second.context.trace_id:032x}"
    assert (first.name, first.attributes["http.response.status_code"]) == ("GET /api/prices/", 200)
    assert first.end_time - first.start_time == 250_000_000
    assert tick.end_time - tick.start_time == 4_000_000
    assert "secret" not in str([span.to_json() for span in (first, second, tick)])
    assert first.resource.attributes["service.instance.id"] == "web.2"
