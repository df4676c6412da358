"""Pages for people: the start page, which shows live prices.

Its script is in `static/quotes/` and uses the public protocol, as any client does.
"""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from quotes.conf import conf
from quotes.publish.simulation.instruments import showcase
from quotes.runtime.clock import today_in_india

# Only files of this server are loaded; `ws:` is for browsers whose 'self' does not include the
# WebSocket of the same origin.
_CONTENT_SECURITY_POLICY = (
    "default-src 'self'; connect-src 'self' ws: wss:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


@require_safe
def live_prices(request: HttpRequest) -> HttpResponse:
    """Show the page where users type symbols and see their prices change."""
    values = {
        "heartbeat_s": f"{conf.heartbeat_s:g}",
        "symbols": showcase(today_in_india()),
    }
    response = render(request, "quotes/index.html", values)
    response["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY
    response["Cache-Control"] = "no-cache"
    return response
