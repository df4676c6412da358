"""`/metrics` of the web server: the text of all processes of this machine, for this machine."""

import http.client

from django.http import HttpRequest, HttpResponse

from quotes.access.middleware.proxy_headers import is_own_request
from quotes.metrics.address import MetricsAddress, metrics_address
from quotes.metrics.exporter import current_exporter
from quotes.metrics.server import METRICS_PATH, may_scrape

_TIMEOUT_S = 5.0
_MAX_BYTES = 64 << 20


def metrics(request: HttpRequest) -> HttpResponse:
    """Answer a scrape: of this machine, or with the token of QUOTES_METRICS_TOKEN."""
    address = metrics_address()
    if address is None:
        return _refusal(404, "metrics are off: set QUOTES_METRICS to an address")
    authorization = request.headers.get("Authorization", "")
    if not may_scrape(authorization, is_local=is_own_request(request)):
        return _refusal(
            403,
            "metrics are for this machine: ask from it, or set QUOTES_METRICS_TOKEN and present it "
            "as a bearer token",
        )
    exporter = current_exporter()
    if exporter is not None and exporter.is_answering:
        body, content_type = exporter.scrape(request.headers.get("Accept", ""))
        return HttpResponse(body, content_type=content_type)
    return _fetched(address, request)


def _fetched(address: MetricsAddress, request: HttpRequest) -> HttpResponse:
    """Return the answer of the process that answers scrapes."""
    headers = {
        name: request.headers[name]
        for name in ("Accept", "Authorization")
        if name in request.headers
    }
    connection = http.client.HTTPConnection(*address.local, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", METRICS_PATH, headers=headers)
        answer = connection.getresponse()
        body, content_type = answer.read(_MAX_BYTES), answer.headers.get("Content-Type", "")
    except (OSError, http.client.HTTPException):
        return _refusal(503, f"no process answers scrapes at {address} yet: try again in a second")
    finally:
        connection.close()
    return HttpResponse(body, content_type=content_type, status=answer.status)


def _refusal(status: int, text: str) -> HttpResponse:
    response = HttpResponse(text + "\n", content_type="text/plain", status=status)
    # A scrape that is refused every few seconds is no line in the log.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response
