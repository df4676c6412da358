"""What the door answers to: addresses of HTTP and of WebSockets, from the root of the server."""

from django.urls import URLPattern, URLResolver

from quotes.kite.rest.urls import urlpatterns as rest_patterns

urlpatterns: list[URLPattern | URLResolver] = [*rest_patterns]
websockets: list[URLPattern] = []
