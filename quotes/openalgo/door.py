"""What the door answers to: addresses of HTTP and of WebSockets, from the root of the server."""

from django.urls import URLPattern, URLResolver, include, path

from quotes.openalgo.consumers import OpenAlgoConsumer
from quotes.openalgo.rest.history import HistoryView, IntervalsView
from quotes.openalgo.rest.master import ExpiryView, InstrumentsView, SearchView, SymbolView
from quotes.openalgo.rest.prices import DepthView, MultiQuotesView, QuotesView
from quotes.openalgo.rest.server import NotFoundView, PingView
from quotes.rest.upgrade import upgrade_required

_api = [
    path("quotes", QuotesView.as_view()),
    path("multiquotes", MultiQuotesView.as_view()),
    path("depth", DepthView.as_view()),
    path("history", HistoryView.as_view()),
    path("intervals", IntervalsView.as_view()),
    path("symbol", SymbolView.as_view()),
    path("search", SearchView.as_view()),
    path("expiry", ExpiryView.as_view()),
    path("instruments", InstrumentsView.as_view()),
    path("ping", PingView.as_view()),
    path("<path:rest>", NotFoundView.as_view()),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("openalgo", upgrade_required),
    path("openalgo/api/v1/", include(_api)),
    # For AmiBroker's plug-in, which takes a host and a port and no path.
    path("api/v1/", include(_api)),
]
websockets: list[URLPattern] = [
    path(address, OpenAlgoConsumer.as_asgi()) for address in ("openalgo", "openalgo/")
]
