"""The addresses of the pages, from the root of the server."""

from django.urls import URLPattern, URLResolver, include, path

from quotes.screens.pages import dashboard, favicon

urlpatterns: list[URLPattern | URLResolver] = [
    path("", dashboard, name="dashboard"),
    path("docs/", include("quotes.screens.documents.urls")),
    path("favicon.ico", favicon),
    path("api/", include("quotes.screens.rest.urls")),
]
websockets: list[URLPattern] = []
