"""The pages for people: the first page, which shows prices move.

What a page does is in `static/quotes/`; it speaks the public protocol, as any client does.
"""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from quotes.conf import conf
from quotes.publish.simulation.instruments import showcase
from quotes.runtime.clock import today_in_india

# Nothing but this server's own files runs or loads; `ws:` is for browsers that do not take 'self'
# to include the WebSocket of the same origin.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; connect-src 'self' ws: wss:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


@require_safe
def live_prices(request: HttpRequest) -> HttpResponse:
    """Show the page on which symbols are typed and their prices change."""
    values = {
        "heartbeat_s": f"{conf.heartbeat_s:g}",
        "symbols": showcase(today_in_india()),
    }
    response = render(request, "quotes/index.html", values)
    response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response["Cache-Control"] = "no-cache"
    return response
