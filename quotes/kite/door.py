"""What the door answers to: addresses of HTTP and of WebSockets, from the root of the server."""

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
websockets: list[URLPattern] = []
