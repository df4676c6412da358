"""What the door answers to: addresses of HTTP and of WebSockets, from the root of the server."""

from django.urls import URLPattern, URLResolver

from quotes.access.middleware.body_limit import BodyLimit
from quotes.conf import conf
from quotes.socketio.application import PATH, SocketIO

urlpatterns: list[URLPattern | URLResolver] = []
websockets: list[URLPattern] = []
# Path -> an ASGI application that takes all requests and WebSockets below it.
mounts = {PATH: BodyLimit(SocketIO(), max_bytes=lambda path: conf.max_message_bytes)}
