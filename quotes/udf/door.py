"""What the door answers to: addresses of HTTP and of WebSockets, from the root of the server.

Each address exists twice: a charting library is given one address and appends to it, so that a URL
key has to be in the path: /udf/key/KEY. `widgets.json` is where OpenBB looks for charts.
"""

from django.urls import URLPattern, URLResolver, path

from quotes.access.rest.url_keys import PATH_PARAMETER
from quotes.udf.views import (
    ConfigView,
    HistoryView,
    MarksView,
    QuotesView,
    SearchView,
    SymbolInfoView,
    SymbolsView,
    TimeView,
    WidgetsView,
)

_VIEWS = {
    "config": ConfigView,
    "symbols": SymbolsView,
    "symbol_info": SymbolInfoView,
    "search": SearchView,
    "history": HistoryView,
    "time": TimeView,
    "marks": MarksView,
    "timescale_marks": MarksView,
    "quotes": QuotesView,
}

urlpatterns: list[URLPattern | URLResolver] = [
    path("widgets.json", WidgetsView.as_view()),
    *(
        path(f"{prefix}{name}", view.as_view())
        for prefix in ("udf/", f"udf/key/<str:{PATH_PARAMETER}>/")
        for name, view in _VIEWS.items()
    ),
]
websockets: list[URLPattern] = []
