"""Requests of HTTP as they are counted: a middleware of Django, and its numbers."""

import threading
import time
from collections import Counter
from collections.abc import Callable

from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse

from quotes.conf import conf
from quotes.metrics.address import metrics_address
from quotes.metrics.tracing import current_tracing
from quotes.runtime.histogram import Histogram, HistogramState

Answer = Callable[[HttpRequest], HttpResponse]

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_OTHER = "other"
# Files, which are answered before an address is looked up, and addresses that do not exist.
_FILES, _NOT_FOUND = "static files", "not found"
_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class RequestCounters:
    """Counts requests by route, which is one of a bounded number; requests run in many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._durations: dict[str, Histogram] = {}

    def add(self, method: str | None, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        method = method if method in _METHODS else _OTHER
        with self._lock:
            self._counts[method or _OTHER, route, str(status)] += 1
            durations = self._durations.get(route)
            if durations is None:
                durations = self._durations[route] = Histogram(_BOUNDS_S)
            durations.add(seconds)

    def counts(self) -> dict[tuple[str, str, str], int]:
        """Return method, route and status -> how many requests there were."""
        with self._lock:
            return dict(self._counts)

    def durations(self) -> dict[str, HistogramState]:
        """Return route -> how long its requests took, in seconds."""
        with self._lock:
            return {route: found.state() for route, found in self._durations.items()}


def _route_of(request: HttpRequest, status: int) -> str:
    """Return the pattern of the address, never the address itself."""
    match = request.resolver_match
    if match is not None:
        return "/" + match.route
    return _NOT_FOUND if status >= 400 else _FILES


requests = RequestCounters()


def count_requests(get_response: Answer) -> Answer:
    """Return a middleware that counts requests; it is the first in MIDDLEWARE."""
    if metrics_address() is None and not conf.tracing_url:
        raise MiddlewareNotUsed

    def middleware(request: HttpRequest) -> HttpResponse:
        began = time.perf_counter()
        response = get_response(request)
        took_s, status = time.perf_counter() - began, response.status_code
        route = _route_of(request, status)
        requests.add(request.method, route, status, took_s)
        if (tracing := current_tracing()) is not None:
            tracing.request(request, route, status, took_s)
        return response

    return middleware
