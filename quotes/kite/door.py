"""What the door answers to: addresses of HTTP and of WebSockets, from the root of the server."""

from django.urls import URLPattern, URLResolver, path

from quotes.kite.rest.urls import urlpatterns as rest_patterns
from quotes.kite.ticker.consumer import KiteConsumer
from quotes.kite.ticker.document import SOCKET_DOCUMENT
from quotes.rest.upgrade import upgrade_required

urlpatterns: list[URLPattern | URLResolver] = [path("kite", upgrade_required), *rest_patterns]
websockets: list[URLPattern] = [
    path(address, KiteConsumer.as_asgi()) for address in ("kite", "kite/")
]
socket_document = SOCKET_DOCUMENT
